"""The embedded stack as one thing: database, broker, logins, keys, and the environment of each service process."""

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, Self, TextIO, get_args
from urllib.parse import quote, urlsplit

from careloop.database.engine import Engine, connect
from careloop.database.migrations import migrate
from careloop.database.roles import ServiceName, create_service_login, create_service_roles, login_of
from careloop.errors import CareloopError
from careloop.stack.broker import EmbeddedBroker
from careloop.stack.ports import free_port, port_is_free
from careloop.stack.postgres import EmbeddedPostgres
from careloop.stack.process import ServiceProcess, careloop_command
from careloop.stack.registry import ProcessRegistry
from careloop.stack.secret_file import SecretFile

ProcessName = Literal["edge", "ingest", "predictor", "scheduler", "api"]
ApiRole = Literal["admin", "agent", "dispatcher", "technician", "service"]

BrokerAccount = Literal["device", "platform"]

DEVICE: BrokerAccount = "device"
PLATFORM: BrokerAccount = "platform"
KEY_WITHIN_S = 60.0
# What one process may know of another's secrets: nothing. These are set anew for each.
_CONNECTIONS = (
    "CARELOOP_DATABASE_URL",
    "CARELOOP_BROKER_URL",
    "CARELOOP_API_URL",
    "CARELOOP_API_KEY",
    "CARELOOP_METRICS_PORT",
)


