"""Puts the device's identity in place of what a configuration would say about the broker."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

from careloop.errors import CareloopError
from edge_agent.identity.directory import Identity, IdentityDirectory
from edge_agent.wire.link import Link

if TYPE_CHECKING:
    from edge_agent.identity.renewal import Renewer


@dataclass(frozen=True)
class Joined:
    """An identity and where it is kept."""

    directory: IdentityDirectory
    identity: Identity

    @classmethod
    def load(cls, path: Path) -> "Joined":
        """Read the identity.

        Raises:
            CareloopError: There is none, or it is damaged.
        """
        directory = IdentityDirectory(path)
        identity = directory.load()
        if identity is None:
            raise CareloopError(
                f"{path} holds no identity; get one: careloop edge claim --api URL --serial SERIAL --into {path}"
            )
        return cls(directory, identity)

    def agent_id_instead_of(self, configured: str | None) -> str:
        """The agent's id, which the broker knows it by.

        Raises:
            CareloopError: The configuration says another.
        """
        if configured not in {None, self.identity.agent_id}:
            raise CareloopError(
                f"the agent is called {configured} in its configuration and {self.identity.agent_id} in its identity; "
                "leave [agent] id and CARELOOP_EDGE_ID out"
            )
        return self.identity.agent_id

    def join(self, link: Link, *, names_broker: bool) -> Link:
        """The link with this identity.

        Args:
            link: As configured.
            names_broker: Whether a broker is configured, or else the identity's is meant.

        Raises:
            CareloopError: No broker is named, or a certificate would go unencrypted.
        """
        if not names_broker and self.identity.broker_url is None:
            raise CareloopError("neither the identity nor the configuration names a broker; set CARELOOP_BROKER_URL")
        url = link.url if names_broker else self.identity.broker_url or link.url
        link = replace(link, url=url, ca_file=link.ca_file or self.directory.broker_ca_file)
        if self.identity.kind == "certificate":
            if not url.startswith("mqtts:"):
                raise CareloopError(f"{without_login(url)} is not encrypted; a certificate needs an mqtts:// broker")
            return replace(link, cert_file=self.directory.device_file, key_file=None)
        return replace(link, url=_with_login(url, self.identity.agent_id, self.identity.password or ""))


class NoRenewal:
    """Of an agent that has nothing to renew."""

    def stop(self) -> None:
        """Nothing runs."""

    def take_renewed(self) -> bool:
        """There is never a new certificate."""
        return False


def start_renewal(
    joined: Joined | None, now: Callable[[], datetime], wake: Callable[[], None]
) -> "Renewer | NoRenewal":
    """Begin to watch the certificate, where there is one.

    Args:
        joined: The identity, if any.
        now: The device's clock.
        wake: Called from another thread when there is a new certificate.
    """
    if joined is None or joined.identity.kind != "certificate":
        return NoRenewal()
    from edge_agent.identity.renewal import Renewer  # noqa: PLC0415 - an HTTP client's memory, for who needs it only

    renewer = Renewer(joined.directory, joined.identity, now, wake)
    renewer.start()
    return renewer


def without_login(url: str) -> str:
    """A broker's address as it may be shown."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _with_login(url: str, name: str, password: str) -> str:
    parts = urlsplit(url)
    netloc = f"{quote(name, safe='')}:{quote(password, safe='')}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=netloc))
