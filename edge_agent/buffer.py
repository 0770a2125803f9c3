"""The durable buffer: messages in SQLite until the broker has acknowledged them.

What `add` returned from is on disk, through kill -9 and power loss: WAL with a synced commit, one fsync a batch; not
`synced`, through kill -9 only. Deleting what was acknowledged is never synced: after a power cut such a message may be
sent again, to the byte the same, and ingest knows it by its hash.

Bound: the sum of payload, topic and row overhead stays under `max_bytes`. To make room the oldest telemetry goes first,
counted in `lost`; messages in flight are spared, as the broker may have them already; events are never dropped, so only
events can exceed the bound. The file itself may be a tenth larger (pages, write-ahead log) and does not shrink, but
re-uses its room.

One process at a time: a second one is refused when it opens the file.
"""

import logging
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from careloop.database.queries import load_queries
from careloop.errors import CareloopError
from edge_agent.packing import Message

ROW_OVERHEAD_BYTES = 64
LEAST_ROOM_BYTES = 16 * 1024
LAYOUT_VERSION = 1

_SQL = load_queries("edge_agent")

log = logging.getLogger(__name__)


class BufferFullError(Exception):
    """The disk has no room, and dropping old telemetry did not make enough."""


class Stored(NamedTuple):
    """A buffered message, as it goes on the wire."""

    seq: int
    topic: str
    content_type: str
    payload: bytes
    readings: int


@dataclass
class Depth:
    """How much waits, or was lost.

    Attributes:
        messages: Messages.
        readings: Readings in them.
        size_bytes: Bytes, with row overhead; 0 where only losses are counted.
    """

    messages: int = 0
    readings: int = 0
    size_bytes: int = 0


