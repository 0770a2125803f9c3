"""`/v1/technicians`, `/v1/jobs`."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from psycopg.rows import DictRow

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id, Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES, Problem
from api.conventions.roles import FIELD, STAFF
from api.dispatch import repository, rules, service, technicians
from api.dispatch.models import (
    Cancellation,
    Completion,
    Dispatch,
    Hold,
    Job,
    NewJob,
    NewTechnician,
    Recall,
    Technician,
    TechnicianChange,
)

router = APIRouter(prefix="/v1", tags=["dispatch"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
DISPATCHERS = [allow("dispatcher", "service")]
MAKERS = [allow("agent", "dispatcher", "service")]
ON_SITE = [allow("dispatcher", "technician", "service")]


def _states(given: str | None, known: tuple[str, ...], default: list[str]) -> list[str]:
    """The states of a filter `state=a,b`.

    Raises:
        Problem: 422 for a state that does not exist.
    """
    if given is None:
        return default
    wanted = list(dict.fromkeys(state.strip() for state in given.split(",")))
    for state in wanted:
        if state not in known:
            raise Problem.bad_field("query.state", f"{state!r} is none of: {', '.join(known)}")
    return wanted


def _tagged(response: Response, row: DictRow) -> Job:
    job = Job.of(row)
    tag(response, job.version)
    return job


@router.post("/technicians", status_code=201, dependencies=DISPATCHERS)
async def create_technician(body: NewTechnician, call: CurrentCall, response: Response) -> Technician:
    """Add a technician."""
    technician = Technician(**await technicians.create_technician(call, body))
    tag(response, technician.version)
    return technician


@router.get("/technicians", dependencies=EVERYBODY)
async def list_technicians(page: CurrentPage, call: CurrentCall, active: bool | None = None) -> Page[Technician]:
    """Technicians, only the active ones if wished."""
    parameters = {**page.parameters, "active": active}
    rows = await (await call.connection.execute(repository.SQL["list_technicians"], parameters)).fetchall()
    return Page[Technician].model_validate(page.page(rows, "technician_id"))


@router.get("/technicians/{technician_id}", dependencies=EVERYBODY)
async def get_technician(technician_id: Id, call: CurrentCall, response: Response) -> Technician:
    """One technician."""
    technician = Technician(**await repository.get_technician(call, technician_id))
    tag(response, technician.version)
    return technician


@router.patch("/technicians/{technician_id}", dependencies=DISPATCHERS)
async def change_technician(
    technician_id: Id, body: TechnicianChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Technician:
    """Change a technician; needs If-Match. Visits promised already stay."""
    row = await technicians.change_technician(call, technician_id, body, require_version(if_match))
    technician = Technician(**row)
    tag(response, technician.version)
    return technician


@router.post("/jobs", status_code=201, dependencies=MAKERS)
async def create_job(body: NewJob, call: CurrentCall, response: Response) -> Job:
    """Make the job of a ticket or of an occurrence of a plan; 200 with the one that is there already."""
    row, made = await service.create_job(call, body)
    response.status_code = 201 if made else 200
    return _tagged(response, row)


@router.get("/jobs", dependencies=EVERYBODY)
async def list_jobs(
    page: CurrentPage,
    call: CurrentCall,
    state: Annotated[str | None, Query(description="one or several, e.g. `open,waiting`", max_length=200)] = None,
    ticket_id: Annotated[Id | None, Query()] = None,
    serial: Annotated[Serial | None, Query()] = None,
) -> Page[Job]:
    """Jobs, oldest first."""
    states = _states(state, rules.JOB_STATES, list(rules.JOB_STATES))
    wanted = {**page.parameters, "states": states, "ticket_id": ticket_id, "serial": serial}
    return Page[Job].model_validate(page.page(await repository.list_jobs(call, wanted), "job_id"))


@router.get("/jobs/{job_id}", dependencies=EVERYBODY)
async def get_job(job_id: Id, call: CurrentCall, response: Response) -> Job:
    """One job."""
    return _tagged(response, await repository.get_job(call, job_id))


@router.post("/jobs/{job_id}/hold", dependencies=DISPATCHERS)
async def hold_job(job_id: Id, body: Hold, call: CurrentCall, response: Response) -> Job:
    """Let a job wait, with the reason."""
    return _tagged(response, await service.hold(call, job_id, body.reason))


@router.post("/jobs/{job_id}/dispatch", dependencies=DISPATCHERS)
async def dispatch_job(job_id: Id, body: Dispatch, call: CurrentCall, response: Response) -> Job:
    """Give a job to a technician with an appointment."""
    return _tagged(response, await service.dispatch(call, job_id, body))


@router.post("/jobs/{job_id}/admit", dependencies=ON_SITE)
async def admit_job(job_id: Id, call: CurrentCall, response: Response) -> Job:
    """Begin a job whose machine is in the workshop: without a visit."""
    return _tagged(response, await service.admit(call, job_id))


@router.post("/jobs/{job_id}/start", dependencies=ON_SITE)
async def start_job(job_id: Id, call: CurrentCall, response: Response) -> Job:
    """Begin the visit."""
    return _tagged(response, await service.start(call, job_id))


@router.post("/jobs/{job_id}/recall", dependencies=DISPATCHERS)
async def recall_job(job_id: Id, body: Recall, call: CurrentCall, response: Response) -> Job:
    """Take a job back from its technician; it waits for another appointment, its parts stay reserved."""
    return _tagged(response, await service.recall(call, job_id, body.reason))


@router.post("/jobs/{job_id}/complete", dependencies=ON_SITE)
async def complete_job(job_id: Id, body: Completion, call: CurrentCall, response: Response) -> Job:
    """Complete a job with its visit and its ticket.

    The parts kept for it leave the stock; with the outcome `no_fault_found`, or `parts_used` false, they go back. What
    was replaced is a fact of its own: POST /v1/assets/{serial}/replacements. A visit whose technician checked in is
    completed by its report: POST /v1/visits/{visit_id}/complete.
    """
    return _tagged(response, await service.complete(call, job_id, body.outcome, parts_used=body.parts_used))


@router.post("/jobs/{job_id}/cancel", dependencies=DISPATCHERS)
async def cancel_job(job_id: Id, body: Cancellation, call: CurrentCall, response: Response) -> Job:
    """Give a job up: its parts go back, its visit is off, its ticket is open again."""
    return _tagged(response, await service.cancel(call, job_id, body.reason))
