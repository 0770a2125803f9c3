"""An MQTT 5 broker from a wheel (rumqttd), for machines that have none.

It has passwords but no per-topic rights, and keeps nothing across its own restart; production uses Mosquitto or EMQX
(docs/decisions/0002-embedded-broker.md). Its process ends with ours.
"""

from pathlib import Path

from iotcore import Broker

from careloop.errors import CareloopError
from careloop.stack.ports import free_port, port_is_free

# Larger than the largest message that ingest takes, so that too large ones become dead letters and not lost connections.
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
        directory: Where its configuration file goes.
        accounts: Password by user name; at least one.
    """

    def __init__(self, directory: Path, accounts: dict[str, str]) -> None:
        self.directory = directory.absolute()
        self._accounts = accounts
        self._broker: Broker | None = None
        self.port = 0

    def url_of(self, user: str) -> str:
        """The broker's address with one account's login."""
        return f"mqtt://{user}:{self._accounts[user]}@127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether the broker's process is alive."""
        return self._broker is not None and bool(self._broker.is_running)

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
        self._broker = Broker(config_path=str(config))
        try:
            self._broker.start()
        except (OSError, RuntimeError) as error:
            raise CareloopError(f"the embedded MQTT broker did not come up on port {self.port}: {error}") from error

    def stop(self) -> None:
        """Stop it; safe to call twice."""
        if self._broker is not None:
            self._broker.stop()
