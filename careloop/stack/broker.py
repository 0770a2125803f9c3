"""An MQTT 5 broker from a wheel (rumqttd), for machines that have none.

It has passwords but no per-topic rights, and keeps nothing across its own restart; production uses Mosquitto or EMQX
(docs/decisions/0002-embedded-broker.md). Its process ends with ours.
"""

import subprocess
import sys
import time
from pathlib import Path

from careloop.errors import CareloopError
from careloop.stack.ports import free_port, listens, port_is_free

READY_WITHIN_S = 20.0
STOP_WITHIN_S = 5.0

# Larger than the largest message that ingest takes: too large ones become dead letters and not lost connections.
MAX_PAYLOAD_BYTES = 32 * 1024 * 1024

_CONFIG = """
id = 0
[router]
id = 0
max_connections = 1010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "v5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_payload_bytes}
max_inflight_count = 100
dynamic_filters = true
[v5.1.connections.auth]
"""


class EmbeddedBroker:
    """One broker on 127.0.0.1.

    Args:
        directory: Where its configuration file and its log go.
        accounts: Password by user name; at least one.
    """

    def __init__(self, directory: Path, accounts: dict[str, str]) -> None:
        self.directory = directory.absolute()
        self._accounts = accounts
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def url_of(self, user: str) -> str:
        """The broker's address with one account's login."""
        return f"mqtt://{user}:{self._accounts[user]}@127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether the broker's process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id; 0 before the start."""
        return self._process.pid if self._process else 0

    def start(self, port: int = 0) -> None:
        """Start it and wait until it listens.

        Raises:
            CareloopError: The port is taken, or the broker does not come up.
        """
        if port and not port_is_free(port):
            raise CareloopError(f"port {port} for the MQTT broker is in use; free it or choose another")
        self.port = port or free_port()
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "broker.toml"
        config.touch(mode=0o600)
        logins = "\n".join(f'{user} = "{password}"' for user, password in self._accounts.items())
        config.write_text(_CONFIG.format(port=self.port, max_payload_bytes=MAX_PAYLOAD_BYTES) + logins + "\n")
        log_file = self.directory / "broker.log"
        with log_file.open("ab") as log:
            # A session of its own: Ctrl-C must stop the services first. Its input is a pipe that ends when we do.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "careloop.stack.broker_child", str(config)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while not listens(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                last = log_file.read_text(errors="replace").splitlines()[-2:]
                raise CareloopError(
                    f"the embedded MQTT broker did not come up on port {self.port}; {log_file} ends: {' | '.join(last)}"
                )
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it; safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_WITHIN_S)
