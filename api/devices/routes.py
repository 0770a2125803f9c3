"""`/v1/devices`: claim keys, claims, devices; `/v1/broker/emqx`: what EMQX asks."""

from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Header, Request, Response

from api.conventions.call import CallRoute, CurrentCall, CurrentOpenCall, OpenRoute, allow
from api.conventions.limits import Limiter
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES, THROTTLED, Problem
from api.devices import admission, claiming, service
from api.devices.models import (
    Claim,
    ClaimKey,
    CreatedClaimKey,
    Device,
    DeviceInFull,
    DeviceState,
    EmqxAuthenticated,
    EmqxAuthentication,
    EmqxAuthorization,
    EmqxAuthorized,
    GatewayAssets,
    Identity,
    NewClaimKey,
    Renewal,
)
from api.devices.provisioning import Provisioning

router = APIRouter(prefix="/v1/devices", tags=["devices"], route_class=CallRoute, responses=RESPONSES)
open_router = APIRouter(prefix="/v1", tags=["devices"], route_class=OpenRoute, responses=THROTTLED)

SEEING = [allow("agent", "service")]
BROKER_SECRET = "Careloop-Broker-Secret"  # noqa: S105 - the header's name


def _provisioning(request: Request) -> Provisioning:
    provisioning: Provisioning = request.app.state.provisioning
    return provisioning


CurrentProvisioning = Annotated[Provisioning, Depends(_provisioning)]


@router.post("/claim-keys", status_code=201, dependencies=[allow()])
async def create_claim_key(body: NewClaimKey, call: CurrentCall, response: Response) -> CreatedClaimKey:
    """Make a key by which the machines of a batch get their identities."""
    response.headers["Cache-Control"] = "no-store"
    key, row = await service.create_claim_key(call, body)
    return CreatedClaimKey(key=key, **row)


@router.get("/claim-keys", dependencies=SEEING)
async def list_claim_keys(page: CurrentPage, call: CurrentCall) -> Page[ClaimKey]:
    """All claim keys, without the keys themselves."""
    rows = await (await call.connection.execute(service.SQL["list_claim_keys"], page.parameters)).fetchall()
    return Page[ClaimKey].model_validate(page.page(rows, "claim_key_id"))


@router.post("/claim-keys/{claim_key_id}/revoke", dependencies=[allow()])
async def revoke_claim_key(claim_key_id: Id, call: CurrentCall) -> ClaimKey:
    """End a claim key at once; the identities that came from it stay."""
    return ClaimKey(**await service.revoke_claim_key(call, claim_key_id))


@router.get("", dependencies=SEEING)
async def list_devices(page: CurrentPage, call: CurrentCall, state: DeviceState | None = None) -> Page[Device]:
    """All devices, in one state if wished."""
    parameters = {**page.parameters, "states": [state] if state else list(get_args(DeviceState))}
    rows = await (await call.connection.execute(service.SQL["list_devices"], parameters)).fetchall()
    return Page[Device].model_validate(page.page(rows, "device_id"))


@router.get("/{device_id}", dependencies=SEEING)
async def get_device(device_id: Id, call: CurrentCall) -> DeviceInFull:
    """One device with its certificates."""
    return DeviceInFull(**await service.get_device(call, device_id))


@router.post("/{device_id}/revoke", dependencies=[allow()])
async def revoke_device(device_id: Id, call: CurrentCall) -> DeviceInFull:
    """Take a device's identity away; its serial number cannot be claimed until it is released."""
    return DeviceInFull(**await service.end_device(call, device_id, "revoked"))


@router.post("/{device_id}/release", dependencies=[allow()])
async def release_device(device_id: Id, call: CurrentCall) -> DeviceInFull:
    """Take a device's identity away, and let its serial number be claimed anew, e.g. after its board was changed."""
    return DeviceInFull(**await service.end_device(call, device_id, "released"))


@router.put("/{device_id}/assets", dependencies=[allow("service")])
async def put_assets(device_id: Id, body: GatewayAssets, call: CurrentCall) -> DeviceInFull:
    """Set the machines that a gateway speaks for."""
    return DeviceInFull(**await service.put_assets(call, device_id, body.assets))


@open_router.post("/devices/claim")
async def claim(
    body: Claim, call: CurrentOpenCall, provisioning: CurrentProvisioning, request: Request, response: Response
) -> Identity:
    """Turn a claim key into the identity of one device; the same claim sent again is answered alike."""
    response.headers["Cache-Control"] = "no-store"
    address = _admit(request, provisioning)
    try:
        return Identity(**await claiming.claim(call, provisioning, body))
    except Problem as problem:
        _count_failure(request, provisioning.failures, address, problem)
        raise


@open_router.post("/devices/renew")
async def renew(
    body: Renewal, call: CurrentOpenCall, provisioning: CurrentProvisioning, request: Request, response: Response
) -> Identity:
    """Give a device its next certificate or password for the present one."""
    response.headers["Cache-Control"] = "no-store"
    address = _admit(request, provisioning)
    try:
        return Identity(**await claiming.renew(call, provisioning, body))
    except Problem as problem:
        _count_failure(request, provisioning.failures, address, problem)
        raise


def _admit(request: Request, provisioning: Provisioning) -> str:
    """Count a try of an address, and send away one that tries too often.

    Raises:
        Problem: 429.
    """
    address = request.client.host if request.client else ""
    # Not the call's own time, which a replay sets: this guards the process as it runs.
    now = request.app.state.now()
    wait_s = max(provisioning.claims.wait_s(address, now), provisioning.failures.wait_s(address, now))
    if wait_s > 0:
        headers = {"Retry-After": str(int(wait_s) + 1)}
        raise Problem(429, "too-many-claims", f"too many tries from {address}; wait {wait_s:.0f} s", headers=headers)
    provisioning.claims.count(address, now)
    return address


def _count_failure(request: Request, failures: Limiter, address: str, problem: Problem) -> None:
    if problem.status == 401:
        failures.count(address, request.app.state.now())


BrokerSecret = Annotated[str | None, Header(alias=BROKER_SECRET, description="shared with the broker")]


@open_router.post("/broker/emqx/auth", response_model_exclude_none=True, tags=["broker"])
async def emqx_auth(
    body: EmqxAuthentication,
    call: CurrentOpenCall,
    provisioning: CurrentProvisioning,
    broker_secret: BrokerSecret = None,
) -> EmqxAuthenticated:
    """Whether a client may connect to EMQX."""
    admission.require_broker(provisioning, broker_secret)
    return await admission.authenticate_client(call, provisioning, body)


@open_router.post("/broker/emqx/acl", tags=["broker"])
async def emqx_acl(
    body: EmqxAuthorization,
    call: CurrentOpenCall,
    provisioning: CurrentProvisioning,
    broker_secret: BrokerSecret = None,
) -> EmqxAuthorized:
    """Whether a client of EMQX may publish or subscribe."""
    admission.require_broker(provisioning, broker_secret)
    return await admission.authorize_client(call, provisioning, body)