class Buffer:
    """An ordered queue on disk.

    Args:
        file: The SQLite file; made when missing.
        max_bytes: The bound.
        synced: Whether what is stored must survive a power loss, too.
    """

    def __init__(self, file: Path, max_bytes: int, *, synced: bool = True) -> None:
        self.file = file
        self._max_bytes = max_bytes
        self._synced = synced
        self._sqlite = _open(file)
        self._cursor = 0
        self._in_flight: set[int] = set()
        self.depth = Depth(*self._sqlite.execute(_SQL["depth"]).fetchone())
        counters = dict(self._sqlite.execute(_SQL["counters"]).fetchall())
        self.lost = Depth(counters.get("lost_messages", 0), counters.get("lost_readings", 0))

    def close(self) -> None:
        """Close the file; what waits stays in it."""
        self._sqlite.close()

    def recall(self, name: str) -> str | None:
        """What was remembered under a name."""
        row = self._sqlite.execute(_SQL["recall"], (name,)).fetchone()
        return None if row is None else str(row[0])

    def add(self, messages: Sequence[Message], memory: Mapping[str, str] | None = None) -> None:
        """Store messages, and what is to be remembered with them, in one synced transaction.

        Args:
            messages: In the order they are to be sent.
            memory: Text by name, e.g. where a source is.

        Raises:
            BufferFullError: The disk is full; nothing of this was stored.
        """
        if not messages and not memory:
            return
        if self._try_add(messages, memory or {}):
            return
        # Rows share pages, and only whole pages come free: ask for more until it is enough or nothing is left.
        wanted_bytes = LEAST_ROOM_BYTES
        while self._make_room(wanted_bytes):
            if self._try_add(messages, memory or {}):
                return
            wanted_bytes *= 4
        raise BufferFullError(f"no room on the disk of {self.file}")

    def take(self, limit: int) -> list[Stored]:
        """The next messages that are not in flight, oldest first; they are in flight from now on."""
        taken: list[Stored] = []
        while len(taken) < limit:
            rows = self._sqlite.execute(_SQL["next_messages"], (self._cursor, limit - len(taken))).fetchall()
            if not rows:
                break
            self._cursor = rows[-1][0]
            taken += [Stored(*row) for row in rows if row[0] not in self._in_flight]
        self._in_flight.update(stored.seq for stored in taken)
        return taken

    def settle(self, delivered: Collection[int]) -> None:
        """Delete what the broker has acknowledged."""
        self._delete(delivered, lost=False)

    def give_up(self, refused: Collection[int]) -> None:
        """Delete what the broker will never take, and count it as lost."""
        self._delete(refused, lost=True)

    def release(self, returned: Collection[int]) -> None:
        """Put messages that were in flight back in their place."""
        if returned:
            self._in_flight.difference_update(returned)
            self._cursor = min(self._cursor, min(returned) - 1)

    def _add(self, messages: Sequence[Message], memory: Mapping[str, str]) -> None:
        depth, lost = Depth(**vars(self.depth)), Depth()
        with _Transaction(self._sqlite, synced=self._synced):
            for kind, topic, content_type, payload, readings in messages:
                size = len(payload) + len(topic) + ROW_OVERHEAD_BYTES
                self._sqlite.execute(_SQL["add_message"], (kind, topic, content_type, payload, readings, size))
                depth.messages += 1
                depth.readings += readings
                depth.size_bytes += size
            for name, text in memory.items():
                self._sqlite.execute(_SQL["remember"], (name, text))
            if depth.size_bytes > self._max_bytes:
                lost = self._drop_oldest(depth.size_bytes - self._max_bytes)
        self._note_loss(depth, lost)

    def _try_add(self, messages: Sequence[Message], memory: Mapping[str, str]) -> bool:
        """Whether the disk had room."""
        try:
            self._add(messages, memory)
        except sqlite3.OperationalError as error:
            if not _is_full(error):
                raise
            return False
        return True

    def _make_room(self, wanted_bytes: int) -> bool:
        """On a full disk: drop old telemetry; whether there was any, and room to note that it went."""
        try:
            with _Transaction(self._sqlite, synced=False):
                lost = self._drop_oldest(wanted_bytes)
        except sqlite3.OperationalError as error:
            if not _is_full(error):
                raise
            return False
        self._note_loss(Depth(**vars(self.depth)), lost)
        return lost.messages > 0

    def _drop_oldest(self, wanted_bytes: int) -> Depth:
        """Drop the oldest telemetry until so many bytes are free; inside a transaction."""
        lost, after = Depth(), 0
        while lost.size_bytes < wanted_bytes:
            rows = self._sqlite.execute(_SQL["oldest_telemetry"], (after,)).fetchall()
            if not rows:
                break
            for seq, size, readings in rows:
                after = seq
                if seq in self._in_flight:
                    continue
                self._sqlite.execute(_SQL["delete_message"], (seq,))
                lost = Depth(lost.messages + 1, lost.readings + readings, lost.size_bytes + size)
                if lost.size_bytes >= wanted_bytes:
                    break
        self._count_loss(lost)
        return lost

    def _count_loss(self, lost: Depth) -> None:
        if lost.messages:
            self._sqlite.execute(_SQL["count_up"], ("lost_messages", lost.messages))
            self._sqlite.execute(_SQL["count_up"], ("lost_readings", lost.readings))

    def _note_loss(self, depth: Depth, lost: Depth) -> None:
        """After the transaction: what was in it is true now."""
        self.depth = Depth(
            depth.messages - lost.messages, depth.readings - lost.readings, depth.size_bytes - lost.size_bytes
        )
        if lost.messages:
            self.lost = Depth(self.lost.messages + lost.messages, self.lost.readings + lost.readings)
            log.warning(
                "buffer full: dropped the %d oldest telemetry messages (%d readings)", lost.messages, lost.readings
            )

    def _delete(self, seqs: Collection[int], *, lost: bool) -> None:
        if not seqs:
            return
        gone = Depth()
        with _Transaction(self._sqlite, synced=False):
            for seq in seqs:
                size, readings = self._sqlite.execute(_SQL["size_of_message"], (seq,)).fetchone()
                self._sqlite.execute(_SQL["delete_message"], (seq,))
                gone = Depth(gone.messages + 1, gone.readings + readings, gone.size_bytes + size)
            if lost:
                self._count_loss(gone)
        self._in_flight.difference_update(seqs)
        depth = self.depth
        self.depth = Depth(
            depth.messages - gone.messages, depth.readings - gone.readings, depth.size_bytes - gone.size_bytes
        )
        if lost:
            self.lost = Depth(self.lost.messages + gone.messages, self.lost.readings + gone.readings)


class _Transaction:
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


def _is_full(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorcode == sqlite3.SQLITE_FULL


def _open(file: Path) -> sqlite3.Connection:
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
        sqlite.execute("PRAGMA journal_size_limit = 4194304")
        _lay_out(sqlite, file)
    except sqlite3.DatabaseError as error:
        sqlite.close()
        if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            raise CareloopError(
                f"the buffer {file} is in use by another agent; stop it or name another file"
            ) from error
        raise CareloopError(
            f"the buffer {file} is damaged ({error}); move it away to start with an empty one"
        ) from error
    except CareloopError:
        sqlite.close()
        raise
    return sqlite


def _lay_out(sqlite: sqlite3.Connection, file: Path) -> None:
    with _Transaction(sqlite, synced=True):
        (version,) = sqlite.execute("PRAGMA user_version").fetchone()
        if version > LAYOUT_VERSION:
            raise CareloopError(
                f"the buffer {file} was written by a newer careloop; install that or move the file away"
            )
        if version == 0:
            for name in ("create_message", "create_message_kind", "create_memory", "create_counter"):
                sqlite.execute(_SQL[name])
            sqlite.execute(f"PRAGMA user_version = {LAYOUT_VERSION}")
