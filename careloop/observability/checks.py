"""Checks for `/ready` that more than one process needs."""

import urllib.error
import urllib.request
from http import HTTPStatus
from http.client import HTTPException

from careloop.errors import CareloopError
from careloop.observability.probes import Check

ANSWER_WITHIN_S = 2.5


def api_check(api_url: str) -> Check:
    """Whether the REST API is ready."""

    def check() -> str:
        try:
            with urllib.request.urlopen(f"{api_url.rstrip('/')}/ready", timeout=ANSWER_WITHIN_S):  # noqa: S310 - CARELOOP_API_URL, which the operator sets
                return f"{api_url} is ready"
        except urllib.error.HTTPError as error:
            error.close()
            reason = "is not ready" if error.code == HTTPStatus.SERVICE_UNAVAILABLE else f"answers {error.code}"
            raise CareloopError(f"{api_url} {reason}") from error
        except (OSError, ValueError, HTTPException) as error:
            reason = str(getattr(error, "reason", error))
            raise CareloopError(f"{api_url} does not answer: {reason}; is CARELOOP_API_URL right?") from error

    return check
