"""Talks to the API: one POST, by what Python brings along."""

import json
import ssl
from collections.abc import Mapping
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from careloop.errors import CareloopError

TIMEOUT_S = 30.0
LONGEST_ANSWER = 1 << 20
THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})


class RefusedError(CareloopError):
    """The API said no; trying again as it is will not help.

    Attributes:
        status: HTTP status.
    """

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(text)


class UnreachableError(CareloopError):
    """There was no answer, or one that says to come again later."""


class _NoRedirect(HTTPRedirectHandler):
    """A secret goes where it was sent to, and nowhere else."""

    def redirect_request(  # noqa: PLR0917 - urllib's own signature
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Follow nothing."""


def require_safe(api_url: str) -> None:
    """See to it that secrets go out encrypted.

    Raises:
        CareloopError: It is not https://, and not this machine.
    """
    parts = urlsplit(api_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CareloopError(f"{api_url} is not the address of an API; it looks like https://careloop.example.com")
    if parts.scheme == "http" and parts.hostname not in THIS_MACHINE:
        raise CareloopError(f"{api_url} is not encrypted, and a claim key is a secret; name it by https://")


def post(api_url: str, path: str, body: Mapping[str, object], ca_file: Path | None) -> dict[str, object]:
    """POST a JSON object and return the answer.

    Args:
        api_url: Address of the API.
        path: E.g. `/v1/devices/claim`.
        body: What to send.
        ca_file: CA of the API's certificate; None: the system's.

    Raises:
        RefusedError: It said no.
        UnreachableError: It did not answer, or cannot now.
        CareloopError: The address or the CA is not right.
    """
    require_safe(api_url)
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise CareloopError(f"the API's CA {ca_file} cannot be read: {error}") from error
    request = Request(  # noqa: S310 - require_safe has seen to the scheme
        api_url.rstrip("/") + path,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Accept": "application/json"},
        method="POST",
    )
    try:
        with build_opener(_NoRedirect, HTTPSHandler(context=context)).open(request, timeout=TIMEOUT_S) as response:
            answer = json.loads(response.read(LONGEST_ANSWER))
    except HTTPError as error:
        with error:
            text = f"{api_url} refused ({error.code}): {_detail(error)}"
        if error.code == 429 or error.code >= 500:
            raise UnreachableError(text) from error
        raise RefusedError(error.code, text) from error
    except ssl.SSLCertVerificationError as error:
        raise UnreachableError(f"the certificate of {api_url} cannot be checked: {error.verify_message}") from error
    except (URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        raise UnreachableError(f"{api_url} cannot be reached: {reason}") from error
    except ValueError as error:
        raise UnreachableError(f"{api_url} did not answer with JSON; is it careloop's API?") from error
    if not isinstance(answer, dict):
        raise UnreachableError(f"{api_url} did not answer with an object; is it careloop's API?")
    return answer


def _detail(error: HTTPError) -> str:
    """What the problem document says."""
    try:
        problem = json.loads(error.read(LONGEST_ANSWER))
        return str(problem["detail"])
    except (ValueError, KeyError, TypeError, OSError, HTTPException):
        return str(error.reason)
