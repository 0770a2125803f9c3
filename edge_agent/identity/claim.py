"""Gets a device's identity, once, and the next one for it."""

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from careloop.errors import CareloopError
from edge_agent.identity.directory import API_CA, PENDING_KEY, PENDING_SECRET, Identity, IdentityDirectory
from edge_agent.identity.exchange import post, require_safe
from edge_agent.identity.keys import new_key, request_for, sign_renewal


def claim(
    directory: IdentityDirectory,
    api_url: str,
    *,
    claim_key: str,
    serial: str,
    certificate: bool,
    assets: Sequence[str] | None,
    ca_file: Path | None,
) -> Identity:
    """Turn a claim key into this device's identity.

    Run again after a lost answer it sends the same, and gets the same.

    Args:
        directory: Where to keep the identity; there must be none yet.
        api_url: Address of the API.
        claim_key: The batch's key.
        serial: The device's serial number.
        certificate: Whether it wants a certificate, or else a password.
        assets: Serial numbers of the machines behind a gateway.
        ca_file: CA of the API's certificate; None: the system's.

    Raises:
        CareloopError: It was claimed before, the API refused, or nothing can be written.
    """
    require_safe(api_url)
    there = directory.load()
    if there is not None:
        raise CareloopError(
            f"{directory.path} holds the identity of {there.agent_id} already; name another directory, or release the "
            "device at the API and remove this one"
        )
    body: dict[str, object] = {"claim_key": claim_key, "serial": serial}
    if assets is not None:
        body["assets"] = list(assets)
    private_key = None
    if certificate:
        private_key = _pending(directory, PENDING_KEY, new_key)
        body |= {"want": "certificate", "csr": request_for(serial, private_key)}
    else:
        secret = _pending(directory, PENDING_SECRET, lambda: secrets.token_urlsafe(32))
        body |= {"want": "password", "device_secret": secret}
    if ca_file is not None:
        directory.put(API_CA, _text_of(ca_file))
    answer = post(api_url, "/v1/devices/claim", body, ca_file)
    return directory.take(answer, api_url, private_key)


def renew(directory: IdentityDirectory, identity: Identity) -> Identity:
    """Get the next certificate for the present one, with a new key.

    Raises:
        CareloopError: The API cannot be reached or refuses; the present identity stays.
    """
    present = directory.read(directory.device_file.name)
    if present is None:
        raise CareloopError(f"{directory.device_file} is missing; release the device at the API and claim it again")
    private_key = _pending(directory, PENDING_KEY, new_key)
    request = request_for(identity.agent_id, private_key)
    certificate, signature = sign_renewal(present, request)
    body = {"agent_id": identity.agent_id, "csr": request, "certificate": certificate, "signature": signature}
    answer = post(identity.api_url, "/v1/devices/renew", body, directory.api_ca_file)
    return directory.take(answer, identity.api_url, private_key)


def _pending(directory: IdentityDirectory, name: str, make: Callable[[], str]) -> str:
    """What was made for the exchange under way; on disk before it is sent."""
    kept = directory.read(name)
    if kept is None:
        kept = make()
        directory.put(name, kept)
    return kept


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise CareloopError(f"the CA {file} cannot be read: {error}") from error
