"""`/v1/repairs`: a machine's way through the workshop."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from psycopg.rows import DictRow

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import tag
from api.conventions.models import Id, Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES, Problem
from api.conventions.roles import FIELD, STAFF
from api.quotes.models import NewQuote
from api.repairs import parcels, service, workshop
from api.repairs.models import (
    Costs,
    Delay,
    Diagnosis,
    Ending,
    Exchange,
    Finish,
    KeptStandard,
    NewCost,
    NewLabel,
    NewRepair,
    Parcel,
    PartsOrder,
    Pickup,
    Receipt,
    Repair,
    RepairHead,
    RepairStandard,
    ReturnUnrepaired,
    Scrapping,
    TestResult,
    Tracking,
)
from api.repairs.repository import get_repair, list_repairs, rows
from api.repairs.rules import REPAIR_STATES

router = APIRouter(prefix="/v1", tags=["repairs"], route_class=CallRoute, responses=RESPONSES)

PARTIES = [allow(*STAFF, *FIELD, "customer")]
TRADE = [allow(*STAFF, *FIELD)]
WORKSHOP = [allow("agent", "dispatcher", "service", *FIELD)]
DESK = [allow("agent", "service")]


def _shown(response: Response, row: DictRow) -> Repair:
    tag(response, row["version"])
    return Repair(**row)


def _states(
    state: Annotated[str | None, Query(description="states, with commas between them", max_length=400)] = None,
) -> list[str]:
    if state is None:
        return list(REPAIR_STATES)
    wanted = list(dict.fromkeys(state.split(",")))
    for one in wanted:
        if one not in REPAIR_STATES:
            raise Problem.bad_field("query.state", f"{one!r} is none of: {', '.join(REPAIR_STATES)}")
    return wanted


class RepairFilter:
    """Which repairs a caller wants."""

    def __init__(
        self,
        states: Annotated[list[str], Depends(_states)],
        overdue: Annotated[bool, Query(description="only those whose next node is late")] = False,
        ticket_id: Annotated[Id | None, Query()] = None,
        serial: Annotated[Serial | None, Query()] = None,
        label: Annotated[Tracking | None, Query(description="the number on a parcel, ours or a carrier's")] = None,
    ) -> None:
        self.parameters: dict[str, Any] = {
            "states": states,
            "overdue": overdue,
            "ticket_id": ticket_id,
            "serial": serial,
            "label": label,
        }


@router.post(
    "/repairs",
    status_code=201,
    dependencies=[allow("agent", "dispatcher", "service", *FIELD, "customer")],
    responses={200: {"model": Repair, "description": "The ticket has an open repair"}},
)
async def open_repair(body: NewRepair, call: CurrentCall, response: Response) -> Repair:
    """Begin the repair of a ticket's machine; our label for the parcel is made at once."""
    row, made = await service.open_repair(call, body)
    response.status_code = 201 if made else 200
    response.headers["Location"] = f"/v1/repairs/{row['repair_id']}"
    return _shown(response, row)


@router.get("/repairs", dependencies=PARTIES)
async def list_of_repairs(
    page: CurrentPage, call: CurrentCall, wanted: Annotated[RepairFilter, Depends(RepairFilter)]
) -> Page[RepairHead]:
    """Repairs, oldest first; one of `label`, `ticket_id`, `serial` counts alone, the first that is given."""
    found = await list_repairs(call, {**page.parameters, **wanted.parameters})
    return Page[RepairHead].model_validate(page.page(found, "repair_id"))


@router.get("/repairs/{repair_id}", dependencies=PARTIES)
async def get_one_repair(repair_id: Id, call: CurrentCall, response: Response) -> Repair:
    """One repair with its nodes, promised, expected and done."""
    return _shown(response, await get_repair(call, repair_id))


@router.post("/repairs/{repair_id}/label", dependencies=WORKSHOP)
async def make_repair_label(repair_id: Id, body: NewLabel, call: CurrentCall, response: Response) -> Repair:
    """Note a carrier's label for the parcel to us, in the place of ours."""
    return _shown(response, await parcels.new_label(call, repair_id, body))


@router.post("/repairs/{repair_id}/pickup", dependencies=WORKSHOP)
async def order_repair_pickup(repair_id: Id, body: Pickup, call: CurrentCall, response: Response) -> Repair:
    """Let a carrier fetch the machine."""
    return _shown(response, await parcels.order_pickup(call, repair_id, body))


@router.post("/repairs/{repair_id}/receive", dependencies=WORKSHOP)
async def receive_repair(repair_id: Id, body: Receipt, call: CurrentCall, response: Response) -> Repair:
    """Note what came: the machine, its condition with photos, accessories."""
    return _shown(response, await service.receive(call, repair_id, body))


@router.post("/repairs/{repair_id}/diagnose", dependencies=WORKSHOP)
async def diagnose_repair(repair_id: Id, body: Diagnosis, call: CurrentCall, response: Response) -> Repair:
    """Note what is wrong; who pays is asked of the warranty now, and its answer kept."""
    return _shown(response, await service.diagnose(call, repair_id, body))


@router.post("/repairs/{repair_id}/quote", dependencies=WORKSHOP)
async def quote_repair(repair_id: Id, body: NewQuote, call: CurrentCall, response: Response) -> Repair:
    """Send the customer a quote; the repair goes on by itself when it is decided."""
    return _shown(response, await service.quote(call, repair_id, body))


