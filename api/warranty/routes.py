"""`/v1/assets/{serial}/warranty`, `/v1/warranty-terms`, `/v1/warranty-policies`, `/v1/warranty-purchases`."""

import re
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.exceptions import RequestValidationError

from api.assets.models import NewWarrantyTerm
from api.assets.service import get_asset
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id, Name, Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.warranty import policies, service
from api.warranty.models import (
    Coverage,
    NewPolicy,
    NewPurchase,
    Policy,
    PolicyVersion,
    Purchase,
    PurchaseDecision,
    PurchaseRejection,
    PurchaseState,
    WarrantyTerm,
)

router = APIRouter(prefix="/v1", tags=["warranty"], route_class=CallRoute, responses=RESPONSES)

ANYBODY = [allow(*STAFF, *FIELD, "customer")]

_METER = re.compile(r"(?P<metric>[^:\x00]{1,128}):(?P<value>\d{1,15}(\.\d{1,9})?)")


def _meters(
    meter: Annotated[
        list[str] | None, Query(description="what a meter showed that day, e.g. running_hours:480; others are read")
    ] = None,
) -> dict[str, float]:
    read: dict[str, float] = {}
    for index, text in enumerate(meter or []):
        match = _METER.fullmatch(text)
        if match is None:
            message = "must be NAME:VALUE with a value of 0 or more, e.g. running_hours:480"
            raise RequestValidationError([{"loc": ("query", "meter", index), "msg": message, "type": "value_error"}])
        read[match["metric"]] = float(match["value"])
    return read


# The question, and terms ------------------------------------------------------------------------


class AskedCase:
    """What is asked about."""

    def __init__(
        self,
        meters: Annotated[dict[str, float], Depends(_meters)],
        on: Annotated[date | None, Query(description="a day; without it, today where the asset stands")] = None,
        component: Annotated[Name | None, Query(description="what broke; without it, the machine as a whole")] = None,
        cause: Annotated[Name | None, Query(description="why it broke, e.g. misuse, human_damage")] = None,
        ticket_id: Annotated[Id | None, Query(description="the case it is about; its denial then counts")] = None,
    ) -> None:
        self.parameters: dict[str, Any] = {
            "on": on,
            "component": component,
            "cause": cause,
            "meters": meters,
            "ticket_id": ticket_id,
        }


class TermFilter:
    """Which terms a caller wants; what is left out does not matter."""

    def __init__(
        self,
        serial: Annotated[Serial | None, Query(description="of this asset")] = None,
        ends_from: Annotated[date | None, Query(description="last day covered is this day or later")] = None,
        ends_before: Annotated[date | None, Query(description="last day covered is before this day")] = None,
        unticketed: Annotated[
            bool | None, Query(description="true: its end is to be announced, and no ticket was raised for it yet")
        ] = None,
    ) -> None:
        self.parameters: dict[str, Any] = {
            "serial": serial,
            "ends_from": ends_from,
            "ends_before": ends_before,
            "unticketed": unticketed,
        }


@router.get("/assets/{serial}/warranty", dependencies=ANYBODY)
async def get_coverage(serial: Serial, call: CurrentCall, asked: Annotated[AskedCase, Depends(AskedCase)]) -> Coverage:
    """Whether an asset is covered on a day, what of it, until when, and why."""
    return await service.question(call, serial, **asked.parameters)


@router.post("/assets/{serial}/warranty-terms", status_code=201, dependencies=[allow("agent", "service")])
async def create_warranty_term(serial: Serial, body: NewWarrantyTerm, call: CurrentCall) -> WarrantyTerm:
    """Give an asset a warranty by hand."""
    return WarrantyTerm(**await service.create_term(call, serial, body))


@router.get("/warranty-terms", dependencies=ANYBODY)
async def list_warranty_terms(
    page: CurrentPage, call: CurrentCall, wanted: Annotated[TermFilter, Depends(TermFilter)]
) -> Page[WarrantyTerm]:
    """Warranty terms, by their last day and by whether their end was announced."""
    parameters = {**page.parameters, **wanted.parameters}
    # Planned anew each time, so that the filters given decide the index.
    cursor = await call.connection.execute(service.SQL["list_terms"], parameters, prepare=False)
    return Page[WarrantyTerm].model_validate(page.page(await cursor.fetchall(), "term_id"))


