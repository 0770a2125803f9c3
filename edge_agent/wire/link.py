"""How to reach the broker."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from careloop.errors import CareloopError

Confirm = Literal["stored", "broker"]


@dataclass(frozen=True)
class Link:
    """How to reach the broker, and when to believe it.

    Attributes:
        url: `mqtt://user:password@host:port` or `mqtts://…`.
        ca_file: CA certificate for an mqtts:// broker; the system's when None.
        cert_file: Client certificate, for mutual TLS.
        key_file: Its private key.
        keepalive_s: Seconds of silence after which the link is tested.
        inflight: Most messages sent and not yet acknowledged by the broker, which may lower it.
        reconnect_min_s: First pause before connecting again; doubled each time, with jitter.
        reconnect_max_s: Longest pause.
        wait_for_subscriber: Whether a message that nobody is subscribed to is kept and sent again.
        confirm: Who says that a message is safe: the store (ingest, after its commit), or the broker.
        unconfirmed: Most messages sent and not yet confirmed.
        unconfirmed_bytes: The same in bytes.
        confirm_within_s: Unconfirmed for so long after the broker took it, a message is sent again; doubled each time.
        confirm_within_max_s: Longest such pause.
    """

    url: str
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive_s: int = 30
    inflight: int = 50
    reconnect_min_s: float = 1.0
    reconnect_max_s: float = 60.0
    wait_for_subscriber: bool = True
    confirm: Confirm = "stored"
    unconfirmed: int = 1000
    unconfirmed_bytes: int = 4 * 1024 * 1024
    confirm_within_s: float = 15.0
    confirm_within_max_s: float = 300.0


def tls_context(link: Link) -> ssl.SSLContext:
    """The TLS settings of an mqtts:// link.

    Raises:
        CareloopError: A file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=str(link.ca_file) if link.ca_file else None)
        if link.cert_file:
            context.load_cert_chain(link.cert_file, link.key_file)
    except (OSError, ssl.SSLError) as error:
        raise CareloopError(
            f"the TLS files of the broker cannot be read: {error}; check ca_file, cert_file, key_file"
        ) from error
    return context
