"""Mosquitto's files: who has which password, who may reach what, which certificates are revoked.

They are written whole, each to a draft that then takes the old one's place, whenever the table `device_revision` says
that something changed; then Mosquitto is told to read them again. Any number of API processes may do so: all write the
same, and what did not change is not touched.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import AsyncConnection, IsolationLevel
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from api.devices.provisioning import Provisioning
from api.devices.rules import ANY_DEVICE, Right, asset_rights, device_rights, service_rights
from api.devices.service import SQL
from careloop.errors import CareloopError

PASSWORDS, ACL, CRL, CA = "passwords", "acl", "revoked.pem", "devices-ca.pem"
# Mosquitto's group reads them, by the directory's set-group-id bit; nobody else.
MODE = 0o640
# Written anew at least so often, so that the list of revoked certificates never gets old.
LONGEST_PAUSE = timedelta(hours=12)
# Pause after writing, in multiples of the time that it took.
REST = 4.0

Pool = AsyncConnectionPool[AsyncConnection[DictRow]]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BrokerFiles:
    """Where Mosquitto's files go.

    Attributes:
        directory: Holds the files; there already.
        pid_file: Mosquitto's `pid_file`; None: something else makes it read them again (deploy/mosquitto/run.sh).
        every_s: How often to look for changes.
    """

    directory: Path
    pid_file: Path | None = None
    every_s: float = 2.0


def password_lines(accounts: Mapping[str, str], devices: Iterable[Mapping[str, Any]]) -> str:
    """Mosquitto's password file."""
    lines = [f"{name}:{kept}" for name, kept in sorted(accounts.items())]
    lines += [
        f"{device['agent_id']}:{device['password_hash']}"
        for device in devices
        if device["state"] == "active" and device["password_hash"] and device["agent_id"] not in accounts
    ]
    return "".join(f"{line}\n" for line in lines)


def acl_lines(provisioning: Provisioning, devices: Iterable[Mapping[str, Any]]) -> str:
    """Mosquitto's access control list; what it does not allow is refused."""
    lines = ["# Written by careloop from its devices; edits are lost. What is not allowed here is refused."]
    for name in sorted(provisioning.services):
        lines += ["", f"user {name}", *(_line("topic", right) for right in service_rights(provisioning.other_topics))]
    lines += ["", "# Every device, for itself."]
    lines += [_line("pattern", right) for right in device_rights(ANY_DEVICE, (), provisioning.other_topics)]
    for device in devices:
        if provisioning.is_taken(device["agent_id"]):
            continue
        if device["state"] != "active":
            # Still connected perhaps, by a certificate that Mosquitto looked at when it came.
            lines += ["", f"user {device['agent_id']}", "topic deny #"]
        elif device["assets"]:
            rights = asset_rights(device["assets"])
            lines += ["", f"user {device['agent_id']}", *(_line("topic", right) for right in rights)]
    return "".join(f"{line}\n" for line in lines)


def _line(word: str, right: Right) -> str:
    return f"{word} {right.access} {right.filter}"


async def read_files(
    connection: AsyncConnection[DictRow], provisioning: Provisioning, now: datetime
) -> tuple[int, dict[str, bytes]]:
    """The files' texts by name, and the revision that they show.

    Args:
        connection: Not in a transaction.
        provisioning: Accounts, services, CA.
        now: For the list of revoked certificates.
    """
    await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
    try:
        async with connection.transaction():
            revision = await (await connection.execute(SQL["get_revision"])).fetchone()
            devices: Sequence[DictRow] = await (await connection.execute(SQL["all_devices"])).fetchall()
            revoked = await (await connection.execute(SQL["revoked_certificates"], {"now": now})).fetchall()
    finally:
        await connection.set_isolation_level(None)
    assert revision is not None  # noqa: S101 - the migration makes the row
    files = {
        PASSWORDS: password_lines(provisioning.accounts, devices).encode(),
        ACL: acl_lines(provisioning, devices).encode(),
    }
    authority = provisioning.authority
    if authority is not None:
        entries = [(row["serial_number"], row["revoked_at"]) for row in revoked]
        files[CRL] = authority.crl(entries, now, provisioning.crl_good_for)
        files[CA] = authority.pem.encode()
    return int(revision["revision"]), files