class EmbeddedStack:
    """PostgreSQL and broker (each embedded, unless an address is given), migrated, with logins and keys.

        with EmbeddedStack(directory) as stack:
            api = stack.service("api", "api")                      # a ServiceProcess, not started yet
            predictor = stack.service("predictor", "predictor", "run", "--step", steps=True)
            with api, predictor:                                   # started; stopped at the end
                predictor.step("train", now)                       # {"do": "train", "models": 4}
            stack.database_url                                     # the owner's, to count in
            stack.api_url, stack.api_key("conductor", "admin")     # for careloop.client.CareloopClient

    A second stack over the same directory is refused while the first lives. What a killed one left behind is put right
    at the start: its service processes are stopped, its PostgreSQL is adopted.

    Args:
        directory: The state directory: cluster, secrets (mode 0600), logs (`logs/NAME.log`), pids. Made when missing.
        database_url: Use this server; all services share this login. Without it PostgreSQL is embedded and each
            service has a login with its own rights only.
        broker_url: Use this broker. Without it one is embedded, with the accounts `device` and `platform`.
        postgres_port: Port for the embedded server; 0 takes a free one.
        broker_port: Port for the embedded broker; 0 takes a free one.
        api_port: Port that the API is to take; 0 takes a free one.
        database_settings: Server settings of the embedded PostgreSQL, e.g. `{"synchronous_commit": "off"}`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        database_url: str | None = None,
        broker_url: str | None = None,
        postgres_port: int = 0,
        broker_port: int = 0,
        api_port: int = 0,
        database_settings: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.secrets = SecretFile(self.directory / "secrets.json")
        self.registry = ProcessRegistry(self.directory / "processes.json")
        self.postgres = None if database_url else EmbeddedPostgres(self.directory / "postgres")
        self.broker: EmbeddedBroker | None = None
        self.api_port = api_port
        self.engine: Engine | None = None
        self.left_behind: list[str] = []
        self._database_url = database_url
        self._broker_url = broker_url
        self._ports = (postgres_port, broker_port)
        self._database_settings = dict(database_settings or {})
        self._lock: TextIO | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Starting and stopping --------------------------------------------------------------------

    def start(self) -> None:
        """Start what is embedded, migrate, make the logins.

        Raises:
            CareloopError: The directory is in use or unusable, a port is taken, or a server does not come up.
        """
        self._take_directory()
        self.left_behind = self.registry.stop_orphans()
        postgres_port, broker_port = self._ports
        # Looked at before anything is started; PostgreSQL looks itself, since it may be adopted on its port.
        for port, what in ((self.api_port, "the REST API"), (broker_port, "the MQTT broker")):
            if port and not port_is_free(port) and not (what == "the MQTT broker" and self._broker_url):
                raise CareloopError(f"port {port} for {what} is in use; free it or choose another")
        self.api_port = self.api_port or free_port()
        if self.postgres:
            self.postgres.start(postgres_port, self._database_settings)
        if self._broker_url is None:
            accounts: dict[str, str] = {name: self.secrets.get_or_make(f"broker.{name}") for name in (DEVICE, PLATFORM)}
            self.broker = EmbeddedBroker(self.directory / "broker", accounts)
            self.broker.start(broker_port)
            self.registry.add("broker", self.broker.pid)
        with connect(self.database_url) as connection:
            self.engine, _ = migrate(connection)
            if self.postgres:
                create_service_roles(connection)
                for service in get_args(ServiceName):
                    create_service_login(connection, service, login_of(service), self._database_password(service))

    def stop(self) -> None:
        """Stop what is embedded: the broker, then the database; give the directory free. Safe to call twice."""
        with ExitStack() as closing:
            if self._lock:
                closing.callback(self._lock.close)
                self._lock = None
            if self.postgres:
                closing.callback(self.postgres.stop)
            if self.broker:
                closing.callback(self.registry.remove, "broker")
                closing.callback(self.broker.stop)

    def revive(self) -> list[str]:
        """Start the embedded servers again that have died, on their ports; returns the names of those."""
        revived: list[str] = []
        if self.postgres and not self.postgres.is_running:
            self.postgres.start(self.postgres.port, self._database_settings)
            revived.append("PostgreSQL")
        if self.broker and not self.broker.is_running:
            self.broker.start(self.broker.port)
            self.registry.add("broker", self.broker.pid)
            revived.append("the MQTT broker")
        return revived

    def _take_directory(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0:
                # PostgreSQL runs as nobody then, and must be able to pass through; what is secret has mode 0600.
                self.directory.chmod(0o711)
            lock = (self.directory / "lock").open("a+", encoding="utf-8")
        except OSError as error:
            raise CareloopError(
                f"the state directory {self.directory} cannot be used ({error.strerror}); set CARELOOP_STATE_DIR"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip()
            lock.close()
            raise CareloopError(
                f"a careloop stack (pid {holder}) already runs over {self.directory}; stop it, "
                "or set CARELOOP_STATE_DIR to another directory"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    # Addresses --------------------------------------------------------------------------------

    @property
    def database_url(self) -> str:
        """The owner's address of the database."""
        if self._database_url is not None:
            return self._database_url
        if self.postgres is None:
            raise RuntimeError("no database")
        return self.postgres.url

    @property
    def alerts_file(self) -> Path:
        """Where alerts are written, a JSON line each, unless CARELOOP_ALERT_DEFAULT_URL says otherwise."""
        return self.directory / "alerts.jsonl"

    @property
    def api_url(self) -> str:
        """Where the API is, once its process runs."""
        return f"http://127.0.0.1:{self.api_port}"

    def broker_url(self, account: BrokerAccount) -> str:
        """The broker's address with one account's login; an external broker's address is the same for all."""
        if self._broker_url is not None:
            return self._broker_url
        if self.broker is None:
            raise RuntimeError("the stack is not started")
        return self.broker.url_of(account)

    def database_url_of(self, service: ServiceName) -> str:
        """The database's address with the login of one service."""
        if self.postgres is None:
            return self.database_url
        password = quote(self._database_password(service), safe="")
        parts = urlsplit(self.postgres.url)
        return f"postgresql://{login_of(service)}:{password}@{parts.hostname}:{parts.port}{parts.path}"

    def _database_password(self, service: ServiceName) -> str:
        return self.secrets.get_or_make(f"database.{service}")

    # Keys and processes -----------------------------------------------------------------------

    def api_key(self, name: str, role: ApiRole) -> str:
        """The API key kept under a name; made by `careloop api-key create` when this database has none of it.

        Raises:
            CareloopError: The key cannot be made.
        """
        secret_name = f"api_key.{name}"
        key = self.secrets.get(secret_name)
        if key is None or not self._knows(key):
            key = self._create_key(name, role)
            self.secrets.put(secret_name, key)
        return key

    def _knows(self, key: str) -> bool:
        query = (
            "SELECT 1 FROM service.api_key WHERE key_hash = %s AND revoked_at IS NULL "
            "AND (expires_at IS NULL OR expires_at > now())"
        )
        with connect(self.database_url) as connection:
            return connection.execute(query, [hashlib.sha256(key.encode()).digest()]).fetchone() is not None

    def _create_key(self, name: str, role: ApiRole) -> str:
        done = subprocess.run(
            careloop_command("api-key", "create", "--name", name, "--role", role),
            env={**self._environment(), "CARELOOP_DATABASE_URL": self.database_url},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=KEY_WITHIN_S,
            start_new_session=True,
            check=False,
        )
        lines = done.stdout.split()
        if done.returncode != 0 or not lines:
            last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise CareloopError(f"the API key for {name} could not be made: {last[0]}")
        return lines[-1]

    def environment_of(self, process: ProcessName) -> dict[str, str]:
        """The whole environment of one service process: this process's, with the addresses and secrets it needs.

        The edge agent gets the device's broker login only; the API key of predictor and scheduler has role `service`.
        """
        environment = self._environment()
        if process in {"edge", "ingest"}:
            environment["CARELOOP_BROKER_URL"] = self.broker_url(DEVICE if process == "edge" else PLATFORM)
        if process != "edge":
            environment["CARELOOP_DATABASE_URL"] = self.database_url_of(process)
        if process in {"predictor", "scheduler"}:
            environment["CARELOOP_API_URL"] = self.api_url
            environment["CARELOOP_API_KEY"] = self.api_key(process, "service")
        if process == "api":
            environment["CARELOOP_API_PORT"] = str(self.api_port)
            environment.setdefault("CARELOOP_ALERT_DEFAULT_URL", f"careloop-file://{self.alerts_file}")
        return environment

    def service(
        self,
        process: ProcessName,
        *words: str,
        steps: bool = False,
        name: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> ServiceProcess:
        """A service process of this stack, not started yet.

        Args:
            process: Which service, for its environment.
            *words: The command after `careloop`, e.g. `"predictor", "run", "--step"`.
            steps: Whether it is driven through simulated time (`--step` must stand in `words`).
            name: For its log and the registry; needed when there are several of one service.
            environment: Set on top, e.g. `{"CARELOOP_CLOCK": "request"}`.
        """
        return ServiceProcess(
            name or process,
            careloop_command(*words),
            {**self.environment_of(process), **(environment or {})},
            self.directory / "logs" / f"{name or process}.log",
            steps=steps,
            registry=self.registry,
        )

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _CONNECTIONS}
        return {**kept, "CARELOOP_STATE_DIR": str(self.directory), "PYTHONUNBUFFERED": "1"}