@router.post("/repairs/{repair_id}/parts", dependencies=WORKSHOP)
async def order_repair_parts(repair_id: Id, body: PartsOrder, call: CurrentCall, response: Response) -> Repair:
    """Keep the parts of the repair; what no warehouse has is kept as soon as one has it."""
    return _shown(response, await workshop.order_parts(call, repair_id, body))


@router.post("/repairs/{repair_id}/start", dependencies=WORKSHOP)
async def start_repair(repair_id: Id, call: CurrentCall, response: Response) -> Repair:
    """Begin to mend the machine."""
    return _shown(response, await workshop.start(call, repair_id))


@router.post("/repairs/{repair_id}/finish", dependencies=WORKSHOP)
async def finish_repair(repair_id: Id, body: Finish, call: CurrentCall, response: Response) -> Repair:
    """The machine is mended; its parts leave the stock."""
    return _shown(response, await workshop.finish(call, repair_id, body))


@router.post("/repairs/{repair_id}/test", dependencies=WORKSHOP)
async def test_repair(repair_id: Id, body: TestResult, call: CurrentCall, response: Response) -> Repair:
    """Note how the machine did in its test; one that failed goes back to be mended."""
    return _shown(response, await service.test(call, repair_id, body))


@router.post("/repairs/{repair_id}/exchange", dependencies=DESK)
async def exchange_repair(repair_id: Id, body: Exchange, call: CurrentCall, response: Response) -> Repair:
    """Give the customer another machine, with what is left of the warranty."""
    return _shown(response, await workshop.exchange(call, repair_id, body))


@router.post("/repairs/{repair_id}/ship", dependencies=WORKSHOP)
async def ship_repair(repair_id: Id, body: Parcel, call: CurrentCall, response: Response) -> Repair:
    """Send the machine to the customer, with what came with it and, if wanted, the old parts."""
    return _shown(response, await service.ship(call, repair_id, body))


@router.post("/repairs/{repair_id}/hand-over", dependencies=WORKSHOP)
async def hand_over_repair(repair_id: Id, call: CurrentCall, response: Response) -> Repair:
    """The customer collects the machine."""
    return _shown(response, await service.hand_over(call, repair_id))


@router.post("/repairs/{repair_id}/deliver", dependencies=WORKSHOP)
async def deliver_repair(repair_id: Id, call: CurrentCall, response: Response) -> Repair:
    """The customer has the machine."""
    return _shown(response, await service.deliver(call, repair_id))


@router.post("/repairs/{repair_id}/close", dependencies=WORKSHOP)
async def close_repair(repair_id: Id, call: CurrentCall, response: Response) -> Repair:
    """Nothing more is to be done."""
    return _shown(response, await service.close(call, repair_id))


@router.post("/repairs/{repair_id}/cancel", dependencies=WORKSHOP)
async def cancel_repair(repair_id: Id, body: Ending, call: CurrentCall, response: Response) -> Repair:
    """Give up a repair whose machine has not come."""
    return _shown(response, await service.cancel(call, repair_id, body.reason))


@router.post("/repairs/{repair_id}/return", dependencies=WORKSHOP)
async def return_repair(repair_id: Id, body: ReturnUnrepaired, call: CurrentCall, response: Response) -> Repair:
    """Send the machine back as it is; after a declined quote the fees agreed for that are charged."""
    return _shown(response, await service.return_unrepaired(call, repair_id, body))


@router.post("/repairs/{repair_id}/scrap", dependencies=WORKSHOP)
async def scrap_repair(repair_id: Id, body: Scrapping, call: CurrentCall, response: Response) -> Repair:
    """Dispose of the machine, as the customer agreed."""
    return _shown(response, await service.scrap(call, repair_id, body))


@router.post("/repairs/{repair_id}/delay", dependencies=WORKSHOP)
async def delay_repair(repair_id: Id, body: Delay, call: CurrentCall, response: Response) -> Repair:
    """Tell the customer that all that lies ahead comes later, and why."""
    return _shown(response, await service.delay(call, repair_id, body))


@router.get("/repairs/{repair_id}/costs", dependencies=TRADE)
async def get_repair_costs(repair_id: Id, call: CurrentCall) -> Costs:
    """What the repair has cost the maker until now."""
    return Costs(**await workshop.costs(call, repair_id))


@router.post("/repairs/{repair_id}/costs", status_code=201, dependencies=WORKSHOP)
async def enter_repair_cost(repair_id: Id, body: NewCost, call: CurrentCall) -> Costs:
    """Enter something that it cost besides parts, time, freight and loaner."""
    return Costs(**await workshop.enter_cost(call, repair_id, body))


@router.put("/repair-standards", dependencies=[allow("desk_lead", "service")])
async def put_repair_standard(body: RepairStandard, call: CurrentCall) -> KeptStandard:
    """Say how many business days each node takes, and what an hour of the workshop costs."""
    return KeptStandard(**await service.put_standard(call, body))


@router.get("/repair-standards", dependencies=TRADE)
async def list_repair_standards(page: CurrentPage, call: CurrentCall) -> Page[KeptStandard]:
    """All standards."""
    found = await rows(call, "list_standards", page.parameters)
    return Page[KeptStandard].model_validate(page.page(found, "repair_standard_id"))
