"""`/v1/dead-letters`."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Id, Serial, Time
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.intake import service
from api.intake.models import DeadLetter, DeadLetterWithPayload, NewReplay, ReasonCounts, Replay

router = APIRouter(prefix="/v1/dead-letters", tags=["intake"], route_class=CallRoute, responses=RESPONSES)

DESK = [allow("agent", "service")]


@router.get("", dependencies=DESK)
async def list_dead_letters(
    page: CurrentPage,
    call: CurrentCall,
    reason: Annotated[str | None, Query(max_length=64)] = None,
    serial: Serial | None = None,
    since: Time | None = None,
) -> Page[DeadLetter]:
    """What could not be stored, oldest first; of one reason, asset or time if wished."""
    parameters = {**page.parameters, "reason": reason, "serial": serial, "since": since}
    rows = await (await call.connection.execute(service.SQL["list_dead_letters"], parameters)).fetchall()
    return Page[DeadLetter].model_validate(page.page(rows, "dead_letter_id"))


@router.get("/reasons", dependencies=DESK)
async def count_reasons(call: CurrentCall) -> ReasonCounts:
    """How many there are for each reason."""
    rows = await (await call.connection.execute(service.SQL["count_reasons"])).fetchall()
    return ReasonCounts.model_validate({"items": rows})


@router.get("/replays", dependencies=DESK)
async def list_replays(page: CurrentPage, call: CurrentCall) -> Page[Replay]:
    """Requests to try dead letters again, and what became of them."""
    parameters = {**page.parameters, "replay_id": None}
    rows = await (await call.connection.execute(service.SQL["list_replays"], parameters)).fetchall()
    return Page[Replay].model_validate(page.page(rows, "replay_id"))


@router.post("/replays", status_code=202, dependencies=DESK)
async def request_replay(body: NewReplay, call: CurrentCall) -> Replay:
    """Try dead letters again, after their cause was mended; ingest takes it up within seconds."""
    return Replay(**await service.request_replay(call, body))


@router.get("/replays/{replay_id}", dependencies=DESK)
async def get_replay(replay_id: Id, call: CurrentCall) -> Replay:
    """One such request."""
    return Replay(**await service.get_replay(call, replay_id))


@router.get("/{dead_letter_id}", dependencies=DESK)
async def get_dead_letter(dead_letter_id: Id, call: CurrentCall) -> DeadLetterWithPayload:
    """One dead letter with its payload."""
    return DeadLetterWithPayload(**await service.get_dead_letter(call, dead_letter_id))
