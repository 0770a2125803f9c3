"""Finding tickets: lists by any wish, saved lists, counts, and words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from fastapi.exceptions import RequestValidationError
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.pages import decode_text, encode_text
from api.conventions.problems import Problem
from api.tickets.filters import BUILT_IN, COUNTED, Viewer, Walk, walk_of
from api.tickets.models import FilterChange, NewFilter, TicketWish
from api.tickets.repository import SQL, one
from api.tickets.service import seen
from api.tickets.words import asked_for

LARGEST_NUMBER = 2**63 - 1
EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
# A search collects so many hits before it ranks them, and takes so long at most before it says: go on with `next`.
WANTED_HITS = 300
SEARCH_WITHIN_MS = 25
LARGEST_HITS = 2**31 - 1
AGAIN_WITHIN_MS = 10_000
MOST_COUNTED_FILTERS = 50


def viewer_of(call: Call) -> Viewer:
    """Who looks."""
    principal = call.principal
    return Viewer(principal.user_id, principal.customer_id, principal.provider_id)


# Lists ------------------------------------------------------------------------------------------


async def list_tickets(call: Call, wish: TicketWish, after: str | None, limit: int) -> dict[str, Any]:
    """A page of the tickets that fit.

    Args:
        call: Whose connection is used.
        wish: Which ones, in which order.
        after: `next` of the page before.
        limit: At most so many; there may be fewer although there is a next page.
    """
    walk, values = walk_of(wish, viewer_of(call))
    values |= {**_place(walk, after), "fetch": limit + 1, "now": call.now}
    # One more than is shown, or a full page could not say that there is another.
    values["scan"] = max(walk.scan, limit + 1)
    # Planned anew each time, so that the values decide, not what was usual before.
    rows = await (await call.connection.execute(walk.rows(), values, prepare=False)).fetchall()
    if len(rows) > limit:
        rows = rows[:limit]
        last: DictRow | None = rows[-1]
    elif walk.fits:
        last = await _given_up_at(call, walk, values)
    else:
        last = None
    following = None if last is None else _cursor(walk, last["ticket_id"], last["placed_at"])
    items = [{name: value for name, value in row.items() if name != "placed_at"} for row in rows]
    return {"items": [seen(call, row) for row in items], "next": following}


async def _given_up_at(call: Call, walk: Walk, values: Mapping[str, Any]) -> DictRow | None:
    """The row at which a page stopped looking; None when it has seen all."""
    row = await (await call.connection.execute(walk.reached(), values, prepare=False)).fetchone()
    return row if row is not None and row["looked_at"] >= values["scan"] else None


def _cursor(walk: Walk, ticket_id: int, placed_at: datetime | None) -> str:
    if walk.order == "due" and placed_at is not None:
        return encode_text(f"{placed_at.isoformat()} {ticket_id}")
    return encode_text(str(ticket_id))


def _place(walk: Walk, after: str | None) -> dict[str, Any]:
    """Where a page begins."""
    if after is None:
        first = LARGEST_NUMBER if walk.order == "newest" else 0
        return {"after_id": first, "after_due": EARLIEST} if walk.order == "due" else {"after_id": first}
    *times, number = decode_text(after).split(" ")
    try:
        place: dict[str, Any] = {"after_id": int(number)}
        if times:
            place["after_due"] = datetime.fromisoformat(times[0]).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _no_cursor() from error
    if not 0 <= place["after_id"] <= LARGEST_NUMBER or len(times) != (walk.order == "due"):
        raise _no_cursor()
    return place


def _no_cursor() -> RequestValidationError:
    message = "is not a cursor of this list; start without it"
    return RequestValidationError([{"loc": ("query", "after"), "msg": message, "type": "value_error"}])


# Saved lists ------------------------------------------------------------------------------------


async def wish_named(call: Call, name: str, field: tuple[str, str] = ("query", "filter")) -> TicketWish:
    """The wish of a built-in or a saved list.

    Raises:
        RequestValidationError: There is none of that name.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    row = await one(call, "find_filter", {"name": name, "owner_key": call.principal.key})
    if row is None:
        message = f"there is no list {name!r}; GET /v1/ticket-filters lists them"
        raise RequestValidationError([{"loc": field, "msg": message, "type": "value_error"}])
    return TicketWish.model_validate(row["wish"])


def built_in() -> list[dict[str, Any]]:
    """The lists that every desk has, as they are answered."""
    return [
        {"filter_id": None, "name": name, "shared": True, "mine": False, "wish": _stored(wish), "version": 1}
        for name, wish in BUILT_IN.items()
    ]


async def list_filters(call: Call, page: Mapping[str, int]) -> list[dict[str, Any]]:
    """Saved lists that the caller may use, in ascending order of their number."""
    values = {**page, "owner_key": call.principal.key}
    rows = await (await call.connection.execute(SQL["list_filters"], values)).fetchall()
    return [_filter(call, row) for row in rows]


async def save_filter(call: Call, body: NewFilter) -> dict[str, Any]:
    """Keep a wish under a name.

    Raises:
        Problem: 409 when the name is taken, by oneself or among the shared ones.
    """
    values = {**body.model_dump(exclude={"wish"}), "owner_key": call.principal.key, "now": call.now}
    row = None
    if body.name not in BUILT_IN:
        row = await one(call, "insert_filter", {**values, "wish": Jsonb(_stored(body.wish))})
    if row is None:
        raise Problem.conflict("name-taken", f"there is a list {body.name!r} already")
    return _filter(call, row)