def write_files(directory: Path, files: Mapping[str, bytes]) -> bool:
    """Put the files in place; each is whole at every moment.

    Returns:
        Whether any changed.

    Raises:
        OSError: The directory is missing or may not be written.
    """
    changed = False
    for name, text in files.items():
        file = directory / name
        with contextlib.suppress(FileNotFoundError):
            if file.read_bytes() == text:
                continue
        draft = directory / f".{name}.{secrets.token_hex(4)}"
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
        with os.fdopen(handle, "wb") as stream:
            # Whatever the umask says.
            os.fchmod(stream.fileno(), MODE)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
        changed = True
    return changed


def tell_broker(pid_file: Path | None) -> None:
    """Let Mosquitto read its files again (SIGHUP); one that does not run yet will read them when it starts."""
    if pid_file is None:
        return
    try:
        os.kill(int(pid_file.read_text(encoding="ascii")), signal.SIGHUP)
    except (FileNotFoundError, ProcessLookupError):
        log.info("mosquitto does not run yet (%s)", pid_file)
    except (ValueError, OSError) as error:
        log.error("mosquitto was not told to read its files again: %s: %s", pid_file, error)  # noqa: TRY400 - no defect of ours


@asynccontextmanager
async def keeping_files(
    pool: Pool, files: BrokerFiles | None, provisioning: Provisioning, now: Callable[[], datetime]
) -> AsyncIterator[None]:
    """Keep Mosquitto's files up to date as long as the context lasts.

    Args:
        pool: Of the process.
        files: None to write none.
        provisioning: Accounts, services, CA.
        now: The system clock.
    """
    if files is None:
        yield
        return
    stopping = asyncio.Event()
    task = asyncio.create_task(_keep(pool, files, provisioning, now, stopping), name="broker-files")
    try:
        yield
    finally:
        stopping.set()
        await task


async def _keep(
    pool: Pool, files: BrokerFiles, provisioning: Provisioning, now: Callable[[], datetime], stopping: asyncio.Event
) -> None:
    written: int | None = None
    written_at = now()
    loop = asyncio.get_running_loop()
    while not stopping.is_set():
        begun_s = loop.time()
        try:
            async with pool.connection() as connection:
                row = await (await connection.execute(SQL["get_revision"])).fetchone()
            if row is None or row["revision"] != written or now() - written_at > LONGEST_PAUSE:
                written = await _bring_up_to_date(pool, files, provisioning, now())
                written_at = now()
        except (psycopg.Error, PoolTimeout, PoolClosed) as error:
            log.warning("the broker's files wait for the database: %s", error)
        except OSError as error:
            log.error("the broker's files cannot be written, trying again: %s", error)  # noqa: TRY400 - no defect of ours
        # Very many devices take seconds to write, and Mosquitto as long to read: while they come one after the other,
        # both are to have time for something else.
        pause_s = max(files.every_s, REST * (loop.time() - begun_s))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause_s)


async def _bring_up_to_date(pool: Pool, files: BrokerFiles, provisioning: Provisioning, now: datetime) -> int:
    async with pool.connection() as connection:
        revision, texts = await read_files(connection, provisioning, now)
    if await asyncio.to_thread(write_files, files.directory, texts):
        tell_broker(files.pid_file)
        log.info("wrote the broker's files, revision %s", revision)
    return revision


async def write_once(database_url: str, files: BrokerFiles, provisioning: Provisioning, now: datetime) -> bool:
    """Write the files as they are to be now.

    Returns:
        Whether any changed.

    Raises:
        CareloopError: They cannot be written.
    """
    async with await AsyncConnection.connect(database_url, row_factory=dict_row, autocommit=True) as connection:
        _, texts = await read_files(connection, provisioning, now)
    try:
        changed = write_files(files.directory, texts)
    except OSError as error:
        raise CareloopError(f"the broker's files cannot be written: {error.filename}: {error.strerror}") from error
    if changed:
        tell_broker(files.pid_file)
    return changed
