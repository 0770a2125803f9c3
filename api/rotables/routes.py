"""`/v1/rotables`: parts with serial numbers of their own."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Id, Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.parts.models import Code, Sku
from api.rotables import service
from api.rotables.models import (
    Difference,
    End,
    Event,
    GiveBack,
    Install,
    Issue,
    NewRotable,
    Reliability,
    Remove,
    Rotable,
    Send,
    Shelve,
    TakeBack,
)
from api.rotables.rules import RotableState

router = APIRouter(prefix="/v1/rotables", tags=["rotables"], route_class=CallRoute, responses=RESPONSES)

LOOKERS = [allow(*STAFF, *FIELD)]
STORES = [allow("agent", "dispatcher", "partner_manager", "service")]
FITTERS = [allow("agent", "dispatcher", *FIELD, "service")]


@router.post("", status_code=201, dependencies=STORES)
async def register_rotable(body: NewRotable, call: CurrentCall) -> Rotable:
    """Note a piece's serial number: in a warehouse, with its receipt, or in a machine."""
    return Rotable(**await service.register(call, body))


@router.get("", dependencies=LOOKERS)
async def list_rotables(
    page: CurrentPage,
    call: CurrentCall,
    sku: Annotated[Code | None, Query()] = None,
    serial: Annotated[Serial | None, Query(description="of the piece")] = None,
    *,
    state: Annotated[RotableState | None, Query()] = None,
    warehouse: Annotated[Code | None, Query()] = None,
    asset: Annotated[Serial | None, Query(description="serial number of a machine")] = None,
) -> Page[Rotable]:
    """All pieces with serial numbers, or those that fit."""
    wanted = {"sku": sku, "serial": serial, "state": state, "warehouse": warehouse, "asset": asset}
    rows = await service.rows(call, "list_rotables", {**page.parameters, **wanted})
    return Page[Rotable].model_validate(page.page(rows, "rotable_id"))


@router.get("/differences", dependencies=[allow(*STAFF)])
async def list_differences(call: CurrentCall) -> list[Difference]:
    """Where there are more or fewer serial numbers than pieces in the ledger; the first 1000."""
    return [Difference(**row) for row in await service.rows(call, "differences", {})]


@router.get("/reliability/{sku}", dependencies=[allow(*STAFF)])
async def get_reliability(sku: Sku, call: CurrentCall) -> Reliability:
    """How long pieces of a part last, how often they are repaired, for what, and for nothing."""
    return Reliability(**await service.reliability(call, sku))


@router.get("/{rotable_id}", dependencies=LOOKERS)
async def get_rotable(rotable_id: Id, call: CurrentCall) -> Rotable:
    """One piece."""
    return Rotable(**await service.get_rotable(call, rotable_id))


@router.get("/{rotable_id}/history", dependencies=LOOKERS)
async def list_events(rotable_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Event]:
    """Everything that was done with a piece, with the lines of the ledger that moved it."""
    await service.get_rotable(call, rotable_id)
    rows = await service.rows(call, "list_events", {**page.parameters, "rotable_id": rotable_id})
    return Page[Event].model_validate(page.page(rows, "rotable_event_id"))


@router.post("/{rotable_id}/issue", dependencies=STORES)
async def issue(rotable_id: Id, body: Issue, call: CurrentCall) -> Rotable:
    """Hand a piece out to a technician."""
    return Rotable(**await service.issue(call, rotable_id, body))


@router.post("/{rotable_id}/give-back", dependencies=STORES)
async def give_back(rotable_id: Id, body: GiveBack, call: CurrentCall) -> Rotable:
    """Take a piece back that a technician did not use."""
    return Rotable(**await service.give_back(call, rotable_id, body))


@router.post("/{rotable_id}/install", dependencies=FITTERS)
async def install(rotable_id: Id, body: Install, call: CurrentCall) -> Rotable:
    """Build a piece into a machine."""
    return Rotable(**await service.install(call, rotable_id, body))


@router.post("/{rotable_id}/remove", dependencies=FITTERS)
async def remove(rotable_id: Id, body: Remove, call: CurrentCall) -> Rotable:
    """Take a piece out of its machine."""
    return Rotable(**await service.remove(call, rotable_id, body))


@router.post("/{rotable_id}/take-in", dependencies=STORES)
async def take_in(rotable_id: Id, body: Shelve, call: CurrentCall) -> Rotable:
    """Put a piece that came out of a machine into a quarantine or a repair centre."""
    return Rotable(**await service.take_in(call, rotable_id, body))


@router.post("/{rotable_id}/release", dependencies=STORES)
async def release(rotable_id: Id, body: Shelve, call: CurrentCall) -> Rotable:
    """Make a piece stock again that nothing is wrong with."""
    return Rotable(**await service.release(call, rotable_id, body))


@router.post("/{rotable_id}/relocate", dependencies=STORES)
async def relocate(rotable_id: Id, body: Shelve, call: CurrentCall) -> Rotable:
    """Note that a piece has travelled to another warehouse by a transfer."""
    return Rotable(**await service.relocate(call, rotable_id, body))


@router.post("/{rotable_id}/send", dependencies=STORES)
async def send(rotable_id: Id, body: Send, call: CurrentCall) -> Rotable:
    """Send a piece out to be repaired."""
    return Rotable(**await service.send(call, rotable_id, body))


@router.post("/{rotable_id}/take-back", dependencies=STORES)
async def take_back(rotable_id: Id, body: TakeBack, call: CurrentCall) -> Rotable:
    """Take a piece back from repair."""
    return Rotable(**await service.take_back(call, rotable_id, body))


@router.post("/{rotable_id}/scrap", dependencies=STORES)
async def scrap(rotable_id: Id, body: End, call: CurrentCall) -> Rotable:
    """Scrap a piece, wherever it is."""
    return Rotable(**await service.end(call, rotable_id, "scrap", body))


@router.post("/{rotable_id}/lose", dependencies=STORES)
async def lose(rotable_id: Id, body: End, call: CurrentCall) -> Rotable:
    """Note that a piece cannot be found."""
    return Rotable(**await service.end(call, rotable_id, "lose", body))


@router.post("/{rotable_id}/find", dependencies=STORES)
async def find(rotable_id: Id, body: Shelve, call: CurrentCall) -> Rotable:
    """Put a piece that was lost and is found into a quarantine or a repair centre."""
    return Rotable(**await service.find(call, rotable_id, body))