async def change_filter(call: Call, filter_id: int, change: FilterChange, version: int) -> dict[str, Any]:
    """Change a list that is still at the version seen; one's own, or a shared one for who leads.

    Raises:
        Problem: 403, 404, 409 when the name is taken among the shared ones, 412.
    """
    found = await one(call, "lock_filter", {"filter_id": filter_id, "owner_key": call.principal.key})
    if found is None:
        raise Problem.not_found("list", filter_id)
    _require_own(call, found)
    if found["version"] != version:
        raise changed_meanwhile("list", version)
    given = change.model_fields_set
    shared = change.shared if "shared" in given else found["shared"]
    values = {"filter_id": filter_id, "shared": shared}
    values["wish"] = Jsonb(_stored(change.wish) if "wish" in given else found["wish"])
    try:
        async with call.connection.transaction():
            row = await one(call, "change_filter", values)
    except psycopg.errors.UniqueViolation as error:
        raise Problem.conflict("name-taken", f"there is a shared list {found['name']!r} already") from error
    if row is None:
        raise LookupError(f"list {filter_id} is gone although it is locked")
    return _filter(call, row)


async def delete_filter(call: Call, filter_id: int) -> None:
    """Forget a list; one's own, or a shared one for who leads.

    Raises:
        Problem: 403, 404.
    """
    found = await one(call, "lock_filter", {"filter_id": filter_id, "owner_key": call.principal.key})
    if found is None:
        raise Problem.not_found("list", filter_id)
    _require_own(call, found)
    await call.connection.execute(SQL["delete_filter"], {"filter_id": filter_id})


def _require_own(call: Call, found: DictRow) -> None:
    if found["owner_key"] != call.principal.key and call.principal.role not in {"admin", "desk_lead"}:
        raise Problem(403, "not-yours", f"the list {found['name']!r} is somebody else's; make one of your own")


def _filter(call: Call, row: DictRow) -> dict[str, Any]:
    own = row["owner_key"] == call.principal.key
    return {name: row[name] for name in ("filter_id", "name", "shared", "wish", "version")} | {"mine": own}


def _stored(wish: TicketWish) -> dict[str, Any]:
    return wish.model_dump(mode="json", exclude_none=True)


async def count_filters(call: Call) -> list[dict[str, Any]]:
    """How many tickets the built-in lists and the first saved ones have, each counted up to a bound."""
    wishes = dict(BUILT_IN)
    if not call.principal.scoped:
        for row in await list_filters(call, {"after_id": 0, "fetch": MOST_COUNTED_FILTERS}):
            wishes.setdefault(row["name"], TicketWish.model_validate(row["wish"]))
    cursors = []
    async with call.connection.pipeline():
        for wish in wishes.values():
            walk, values = walk_of(wish, viewer_of(call))
            values |= {**_place(walk, None), "scan": min(COUNTED, walk.scan), "now": call.now}
            cursor = await call.connection.execute(walk.count(), values, prepare=False)
            cursors.append((cursor, values["scan"]))
    counts = []
    for name, (cursor, bound) in zip(wishes, cursors, strict=True):
        counted = await cursor.fetchone()
        if counted is None:
            raise LookupError(f"the count of {name} has no row")
        counts.append({"name": name, "count": counted["counted"], "more": counted["looked_at"] >= bound})
    return counts


# Words ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where a page of a search begins: in which stretch of numbers, and after which hit of it.

    Attributes:
        top: Largest number of the stretch.
        ground: Its smallest number; 0 while it is not yet known how far down it goes.
        score: Of the last hit shown.
        after_id: Number of the last hit shown.
    """

    top: int = LARGEST_NUMBER
    ground: int = 0
    score: float = math.inf
    after_id: int = LARGEST_NUMBER

    def __str__(self) -> str:
        return f"{self.top} {self.ground} {self.score!r} {self.after_id}"


async def search(call: Call, question: str, after: str | None, limit: int) -> dict[str, Any]:
    """A page of the tickets that have all words of a question: newest stretch of cases first, in it the best first.

    Raises:
        RequestValidationError: The question has no word, or `after` is no cursor.
    """
    asked = asked_for(question, call.principal.role)
    if asked is None:
        message = "has no word; give letters, digits or characters"
        raise RequestValidationError([{"loc": ("query", "q"), "msg": message, "type": "value_error"}])
    place = _search_place(after)
    # A stretch searched before is searched whole again, whatever time it takes, or pages would not fit together.
    again = place.ground > 0 or place.score != math.inf
    values = {
        "asked": asked, "top": place.top, "ground": place.ground, "score": place.score, "after_id": place.after_id,
        "wanted": LARGEST_HITS if again else WANTED_HITS, "within_ms": AGAIN_WITHIN_MS if again else SEARCH_WITHIN_MS,
        "fetch": limit + 1,
    }  # fmt: skip
    rows = await (await call.connection.execute(SQL["search_tickets"], values)).fetchall()
    bottom, newest_id = rows[0]["bottom"] or 0, rows[0]["newest_id"] or 0
    hits = [row for row in rows if row["ticket_id"] is not None]
    following: _Place | None = None
    if len(hits) > limit:
        hits = hits[:limit]
        last = hits[-1]
        following = _Place(min(place.top, newest_id), bottom, last["score"], last["ticket_id"])
    elif bottom > 0:
        following = _Place(top=bottom - 1)
    hidden = {"bottom", "newest_id"}
    items = [seen(call, {name: value for name, value in row.items() if name not in hidden}) for row in hits]
    return {"items": items, "next": None if following is None else encode_text(str(following))}


def _search_place(after: str | None) -> _Place:
    if after is None:
        return _Place()
    try:
        top, ground, score, after_id = decode_text(after).split(" ")
        place = _Place(int(top), int(ground), float(score), int(after_id))
    except ValueError as error:
        raise _no_cursor() from error
    if not all(0 <= number <= LARGEST_NUMBER for number in (place.top, place.ground, place.after_id)):
        raise _no_cursor()
    return place
