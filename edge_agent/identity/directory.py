"""Where a device's identity is kept.

`identity.json` says who the device is; it is written last, so where it is, the rest is. `device.pem` holds the private
key and the certificate in one file, because the two change together. What is made for a claim or renewal under way
stands in `pending.…` until it has succeeded, so that it can be sent again after a lost answer or a power cut.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from careloop.errors import CareloopError

IDENTITY, DEVICE, BROKER_CA, API_CA = "identity.json", "device.pem", "broker-ca.pem", "api-ca.pem"
PENDING_KEY, PENDING_SECRET = "pending.key.pem", "pending.secret"


@dataclass(frozen=True)
class Identity:
    """Who the device is.

    Attributes:
        agent_id: Its own id, and its user name at the broker.
        kind: By what it proves that.
        api_url: Where it was claimed, and is renewed.
        broker_url: Where it connects to; None: the configuration says so.
        password: Of a device without a certificate.
        issued_at: When the certificate was made, by the platform's clock.
        expires_at: When it ends.
    """

    agent_id: str
    kind: Literal["password", "certificate"]
    api_url: str
    broker_url: str | None
    password: str | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        """Without the password, which must not get into a log."""
        return f"Identity({self.agent_id!r}, {self.kind!r}, expires_at={self.expires_at})"


class IdentityDirectory:
    """Files of one identity, each with mode 0600 and replaced whole.

    Args:
        path: The directory; made with mode 0700 when something is first put there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def device_file(self) -> Path:
        """Private key and certificate, in PEM."""
        return self.path / DEVICE

    @property
    def broker_ca_file(self) -> Path | None:
        """CA of the broker's own certificate; None: a public one."""
        return self._there(BROKER_CA)

    @property
    def api_ca_file(self) -> Path | None:
        """CA of the API's own certificate; None: a public one."""
        return self._there(API_CA)

    def load(self) -> Identity | None:
        """Who the device is; None before it was claimed.

        Raises:
            CareloopError: The files cannot be read.
        """
        text = self.read(IDENTITY)
        if text is None:
            return None
        try:
            said = json.loads(text)
            said |= {name: _moment(said[name]) for name in ("issued_at", "expires_at")}
            return Identity(**said)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CareloopError(
                f"{self.path / IDENTITY} is damaged ({error}); release the device at the API and claim it again"
            ) from error

    def save(self, identity: Identity) -> None:
        """Say who the device is; whatever belongs to it was put first."""
        said = {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(identity).items()
        }
        self.put(IDENTITY, json.dumps(said, indent=2) + "\n")

    def read(self, name: str) -> str | None:
        """What a file says; None when it is not there.

        Raises:
            CareloopError: It cannot be read.
        """
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise CareloopError(f"the identity {self.path / name} cannot be read: {error}") from error

    def put(self, name: str, text: str) -> None:
        """Write a file so that a power cut leaves the old one or the new one.

        Raises:
            CareloopError: It cannot be written.
        """
        file = self.path / name
        draft = file.with_name(f".{name}.draft")
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.unlink(missing_ok=True)
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(file)
            _sync(self.path)
        except OSError as error:
            raise CareloopError(f"the identity cannot be written: {file}: {error.strerror}") from error

    def drop(self, *names: str) -> None:
        """Remove files, if they are there."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def take(self, answer: Mapping[str, object], api_url: str, private_key: str | None) -> Identity:
        """Keep what the API answered to a claim or a renewal.

        Args:
            answer: The API's identity document.
            api_url: Where it came from.
            private_key: PEM of the key that the certificate is for; None with a password.

        Raises:
            CareloopError: It is not such a document, or cannot be written.
        """
        try:
            broker = answer["broker"]
            assert isinstance(broker, Mapping)  # noqa: S101 - turned into an error below
            identity = Identity(
                agent_id=_text(answer["agent_id"]),
                kind="certificate" if private_key else "password",
                api_url=api_url,
                broker_url=None if broker["url"] is None else _text(broker["url"]),
                password=None if private_key else _text(answer["password"]),
                issued_at=_moment(answer["issued_at"]) if private_key else None,
                expires_at=_moment(answer["expires_at"]) if private_key else None,
            )
            certificate = _text(answer["certificate"]) if private_key else None
            broker_ca = None if broker["ca"] is None else _text(broker["ca"])
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            raise CareloopError(
                f"{api_url} did not answer with an identity ({error!r}); is it careloop's API?"
            ) from error
        if private_key and certificate:
            self.put(DEVICE, f"{private_key.strip()}\n{certificate.strip()}\n")
        if broker_ca is not None:
            self.put(BROKER_CA, broker_ca)
        self.save(identity)
        self.drop(PENDING_KEY, PENDING_SECRET)
        return identity

    def _there(self, name: str) -> Path | None:
        file = self.path / name
        return file if file.exists() else None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in place of a text")
    return value


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError(f"{value} has no offset")
    return moment


def _sync(directory: Path) -> None:
    """The name of a file is as durable as the directory that holds it."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
