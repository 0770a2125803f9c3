"""The SQLite file under the buffer: opened by one process, laid out, set aside when it is damaged."""

import logging
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from careloop.database.queries import load_queries
from careloop.errors import CareloopError

LAYOUT_VERSION = 2
# A quarter of SQLite's own default: rows are read once, in order, and then deleted.
PAGE_CACHE_KIB = 512
# The write-ahead log goes into the file when it has so many pages. On a full disk it must be able to, or nothing could
# be deleted any more, for deleting writes, too; so as much is kept in reserve.
LOG_PAGES = 128
RESERVE_BYTES = LOG_PAGES * 4096

_SQL = load_queries("edge_agent")

log = logging.getLogger(__name__)


class Transaction:
    """`BEGIN … COMMIT`, or `ROLLBACK` when it failed; synced to the disk or not."""

    def __init__(self, sqlite: sqlite3.Connection, *, synced: bool) -> None:
        self._sqlite = sqlite
        self._synced = synced

    def __enter__(self) -> None:
        self._sqlite.execute("PRAGMA synchronous = FULL" if self._synced else "PRAGMA synchronous = NORMAL")
        self._sqlite.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._sqlite.execute("COMMIT")
        finally:
            # A full disk may have rolled back already, or have failed the commit itself.
            if self._sqlite.in_transaction:
                self._sqlite.execute("ROLLBACK")


class Reserve:
    """Room on the disk that is given up when there is no other.

    Args:
        file: The buffer's file; the reserve lies beside it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.with_name(f"{file.name}-reserve")

    def hold(self) -> None:
        """Take it, unless it is held; a disk without room for it gives none."""
        if self._file.exists():
            return
        try:
            with self._file.open("wb") as reserve:
                reserve.write(bytes(RESERVE_BYTES))
        except OSError:
            self._file.unlink(missing_ok=True)

    def spend(self, sqlite: sqlite3.Connection) -> None:
        """Give it up for emptying the write-ahead log, which makes room for small transactions."""
        self._file.unlink(missing_ok=True)
        # Where even that has no room the next transaction says so.
        with suppress(sqlite3.OperationalError):
            sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def is_no_room(error: sqlite3.Error) -> bool:
    """Whether the disk took nothing more: it is full, over its quota, or fails to write."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code == sqlite3.SQLITE_FULL or code & 0xFF == sqlite3.SQLITE_IOERR


def has_free_pages(sqlite: sqlite3.Connection, size_bytes: int) -> bool:
    """Whether the file has so much unused room inside."""
    (pages,), (page_bytes,) = sqlite.execute("PRAGMA freelist_count"), sqlite.execute("PRAGMA page_size")
    return bool(pages[0] * page_bytes[0] >= size_bytes)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether what the file says cannot be believed any more."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }


def open_file(file: Path) -> sqlite3.Connection:
    """Open a buffer's file, made or brought up to date when needed.

    Raises:
        CareloopError: It cannot be opened, another agent has it, or a newer careloop wrote it.
        sqlite3.DatabaseError: It is damaged.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        sqlite = sqlite3.connect(file, isolation_level=None, timeout=1.0)
    except (OSError, sqlite3.OperationalError) as error:
        raise CareloopError(
            f"the buffer {file} cannot be opened ({error}); name a writable file in [buffer] file or "
            "CARELOOP_EDGE_BUFFER_FILE"
        ) from error
    try:
        # Exclusive: a second agent on one buffer would send everything twice; and no shared-memory file is needed.
        sqlite.execute("PRAGMA locking_mode = EXCLUSIVE")
        sqlite.execute("PRAGMA journal_mode = WAL")
        sqlite.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        sqlite.execute(f"PRAGMA journal_size_limit = {RESERVE_BYTES}")
        sqlite.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
        _lay_out(sqlite, file)
    except sqlite3.DatabaseError as error:
        sqlite.close()
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise CareloopError(
                f"the buffer {file} is in use by another agent; stop it or name another file"
            ) from error
        if is_no_room(error):
            raise CareloopError(
                f"the buffer {file} cannot be opened ({error}); make room on its disk or name a file on another"
            ) from error
        raise
    except CareloopError:
        sqlite.close()
        raise
    return sqlite


def set_aside(file: Path, error: sqlite3.Error) -> None:
    """Move a damaged file away, for whoever can read it; only the latest is kept, so that they never fill the disk."""
    aside = file.with_name(f"{file.name}.damaged")
    for suffix in ("-wal", "-journal"):
        with suppress(FileNotFoundError):
            file.with_name(file.name + suffix).replace(aside.with_name(aside.name + suffix))
    file.replace(aside)
    log.error(
        "the buffer %s is damaged (%s); it was moved to %s, and a new one begins",
        file,
        error,
        aside,
    )


def what_can_be_read(file: Path) -> tuple[Mapping[str, str], Mapping[str, int]]:
    """Memory and counters of a damaged file, as far as they can be read; its messages are not believed."""
    memory: dict[str, str] = {}
    counters: dict[str, int] = {}
    # Whatever fails here has been said already: the file is damaged.
    with suppress(sqlite3.DatabaseError):
        sqlite = sqlite3.connect(file, isolation_level=None, timeout=1.0)
        try:
            memory.update((str(name), str(text)) for name, text in sqlite.execute(_SQL["memory"]))
            counters.update((str(name), int(value)) for name, value in sqlite.execute(_SQL["counters"]))
        finally:
            sqlite.close()
    return memory, counters


def _lay_out(sqlite: sqlite3.Connection, file: Path) -> None:
    (version,) = sqlite.execute("PRAGMA user_version").fetchone()
    if version > LAYOUT_VERSION:
        raise CareloopError(f"the buffer {file} was written by a newer careloop; install that or move the file away")
    if version == LAYOUT_VERSION:
        return
    with Transaction(sqlite, synced=True):
        if version == 0:
            sqlite.execute(_SQL["create_message"])
            sqlite.execute(_SQL["create_message_kind"])
            sqlite.execute(_SQL["create_memory"])
            sqlite.execute(_SQL["create_counter"])
        else:
            sqlite.execute(_SQL["add_stored_s"])
            sqlite.execute(_SQL["add_sealed"])
        sqlite.execute(f"PRAGMA user_version = {LAYOUT_VERSION}")
