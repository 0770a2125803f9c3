"""`/v1/providers`: service partners, their territories and contacts."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id, Name
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.providers import service
from api.providers.models import (
    Code,
    NewProvider,
    NewProviderContact,
    Provider,
    ProviderChange,
    ProviderContact,
    ProviderContactChange,
)

router = APIRouter(prefix="/v1/providers", tags=["providers"], route_class=CallRoute, responses=RESPONSES)

SEEING = [allow(*STAFF, *FIELD)]
DECIDING = [allow("desk_lead", "service")]
# A partner keeps the list of its people itself.
KEEPING_CONTACTS = [allow("agent", "service", "partner_manager")]


@router.post("", status_code=201, dependencies=DECIDING)
async def create_provider(body: NewProvider, call: CurrentCall, response: Response) -> Provider:
    """Add a service partner."""
    return _tagged(response, await service.create_provider(call, body))


@router.get("", dependencies=SEEING)
async def list_providers(
    page: CurrentPage,
    call: CurrentCall,
    *,
    code: Annotated[Code | None, Query()] = None,
    territory: Annotated[Name | None, Query(description="that work there")] = None,
    active: bool | None = None,
) -> Page[Provider]:
    """Service partners; a partner's own people see theirs only."""
    wanted = {**page.parameters, "code": code, "territory": territory, "active": active}
    return Page[Provider].model_validate(page.page(await service.list_providers(call, wanted), "provider_id"))


@router.get("/{provider_id}", dependencies=SEEING)
async def get_provider(provider_id: Id, call: CurrentCall, response: Response) -> Provider:
    """One service partner."""
    return _tagged(response, await service.get_provider(call, provider_id))


@router.patch("/{provider_id}", dependencies=DECIDING)
async def change_provider(
    provider_id: Id, body: ProviderChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Provider:
    """Change a service partner; needs If-Match. What it has to do stays its own when it becomes inactive."""
    return _tagged(response, await service.change_provider(call, provider_id, body, require_version(if_match)))


@router.post("/{provider_id}/contacts", status_code=201, dependencies=KEEPING_CONTACTS)
async def add_contact(
    provider_id: Id, body: NewProviderContact, call: CurrentCall, response: Response
) -> ProviderContact:
    """Add somebody to talk to at a partner."""
    return _tagged_contact(response, await service.add_contact(call, provider_id, body))


@router.get("/{provider_id}/contacts", dependencies=SEEING)
async def list_contacts(provider_id: Id, page: CurrentPage, call: CurrentCall) -> Page[ProviderContact]:
    """Whom to talk to at a partner."""
    rows = await service.list_contacts(call, provider_id, page.parameters)
    return Page[ProviderContact].model_validate(page.page(rows, "provider_contact_id"))


@router.patch("/{provider_id}/contacts/{contact_id}", dependencies=KEEPING_CONTACTS)
async def change_contact(
    provider_id: Id,
    contact_id: Id,
    body: ProviderContactChange,
    call: CurrentCall,
    *,
    response: Response,
    if_match: IfMatch = None,
) -> ProviderContact:
    """Change somebody; needs If-Match."""
    version = require_version(if_match)
    return _tagged_contact(response, await service.change_contact(call, provider_id, contact_id, body, version))


@router.delete("/{provider_id}/contacts/{contact_id}", status_code=204, dependencies=KEEPING_CONTACTS)
async def remove_contact(provider_id: Id, contact_id: Id, call: CurrentCall) -> Response:
    """Remove somebody who is no longer there."""
    await service.remove_contact(call, provider_id, contact_id)
    return Response(status_code=204)


def _tagged(response: Response, row: dict[str, Any]) -> Provider:
    provider = Provider(**row)
    tag(response, provider.version)
    return provider


def _tagged_contact(response: Response, row: dict[str, Any]) -> ProviderContact:
    contact = ProviderContact(**row)
    tag(response, contact.version)
    return contact
