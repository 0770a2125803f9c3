"""`/v1/customers`, `/v1/contacts`, `/v1/sites`."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.exceptions import RequestValidationError

from api.conventions.call import Call, CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id, Name, Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import MEDIA_TYPE, RESPONSES, ProblemDocument
from api.conventions.roles import FIELD, STAFF
from api.customers import consents, merging, rules, service
from api.customers.models import (
    Consent,
    Consents,
    Contact,
    ContactChange,
    Country,
    Customer,
    CustomerCard,
    CustomerChange,
    DuplicateGroup,
    Duplicates,
    Email,
    Merge,
    MergeRecord,
    NewConsent,
    NewContact,
    NewCustomer,
    NewSite,
    Phone,
    RegisterNumber,
    Site,
    SiteChange,
)

MOVED: dict[int | str, dict[str, Any]] = {
    308: {"model": ProblemDocument, "description": "The customer was merged into another", "content": {MEDIA_TYPE: {}}}
}

router = APIRouter(prefix="/v1", tags=["customers"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD, "customer")]
DESK = [allow("agent", "service")]
DESK_AND_SELF = [allow("agent", "service", "customer")]
DESK_ALONE = [allow("agent")]


class CustomerFilter:
    """Which customers a caller wants; what is left out does not matter."""

    def __init__(
        self,
        *,
        name: Annotated[Name | None, Query(description="beginnings of words of their name or a contact's")] = None,
        phone: Annotated[Phone | None, Query(description="of a contact; its last digits will do")] = None,
        country: Annotated[Country | None, Query(description="of the phone number")] = None,
        email: Annotated[Email | None, Query(description="of a contact")] = None,
        serial: Annotated[Serial | None, Query(description="of a machine they have or had, or had a case of")] = None,
        tax_number: Annotated[RegisterNumber | None, Query()] = None,
        kind: rules.Kind | None = None,
        channel: rules.SalesChannel | None = None,
        state: Annotated[rules.State | None, Query(description="active and inactive ones if left out")] = None,
    ) -> None:
        whole, last_digits = (None, None) if phone is None else _searched(phone, country)
        self.parameters: dict[str, Any] = {
            "states": ["active", "inactive"] if state is None else [state],
            "kind": kind,
            "channel": channel,
            "tax_number": tax_number,
            "phone": whole,
            "last_digits": last_digits,
            "email": email,
            "name": name,
            "serial": serial,
        }


def _shown(call: Call, row: Mapping[str, Any]) -> dict[str, Any]:
    """A customer as the caller may read it: what the desk notes about them is the desk's."""
    return {**row, "note": ""} if call.principal.scoped else dict(row)


def _searched(phone: str, country: str | None) -> tuple[str | None, str | None]:
    try:
        return rules.searched_phone(phone, country)
    except ValueError as error:
        fault = {"loc": ("query", "phone"), "msg": str(error), "type": "value_error"}
        raise RequestValidationError([fault]) from error


# Customers --------------------------------------------------------------------------------------


@router.post("/customers", status_code=201, dependencies=DESK)
async def create_customer(body: NewCustomer, call: CurrentCall, response: Response) -> CustomerCard:
    """Add a consumer or a business, with contacts and sites at once if wished."""
    card = CustomerCard(**await service.create_customer(call, body))
    response.headers["Location"] = f"/v1/customers/{card.customer_id}"
    tag(response, card.version)
    return card


@router.get("/customers", dependencies=EVERYBODY)
async def list_customers(
    page: CurrentPage, call: CurrentCall, wanted: Annotated[CustomerFilter, Depends(CustomerFilter)]
) -> Page[Customer]:
    """Customers, searched by what somebody says at the phone."""
    found = await service.list_customers(call, {**page.parameters, **wanted.parameters})
    rows = [_shown(call, row) for row in found]
    return Page[Customer].model_validate(page.page(rows, "customer_id"))


@router.get("/customers/duplicates", dependencies=DESK_ALONE)
async def list_duplicates(page: CurrentPage, call: CurrentCall) -> Page[DuplicateGroup]:
    """All customers who may be the same as a later one, and why."""
    rows = await service.list_duplicates(call, page.parameters)
    return Page[DuplicateGroup].model_validate(page.page(rows, "customer_id"))


@router.get("/customers/{customer_id}", dependencies=EVERYBODY, responses=MOVED)
async def get_customer(customer_id: Id, call: CurrentCall, response: Response) -> CustomerCard:
    """One customer with contacts and sites."""
    card = CustomerCard(**_shown(call, await service.customer_card(call, customer_id)))
    tag(response, card.version)
    return card


