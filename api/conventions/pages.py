"""Lists, a page at a time, by an opaque cursor: the last number of the page before."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

LARGEST_PAGE = 500

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """One page; `next` is the cursor of the following one, or null on the last."""

    items: list[Item]
    next: str | None


class PageRequest:
    """Which page a caller wants.

    Attributes:
        after_id: Items with a larger number; 0 for the first page.
        limit: At most so many.
    """

    def __init__(
        self,
        after: Annotated[str | None, Query(description="`next` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
    ) -> None:
        self.after_id = _decode(after) if after else 0
        self.limit = limit

    @property
    def parameters(self) -> dict[str, int]:
        """Query parameters `after_id` and `fetch`: one row more than wanted, to know whether a page follows."""
        return {"after_id": self.after_id, "fetch": self.limit + 1}

    def page(self, rows: Sequence[dict[str, Any]], number: str) -> dict[str, Any]:
        """The page of the rows fetched.

        Args:
            rows: Up to `fetch` rows in ascending order of their number.
            number: Name of the column that holds the number.
        """
        items = rows[: self.limit]
        following = _encode(items[-1][number]) if len(rows) > self.limit else None
        return {"items": items, "next": following}


class NamePageRequest:
    """Which page a caller wants of a list that is ordered by a text, e.g. an agent's id.

    Attributes:
        after_name: Items after it; empty for the first page.
        limit: At most so many.
    """

    def __init__(
        self,
        after: Annotated[str | None, Query(description="`next` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
    ) -> None:
        self.after_name = _decode_text(after) if after else ""
        self.limit = limit

    @property
    def parameters(self) -> dict[str, Any]:
        """Query parameters `after_name` and `fetch`: one row more than wanted, to know whether a page follows."""
        return {"after_name": self.after_name, "fetch": self.limit + 1}

    def page(self, rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
        """The page of the rows fetched, in ascending order of the column `name`."""
        items = rows[: self.limit]
        following = _encode(items[-1][name]) if len(rows) > self.limit else None
        return {"items": items, "next": following}


CurrentPage = Annotated[PageRequest, Depends(PageRequest)]
CurrentNamePage = Annotated[NamePageRequest, Depends(NamePageRequest)]


def encode_cursor(number: int) -> str:
    """The cursor that goes on after a number."""
    return _encode(number)


def encode_text(mark: str) -> str:
    """A cursor of more than a number."""
    return _encode(mark)


def decode_text(cursor: str) -> str:
    """What `encode_text` was given.

    Raises:
        RequestValidationError: It is no cursor.
    """
    return _decode_text(cursor)


def decode_cursor(cursor: str, field: str) -> int:
    """The number that a cursor in a field of a body goes on after.

    Raises:
        RequestValidationError: It is none, naming the field.
    """
    try:
        return _decode(cursor)
    except RequestValidationError as error:
        message = "is not a cursor of this API; start without it"
        place = {"loc": tuple(field.split(".")), "msg": message, "type": "value_error"}
        raise RequestValidationError([place]) from error


def _encode(mark: int | str) -> str:
    return base64.urlsafe_b64encode(str(mark).encode()).decode().rstrip("=")


def _decode(cursor: str) -> int:
    try:
        number = int(_decode_text(cursor))
    except ValueError:
        number = -1
    if not 0 <= number < 2**63:
        raise _no_cursor()
    return number


def _decode_text(cursor: str) -> str:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (ValueError, binascii.Error) as error:
        raise _no_cursor() from error
    if not text or "\x00" in text:
        raise _no_cursor()
    return text


def _no_cursor() -> RequestValidationError:
    message = "is not a cursor of this API; start without it"
    return RequestValidationError([{"loc": ("query", "after"), "msg": message, "type": "value_error"}])
