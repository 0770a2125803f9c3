"""`/v1/assets/{serial}/timeline`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.exceptions import RequestValidationError

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Serial, Time
from api.conventions.pages import CurrentNamePage, Page
from api.conventions.problems import RESPONSES, Problem
from api.conventions.roles import FIELD, STAFF
from api.timeline import rules, service
from api.timeline.models import Entry

router = APIRouter(prefix="/v1/assets", tags=["assets"], route_class=CallRoute, responses=RESPONSES)


def _kinds(
    kinds: Annotated[
        str | None, Query(max_length=300, description=f"with commas between them: {', '.join(rules.KINDS)}")
    ] = None,
) -> list[rules.Kind]:
    if kinds is None:
        return list(rules.KINDS)
    named = set(kinds.split(","))
    unknown = sorted(named - set(rules.KINDS))
    if unknown:
        message = f"has {', '.join(map(repr, unknown))}; may have, with commas between: {', '.join(rules.KINDS)}"
        raise RequestValidationError([{"loc": ("query", "kinds"), "msg": message, "type": "value_error"}])
    return [kind for kind in rules.KINDS if kind in named]


class AskedSpan:
    """The span of time that a caller asks about: all there was, if it doesn't say."""

    def __init__(
        self,
        call: CurrentCall,
        from_time: Annotated[
            Time | None, Query(alias="from", description="first instant; left out, the beginning")
        ] = None,
        to_time: Annotated[
            Time | None, Query(alias="to", description="the instant after the last; left out, now")
        ] = None,
    ) -> None:
        self.from_time = from_time or rules.FIRST
        self.to_time = to_time or call.now


@router.get("/{serial}/timeline", dependencies=[allow(*STAFF, *FIELD, "customer")])
async def get_timeline(
    serial: Serial,
    call: CurrentCall,
    page: CurrentNamePage,
    kinds: Annotated[list[rules.Kind], Depends(_kinds)],
    asked: Annotated[AskedSpan, Depends(AskedSpan)],
) -> Page[Entry]:
    """Everything that happened to an asset, newest first.

    What the machine said, its cases and their states, work, parts, repairs, quotes, warranty, owners, firmware, papers.
    With `to` in the future, also what is known to come, e.g. the end of a warranty.
    """
    until = rules.Place(asked.to_time)
    if page.after_name:
        try:
            until = rules.parse_place(page.after_name)
        except ValueError as error:
            raise Problem.bad_field("query.after", "is not a cursor of this list; start without it") from error
    rows = await service.timeline(
        call, serial, kinds=kinds, from_time=asked.from_time, until=until, most=page.limit + 1
    )
    entries = [
        {**row, "ref": {"type": row["ref_type"], "id": row["ref_id"]}, "cursor": str(rules.place_of(row))}
        for row in rows
    ]
    return Page[Entry].model_validate(page.page(entries, "cursor"))
