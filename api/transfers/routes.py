"""`/v1/transfers`: planned, shipped, received."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import tag
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.parts.models import Code
from api.transfers import receiving, repository, service
from api.transfers.models import Ending, NewArrival, NewShipment, NewTransfer, Pick, Shipment, Transfer
from api.transfers.rules import TransferState
from api.warehouses.service import get_warehouse

router = APIRouter(prefix="/v1/transfers", tags=["transfers"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
DESK = [allow("agent", "dispatcher", "service")]
# A partner for its own warehouses: it buys parts so, and may think better of it.
PLANNERS = [allow("agent", "dispatcher", "service", "partner_manager")]
# Each in its own warehouses.
HANDS = [allow("agent", "dispatcher", "service", *FIELD)]


@router.post("", status_code=201, dependencies=PLANNERS)
async def plan_transfer(body: NewTransfer, call: CurrentCall, response: Response) -> Transfer:
    """Plan a transfer; its pieces are kept from now on."""
    transfer = Transfer(**await service.plan(call, body))
    tag(response, transfer.version)
    return transfer


@router.get("", dependencies=EVERYBODY)
async def list_transfers(  # noqa: PLR0917 - FastAPI gives them by name
    page: CurrentPage,
    call: CurrentCall,
    state: TransferState | None = None,
    sku: Annotated[Code | None, Query()] = None,
    origin: Annotated[Code | None, Query(alias="from")] = None,
    to: Annotated[Code | None, Query()] = None,
    ticket_id: Annotated[Id | None, Query(description="for this case")] = None,
    reservation_id: Annotated[Id | None, Query(description="whose pieces travel")] = None,
) -> Page[Transfer]:
    """Transfers that fit."""
    wanted = {
        **page.parameters,
        "state": state,
        "sku": sku,
        "origin": origin,
        "destination": to,
        "ticket_id": ticket_id,
        "reservation_id": reservation_id,
    }
    rows = await repository.list_transfers(call, wanted, overdue=False)
    return Page[Transfer].model_validate(page.page(rows, "transfer_id"))


@router.get("/overdue", dependencies=EVERYBODY)
async def list_overdue_transfers(page: CurrentPage, call: CurrentCall) -> Page[Transfer]:
    """Transfers that should have arrived."""
    rows = await repository.list_transfers(call, page.parameters, overdue=True)
    return Page[Transfer].model_validate(page.page(rows, "transfer_id"))


@router.get("/picking", dependencies=EVERYBODY)
async def list_picks(page: CurrentPage, call: CurrentCall, warehouse: Annotated[Code, Query()]) -> Page[Pick]:
    """What is to be taken from a warehouse's shelves, each page in the order of its bins."""
    found = await get_warehouse(call, warehouse)
    wanted = {**page.parameters, "warehouse_id": found["warehouse_id"]}
    rows = await (await call.connection.execute(service.SQL["list_picks"], wanted)).fetchall()
    shown = page.page(rows, "transfer_id")
    shown["items"].sort(key=lambda pick: (pick["bin"] is None, pick["bin"], pick["sku"], pick["transfer_id"]))
    return Page[Pick].model_validate(shown)


@router.post("/shipments", status_code=201, dependencies=HANDS)
async def ship_transfers(body: NewShipment, call: CurrentCall) -> Shipment:
    """Let planned transfers leave together; the partner whose warehouse they go to is charged for them."""
    return Shipment.model_validate(await service.ship(call, body))


@router.get("/{transfer_id}", dependencies=EVERYBODY)
async def get_transfer(transfer_id: Id, call: CurrentCall, response: Response) -> Transfer:
    """One transfer."""
    transfer = Transfer(**await service.get_transfer(call, transfer_id))
    tag(response, transfer.version)
    return transfer


@router.post("/{transfer_id}/receive", dependencies=HANDS)
async def receive_transfer(transfer_id: Id, body: NewArrival, call: CurrentCall) -> Transfer:
    """Take in what came; damaged pieces go to quarantine, the rest is still on its way."""
    return Transfer(**await receiving.receive(call, transfer_id, body))


@router.post("/{transfer_id}/lose", dependencies=DESK)
async def lose_transfer(transfer_id: Id, body: Ending, call: CurrentCall) -> Transfer:
    """Give up what has not come."""
    return Transfer(**await receiving.lose(call, transfer_id, body.reason))


@router.post("/{transfer_id}/cancel", dependencies=PLANNERS)
async def cancel_transfer(transfer_id: Id, body: Ending, call: CurrentCall) -> Transfer:
    """Give up a transfer that has not left."""
    return Transfer(**await service.cancel(call, transfer_id, body.reason))
