"""Agent, broker, ingest and database as things that can be killed and started again."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from careloop.errors import CareloopError
from careloop.stack.broker import EmbeddedBroker
from careloop.stack.ports import free_port, listens
from careloop.stack.postgres import EmbeddedPostgres

READY_WITHIN_S = 20.0
DIES_WITHIN_S = 10.0

# As production has it, but for accounts; autosave at its default, so that a kill really loses what is not saved yet.
_MOSQUITTO_CONF = """
allow_anonymous true
persistence true
persistence_location {directory}/
set_tcp_nodelay true
max_queued_messages 100000
max_inflight_messages 100
user {user}
listener {port} 127.0.0.1
"""


class Victim(ABC):
    """One process of the line."""

    name: str

    @property
    @abstractmethod
    def pid(self) -> int:
        """Its process id; 0 while it does not run."""

    @abstractmethod
    def start(self) -> None:
        """Start it, or start it again over what its predecessor left."""

    @abstractmethod
    def stop(self) -> None:
        """End it in an orderly way."""

    def kill(self) -> bool:
        """End it as a power cut would; False when it was not running."""
        pid = self.pid
        if not pid:
            return False
        process = psutil.Process(pid)
        os.kill(pid, signal.SIGKILL)
        process.wait(DIES_WITHIN_S)
        return True


class Service(Victim):
    """A `careloop …` process, or the broker's: an ordinary child.

    Args:
        name: For the report and the log.
        command: Its command line.
        environment: Added to ours.
        directory: Where its log goes.
        port: Waited for after a start; 0 when it listens on none.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], directory: Path, port: int = 0
    ) -> None:
        self.name = name
        self._command = list(command)
        self._environment = dict(environment)
        self._log = directory / f"{name}.log"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id; 0 while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    def start(self) -> None:
        """Start it; a broker listens when this returns."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while self._port and not listens(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise CareloopError(f"{self.name} did not come up; see {self._log}: {self.last_words()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when it does not listen."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(DIES_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(DIES_WITHIN_S)

    def kill(self) -> bool:
        """SIGKILL; False when it was not running."""
        if self._process is None or self._process.poll() is not None:
            return False
        self._process.kill()
        self._process.wait(DIES_WITHIN_S)
        return True

    def last_words(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-1000:] if self._log.exists() else ""


def careloop(*words: str) -> list[str]:
    """The command line of `careloop WORDS…`."""
    return [sys.executable, "-P", "-m", "careloop", *words]


class Database(Victim):
    """The embedded PostgreSQL, as durable as in production."""

    name = "database"

    def __init__(self, directory: Path) -> None:
        self._server = EmbeddedPostgres(directory)
        self._port = free_port()

    @property
    def url(self) -> str:
        """Its owner's address."""
        return self._server.url

    @property
    def pid(self) -> int:
        """The postmaster's process id; 0 while it does not run."""
        if not self._server.is_running:
            return 0
        return int((self._server.data / "postmaster.pid").read_text().splitlines()[0])

    def start(self) -> None:
        """Start it; it recovers from its log."""
        self._server.start(self._port)

    def stop(self) -> None:
        """Fast shutdown."""
        self._server.stop()


class RumqttBroker(Victim):
    """The embedded broker: whatever it held is gone when it dies."""

    name = "broker"
    keeps = "nothing across its death"

    def __init__(self, directory: Path) -> None:
        self._accounts = {name: secrets.token_hex(8) for name in ("device", "platform")}
        self._broker = EmbeddedBroker(directory, self._accounts)
        self._port = free_port()

    def url_of(self, user: str) -> str:
        """Its address for one of `device` and `platform`."""
        return f"mqtt://{user}:{self._accounts[user]}@127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Its process id; 0 while it does not run."""
        return self._broker.pid if self._broker.is_running else 0

    def start(self) -> None:
        """Start it."""
        self._broker.start(self._port)

    def stop(self) -> None:
        """Stop it."""
        self._broker.stop()

    def kill(self) -> bool:
        """SIGKILL; False when it was not running."""
        if not self.pid:
            return False
        os.kill(self.pid, signal.SIGKILL)
        # Reaps it, too.
        self._broker.stop()
        return True


class MosquittoBroker(Service):
    """Mosquitto with persistence: it keeps what it had saved when it dies, which is not all it had acknowledged."""

    keeps = "what it saved last"

    def __init__(self, program: str, directory: Path) -> None:
        directory.mkdir()
        port = free_port()
        config = directory / "mosquitto.conf"
        user = "root" if os.geteuid() == 0 else "nobody"
        config.write_text(_MOSQUITTO_CONF.format(directory=directory, port=port, user=user))
        super().__init__("broker", [program, "-c", str(config)], {}, directory, port)
        self._port = port

    def url_of(self, user: str) -> str:  # noqa: ARG002 - the other broker has accounts
        """Its address."""
        return f"mqtt://127.0.0.1:{self._port}"


def make_broker(kind: str, directory: Path) -> RumqttBroker | MosquittoBroker:
    """A broker of a kind: `mosquitto` or `embedded`.

    Raises:
        CareloopError: Mosquitto is wanted and not installed.
    """
    if kind == "embedded":
        return RumqttBroker(directory)
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise CareloopError("mosquitto is not installed; install it, or say --broker embedded")
    return MosquittoBroker(program, directory)
