"""`/v1/escalations`, `/v1/escalation-ladders`."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import STAFF, Role
from api.escalation import service
from api.escalation.models import (
    Escalation,
    EscalationLadder,
    EscalationWithSteps,
    LadderChange,
    NewDecision,
    NewEscalation,
    NewLadder,
    State,
)

router = APIRouter(prefix="/v1", tags=["escalation"], route_class=CallRoute, responses=RESPONSES)

STAFF_AND_PARTNERS = [allow(*STAFF, "partner_manager")]
LEAD = [allow("desk_lead")]


@router.get("/escalations", dependencies=STAFF_AND_PARTNERS)
async def list_escalations(
    page: CurrentPage,
    call: CurrentCall,
    state: Annotated[State | None, Query()] = None,
    role: Annotated[Role | None, Query(description="for whom to decide")] = None,
    ticket_id: Annotated[Id | None, Query(description="of this case")] = None,
) -> Page[Escalation]:
    """Escalations, oldest first; `state=open&role=desk_lead` is what a desk lead must decide."""
    parameters = {**page.parameters, "state": state, "role": role, "ticket_id": ticket_id}
    # Planned anew each time, so that the filters given decide the index.
    cursor = await call.connection.execute(service.SQL["list_escalations"], parameters, prepare=False)
    return Page[Escalation].model_validate(page.page(await cursor.fetchall(), "escalation_id"))


@router.get("/escalations/{escalation_id}", dependencies=STAFF_AND_PARTNERS)
async def get_escalation(escalation_id: Id, call: CurrentCall, response: Response) -> EscalationWithSteps:
    """One escalation with the steps that were gone."""
    escalation = EscalationWithSteps(**await service.get_escalation(call, escalation_id))
    tag(response, escalation.version)
    return escalation


@router.post(
    "/tickets/{ticket_id}/escalations",
    status_code=201,
    dependencies=[allow(*STAFF)],
    responses={200: {"model": EscalationWithSteps, "description": "One is open already; it heard the reason"}},
)
async def open_escalation(
    ticket_id: Id, body: NewEscalation, call: CurrentCall, response: Response
) -> EscalationWithSteps:
    """Let somebody decide about a case; 200 with the one that is open already, whose case hears the reason."""
    row, new = await service.open_by_hand(call, ticket_id, body.role, body.reason)
    response.status_code = 201 if new else 200
    escalation = EscalationWithSteps(**row)
    tag(response, escalation.version)
    return escalation


@router.post("/escalations/{escalation_id}/decide", dependencies=STAFF_AND_PARTNERS)
async def decide_escalation(
    escalation_id: Id, body: NewDecision, call: CurrentCall, response: Response
) -> EscalationWithSteps:
    """Decide; no further step is gone. For whoever was named, and for desk leads."""
    escalation = EscalationWithSteps(**await service.decide(call, escalation_id, body))
    tag(response, escalation.version)
    return escalation


@router.post("/escalation-ladders", status_code=201, dependencies=LEAD)
async def create_escalation_ladder(body: NewLadder, call: CurrentCall, response: Response) -> EscalationLadder:
    """Say which steps are gone for which cases."""
    ladder = EscalationLadder(**await service.create_ladder(call, body))
    tag(response, ladder.version)
    return ladder


@router.get("/escalation-ladders", dependencies=[allow(*STAFF)])
async def list_escalation_ladders(page: CurrentPage, call: CurrentCall) -> Page[EscalationLadder]:
    """All ladders."""
    rows = await (await call.connection.execute(service.SQL["list_ladders"], page.parameters)).fetchall()
    return Page[EscalationLadder].model_validate(page.page(rows, "ladder_id"))


@router.get("/escalation-ladders/{ladder_id}", dependencies=[allow(*STAFF)])
async def get_escalation_ladder(ladder_id: Id, call: CurrentCall, response: Response) -> EscalationLadder:
    """One ladder."""
    ladder = EscalationLadder(**await service.get_ladder(call, ladder_id))
    tag(response, ladder.version)
    return ladder


@router.patch("/escalation-ladders/{ladder_id}", dependencies=LEAD)
async def change_escalation_ladder(
    ladder_id: Id, body: LadderChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> EscalationLadder:
    """Change a ladder for escalations to come; needs If-Match."""
    ladder = EscalationLadder(**await service.change_ladder(call, ladder_id, body, require_version(if_match)))
    tag(response, ladder.version)
    return ladder
