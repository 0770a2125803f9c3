"""`/v1/failures`, `/v1/replacements`."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Name, Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.outcomes import service
from api.outcomes.models import (
    Failure,
    NewFailure,
    NewReplacement,
    RecordedFailure,
    RecordedReplacement,
    Replacement,
)

router = APIRouter(prefix="/v1", tags=["outcomes"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
WITNESSES = [allow("agent", "technician", "service")]


class FactFilter:
    """Which facts a caller wants; what is left out does not matter."""

    def __init__(
        self,
        page: CurrentPage,
        since_id: Annotated[
            int, Query(ge=0, le=2**63 - 1, description="facts recorded after the one with this number")
        ] = 0,
        serial: Annotated[Serial | None, Query(description="of this asset")] = None,
        component: Annotated[Name | None, Query()] = None,
    ) -> None:
        self.page = page
        self.parameters: dict[str, Any] = {
            **page.parameters,
            "after_id": max(page.after_id, since_id),
            "serial": serial,
            "component": component,
        }


WantedFacts = Annotated[FactFilter, Depends(FactFilter)]


@router.post(
    "/assets/{serial}/failures",
    status_code=201,
    dependencies=WITNESSES,
    responses={200: {"model": RecordedFailure, "description": "The failure was known"}},
)
async def record_failure(serial: Serial, body: NewFailure, call: CurrentCall, response: Response) -> RecordedFailure:
    """Record that a component failed; the open preventive case of that component is confirmed."""
    recorded = RecordedFailure(**await service.record_failure(call, serial, body))
    response.status_code = 201 if recorded.created else 200
    return recorded


@router.post(
    "/assets/{serial}/replacements",
    status_code=201,
    dependencies=WITNESSES,
    responses={200: {"model": RecordedReplacement, "description": "The replacement was known"}},
)
async def record_replacement(
    serial: Serial, body: NewReplacement, call: CurrentCall, response: Response
) -> RecordedReplacement:
    """Record that a component was replaced; the open cases it settles are resolved."""
    recorded = RecordedReplacement(**await service.record_replacement(call, serial, body))
    response.status_code = 201 if recorded.created else 200
    return recorded


@router.get("/failures", dependencies=EVERYBODY)
async def list_failures(call: CurrentCall, wanted: WantedFacts) -> Page[Failure]:
    """Failures, in the order they were recorded."""
    rows = await service.list_facts(call, "list_failures", wanted.parameters)
    return Page[Failure].model_validate(wanted.page.page(rows, "fact_id"))


@router.get("/replacements", dependencies=EVERYBODY)
async def list_replacements(call: CurrentCall, wanted: WantedFacts) -> Page[Replacement]:
    """Replacements, in the order they were recorded."""
    rows = await service.list_facts(call, "list_replacements", wanted.parameters)
    return Page[Replacement].model_validate(wanted.page.page(rows, "fact_id"))
