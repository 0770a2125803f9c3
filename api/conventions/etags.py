"""Entity tags: `ETag: "7"` on what can be changed, `If-Match: "7"` on every change."""

import re
from typing import Annotated

from fastapi import Header, Response

from api.conventions.problems import Problem

_TAG = re.compile(r'"(\d{1,9})"')

IfMatch = Annotated[str | None, Header(alias="If-Match", description='The ETag you have seen, e.g. "7"')]


def tag(response: Response, version: int) -> None:
    """Put the version on an answer."""
    response.headers["ETag"] = f'"{version}"'


def require_version(if_match: str | None) -> int:
    """The version that the caller has seen.

    Raises:
        Problem: 428 without If-Match, 400 when it is no entity tag of ours.
    """
    if if_match is None:
        raise Problem(428, "if-match-missing", "send If-Match with the ETag of the version you have seen")
    match = _TAG.fullmatch(if_match.strip())
    if match is None:
        raise Problem(400, "bad-etag", f'If-Match {if_match!r} is not an ETag of this API, e.g. "7"')
    return int(match[1])


def changed_meanwhile(what: str, version: int) -> Problem:
    """412: somebody else was faster."""
    return Problem(412, "changed-meanwhile", f"the {what} is no longer at version {version}; read it again")