@router.patch("/customers/{customer_id}", dependencies=DESK, responses=MOVED)
async def change_customer(
    customer_id: Id, body: CustomerChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Customer:
    """Change a customer; needs If-Match."""
    customer = Customer(**await service.change_customer(call, customer_id, body, require_version(if_match)))
    tag(response, customer.version)
    return customer


@router.post("/customers/{customer_id}/deactivate", dependencies=DESK_ALONE)
async def deactivate_customer(
    customer_id: Id, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Customer:
    """Keep a customer who buys nothing any more; marketing leaves them alone. Needs If-Match."""
    row = await service.move_customer(call, customer_id, "deactivate", require_version(if_match))
    tag(response, row["version"])
    return Customer(**row)


@router.post("/customers/{customer_id}/reactivate", dependencies=DESK_ALONE)
async def reactivate_customer(
    customer_id: Id, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Customer:
    """Take a customer back. Needs If-Match."""
    row = await service.move_customer(call, customer_id, "reactivate", require_version(if_match))
    tag(response, row["version"])
    return Customer(**row)


@router.get("/customers/{customer_id}/duplicates", dependencies=DESK_ALONE, responses=MOVED)
async def get_duplicates(customer_id: Id, call: CurrentCall) -> Duplicates:
    """Who may be the same customer: same phone, mail, tax or registration number, or machine."""
    return Duplicates.model_validate({"items": await service.duplicates_of(call, customer_id)})


@router.post("/customers/{customer_id}/merge", dependencies=DESK_ALONE)
async def merge_customer(customer_id: Id, body: Merge, call: CurrentCall, if_match: IfMatch = None) -> MergeRecord:
    """Let another customer take in this one with everything that is theirs; needs If-Match, for this one's version."""
    return MergeRecord(**await merging.merge(call, customer_id, body, require_version(if_match)))


@router.get("/customers/{customer_id}/merges", dependencies=DESK_ALONE, responses=MOVED)
async def list_merges(customer_id: Id, page: CurrentPage, call: CurrentCall) -> Page[MergeRecord]:
    """Whom this customer took in."""
    await service.get_customer(call, customer_id)
    rows = await merging.list_merges(call, customer_id, page.parameters)
    return Page[MergeRecord].model_validate(page.page(rows, "merge_id"))


# Consents ---------------------------------------------------------------------------------------


@router.post("/customers/{customer_id}/consents", status_code=201, dependencies=DESK_AND_SELF)
async def record_consent(customer_id: Id, body: NewConsent, call: CurrentCall) -> Consent:
    """Note what a customer allows or forbids."""
    return Consent(**await consents.record_consent(call, customer_id, body))


@router.get("/customers/{customer_id}/consents", dependencies=EVERYBODY, responses=MOVED)
async def get_consents(customer_id: Id, call: CurrentCall) -> Consents:
    """What holds for every channel and purpose."""
    current = await consents.consents_of(call, customer_id)
    return Consents.model_validate({"customer_id": customer_id, "consents": current})


@router.get("/customers/{customer_id}/consents/history", dependencies=DESK_AND_SELF, responses=MOVED)
async def list_consents(customer_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Consent]:
    """All that was ever noted, oldest first."""
    rows = await consents.list_consents(call, customer_id, page.parameters)
    return Page[Consent].model_validate(page.page(rows, "consent_id"))


# Contacts ---------------------------------------------------------------------------------------


@router.post("/customers/{customer_id}/contacts", status_code=201, dependencies=DESK_AND_SELF)
async def create_contact(customer_id: Id, body: NewContact, call: CurrentCall, response: Response) -> Contact:
    """Add a contact."""
    contact = Contact(**await service.create_contact(call, customer_id, body))
    tag(response, contact.version)
    return contact


@router.get("/customers/{customer_id}/contacts", dependencies=EVERYBODY, responses=MOVED)
async def list_contacts(
    customer_id: Id, page: CurrentPage, call: CurrentCall, active: bool | None = None
) -> Page[Contact]:
    """A customer's contacts."""
    rows = await service.list_contacts(call, customer_id, {**page.parameters, "active": active})
    return Page[Contact].model_validate(page.page(rows, "contact_id"))


@router.get("/contacts/{contact_id}", dependencies=EVERYBODY)
async def get_contact(contact_id: Id, call: CurrentCall, response: Response) -> Contact:
    """One contact."""
    contact = Contact(**await service.get_contact(call, contact_id))
    tag(response, contact.version)
    return contact


@router.patch("/contacts/{contact_id}", dependencies=DESK_AND_SELF)
async def change_contact(
    contact_id: Id, body: ContactChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Contact:
    """Change or deactivate a contact; needs If-Match."""
    contact = Contact(**await service.change_contact(call, contact_id, body, require_version(if_match)))
    tag(response, contact.version)
    return contact


# Sites ------------------------------------------------------------------------------------------


@router.post("/sites", status_code=201, dependencies=DESK)
async def create_site(body: NewSite, call: CurrentCall, response: Response) -> Site:
    """Add a site."""
    site = Site(**await service.create_site(call, body))
    tag(response, site.version)
    return site


@router.get("/sites", dependencies=EVERYBODY)
async def list_sites(
    page: CurrentPage,
    call: CurrentCall,
    customer_id: Annotated[Id | None, Query(description="of this customer")] = None,
    active: bool | None = None,
) -> Page[Site]:
    """Sites."""
    rows = await service.list_sites(call, {**page.parameters, "customer_id": customer_id, "active": active})
    return Page[Site].model_validate(page.page(rows, "site_id"))


@router.get("/sites/{site_id}", dependencies=EVERYBODY)
async def get_site(site_id: Id, call: CurrentCall, response: Response) -> Site:
    """One site."""
    site = Site(**await service.get_site(call, site_id))
    tag(response, site.version)
    return site


@router.patch("/sites/{site_id}", dependencies=DESK)
async def change_site(
    site_id: Id, body: SiteChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Site:
    """Change or deactivate a site; needs If-Match."""
    site = Site(**await service.change_site(call, site_id, body, require_version(if_match)))
    tag(response, site.version)
    return site
