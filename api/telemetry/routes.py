"""`/v1/assets/{serial}/readings`, `/v1/assets/{serial}/events`, `/v1/telemetry/latest`."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Name, Serial, Time
from api.conventions.pages import CurrentNamePage, CurrentPage, Page
from api.conventions.problems import RESPONSES, Problem
from api.conventions.roles import FIELD, STAFF
from api.telemetry import rules, service
from api.telemetry.models import Chart, Event, LatestOfAsset

router = APIRouter(prefix="/v1", tags=["telemetry"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
WEEK = timedelta(days=7)
MOST_POINTS = 5000


class AskedSpan:
    """The span of time that a caller asks about: the week before now, if it doesn't say."""

    def __init__(
        self,
        call: CurrentCall,
        from_time: Annotated[Time | None, Query(alias="from", description="first instant; a week before `to`")] = None,
        to_time: Annotated[Time | None, Query(alias="to", description="the instant after the last; now")] = None,
    ) -> None:
        end = to_time or call.now
        try:
            self.span = rules.Span(from_time or end - WEEK, end)
        except OverflowError as error:
            raise Problem.bad_field("query.to", "is too early for a week before it; give `from`") from error
        if self.span.from_time >= end:
            raise Problem.bad_field("query.from", "must be before `to`")


CurrentSpan = Annotated[AskedSpan, Depends(AskedSpan)]


@router.get("/assets/{serial}/readings", dependencies=EVERYBODY)
async def get_chart(
    serial: Serial,
    metric: Annotated[Name, Query()],
    asked: CurrentSpan,
    call: CurrentCall,
    points: Annotated[int, Query(ge=1, le=MOST_POINTS, description="about so many buckets at most")] = 500,
) -> Chart:
    """A metric of an asset over time, as buckets with mean, least and greatest value."""
    return Chart(**await service.chart(call, serial, metric, asked.span, points))


@router.get("/assets/{serial}/events", dependencies=EVERYBODY)
async def list_events(
    serial: Serial,
    page: CurrentNamePage,
    asked: CurrentSpan,
    call: CurrentCall,
    code: Annotated[Name | None, Query()] = None,
) -> Page[Event]:
    """Events of an asset, newest first, of one code if wished."""
    after = (asked.span.to_time, 0)
    if page.after_name:
        try:
            after = rules.parse_event_cursor(page.after_name)
        except ValueError as error:
            raise Problem.bad_field("query.after", "is not a cursor of this list; start without it") from error
    listed = {"code": code, "until": after[0], "skip": after[1], "fetch": page.limit + 1}
    rows = await service.events(call, serial, asked.span, listed)
    cursors = rules.event_cursors((row["time"] for row in rows), after)
    marked = [{**row, "cursor": cursor} for row, cursor in zip(rows, cursors, strict=True)]
    return Page[Event].model_validate(page.page(marked, "cursor"))


@router.get("/telemetry/latest", dependencies=EVERYBODY)
async def list_latest(
    page: CurrentPage, call: CurrentCall, model: Annotated[Name | None, Query()] = None
) -> Page[LatestOfAsset]:
    """Active assets with the last reading of each metric, of one product model if wished."""
    return Page[LatestOfAsset].model_validate(page.page(await service.latest(call, page.parameters, model), "asset_id"))
