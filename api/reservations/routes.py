"""`/v1/parts/reservations`: parts kept for jobs and cases."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.reservations import repository, service, travelling
from api.reservations.models import NewReservation, Reservation, ReservationState
from api.reservations.repository import SQL

router = APIRouter(prefix="/v1/parts/reservations", tags=["parts"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
STORES = [allow("agent", "dispatcher", "service")]
USERS_OF_PARTS = [allow("dispatcher", "technician", "service")]

ALL_STATES: list[ReservationState] = ["reserved", "consumed", "released"]


@router.post("", status_code=201, dependencies=STORES)
async def create_reservation(body: NewReservation, call: CurrentCall, response: Response) -> Reservation:
    """Keep a part for a job at the best warehouse; 200 with the open reservation when there is one already."""
    row, made = await service.reserve(call, body)
    response.status_code = 201 if made else 200
    return Reservation(**row)


@router.get("", dependencies=EVERYBODY)
async def list_reservations(
    page: CurrentPage,
    call: CurrentCall,
    job_id: Annotated[Id | None, Query()] = None,
    ticket_id: Annotated[Id | None, Query()] = None,
    state: ReservationState | None = None,
) -> Page[Reservation]:
    """Reservations, of one job, one case or in one state if wished."""
    states = [state] if state else ALL_STATES
    parameters = {**page.parameters, "job_id": job_id, "ticket_id": ticket_id, "states": states}
    query = SQL["list_reservations"]
    if ticket_id is not None:
        query = SQL["list_reservations_of_ticket"]
    elif job_id is not None:
        query = SQL["list_reservations_of_job"]
    rows = await (await call.connection.execute(query, parameters)).fetchall()
    return Page[Reservation].model_validate(page.page(rows, "reservation_id"))


@router.get("/{reservation_id}", dependencies=EVERYBODY)
async def get_reservation(reservation_id: Id, call: CurrentCall) -> Reservation:
    """One reservation."""
    return Reservation(**await repository.get_reservation(call, reservation_id))


@router.post("/{reservation_id}/release", dependencies=STORES)
async def release_reservation(reservation_id: Id, call: CurrentCall) -> Reservation:
    """Give a part back to what is available."""
    return Reservation(**await service.settle(call, reservation_id, "released"))


@router.post("/{reservation_id}/issue", dependencies=USERS_OF_PARTS)
async def issue_reservation(reservation_id: Id, call: CurrentCall) -> Reservation:
    """Hand a part out to the technician."""
    return Reservation(**await travelling.issue(call, reservation_id))


@router.post("/{reservation_id}/consume", dependencies=USERS_OF_PARTS)
async def consume_reservation(reservation_id: Id, call: CurrentCall) -> Reservation:
    """Record that a part was used; it leaves the stock."""
    return Reservation(**await service.settle(call, reservation_id, "consumed"))