# Policies ---------------------------------------------------------------------------------------


@router.post("/warranty-policies", status_code=201, dependencies=[allow("desk_lead")])
async def create_warranty_policy(body: NewPolicy, call: CurrentCall, response: Response) -> Policy:
    """Promise something for the machines sold from a day on; their terms follow within seconds."""
    policy = Policy(**await policies.create_policy(call, body))
    tag(response, policy.version)
    return policy


@router.get("/warranty-policies", dependencies=ANYBODY)
async def list_warranty_policies(
    page: CurrentPage, call: CurrentCall, code: Annotated[Name | None, Query()] = None
) -> Page[Policy]:
    """All versions of all policies, or of one."""
    parameters = {**page.parameters, "code": code, "version": None}
    cursor = await call.connection.execute(policies.SQL["list_policies"], parameters, prepare=False)
    return Page[Policy].model_validate(page.page(await cursor.fetchall(), "policy_id"))


@router.get("/warranty-policies/{code}", dependencies=ANYBODY)
async def get_warranty_policy(
    code: Name,
    call: CurrentCall,
    response: Response,
    version: Annotated[int | None, Query(ge=1, le=10**6, description="without it, the latest")] = None,
) -> Policy:
    """A version of a policy."""
    policy = Policy(**await policies.get_policy(call, code, version))
    tag(response, policy.version)
    return policy


@router.post("/warranty-policies/{code}/versions", status_code=201, dependencies=[allow("desk_lead")])
async def add_warranty_policy_version(
    code: Name, body: PolicyVersion, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Policy:
    """Change a policy: its next version holds for machines sold from its first day on; needs If-Match."""
    policy = Policy(**await policies.add_version(call, code, body, require_version(if_match)))
    tag(response, policy.version)
    return policy


# Purchases --------------------------------------------------------------------------------------


@router.post(
    "/assets/{serial}/warranty/purchases", status_code=201, dependencies=[allow("agent", "customer", "service")]
)
async def submit_warranty_purchase(serial: Serial, body: NewPurchase, call: CurrentCall) -> Purchase:
    """Register when a machine was bought, with the proof; an agent checks it."""
    return Purchase(**await policies.submit_purchase(call, serial, body))


@router.get("/assets/{serial}/warranty/purchases", dependencies=[allow(*STAFF, "customer")])
async def list_purchases_of_asset(serial: Serial, page: CurrentPage, call: CurrentCall) -> Page[Purchase]:
    """A machine's purchases, checked or not."""
    await get_asset(call, serial)
    return await _purchases(page, call, serial, None)


@router.get("/warranty-purchases", dependencies=[allow(*STAFF)])
async def list_warranty_purchases(
    page: CurrentPage, call: CurrentCall, state: PurchaseState | None = None
) -> Page[Purchase]:
    """Purchases, e.g. those to be checked."""
    return await _purchases(page, call, None, state)


async def _purchases(page: CurrentPage, call: CurrentCall, serial: str | None, state: str | None) -> Page[Purchase]:
    parameters = {**page.parameters, "serial": serial, "state": state}
    cursor = await call.connection.execute(policies.SQL["list_purchases"], parameters, prepare=False)
    return Page[Purchase].model_validate(page.page(await cursor.fetchall(), "purchase_id"))


@router.post("/warranty-purchases/{purchase_id}/accept", dependencies=[allow("agent")])
async def accept_warranty_purchase(purchase_id: Id, body: PurchaseDecision, call: CurrentCall) -> Purchase:
    """Accept a proof: the warranty starts on the day of purchase."""
    return Purchase(**await policies.decide_purchase(call, purchase_id, "accept", body.reason))


@router.post("/warranty-purchases/{purchase_id}/reject", dependencies=[allow("agent")])
async def reject_warranty_purchase(purchase_id: Id, body: PurchaseRejection, call: CurrentCall) -> Purchase:
    """Reject a proof, also one that was accepted: the warranty starts by the policy's rule again."""
    return Purchase(**await policies.decide_purchase(call, purchase_id, "reject", body.reason))
