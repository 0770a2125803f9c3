"""`/v1/customers`, `/v1/sites`."""

from fastapi import APIRouter

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.customers import service
from api.customers.models import Customer, NewCustomer, NewSite, Site

router = APIRouter(prefix="/v1", tags=["customers"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
DESK = [allow("agent", "service")]


@router.post("/customers", status_code=201, dependencies=DESK)
async def create_customer(body: NewCustomer, call: CurrentCall) -> Customer:
    """Add a customer."""
    return Customer(**await service.create_customer(call, body))


@router.get("/customers", dependencies=EVERYBODY)
async def list_customers(page: CurrentPage, call: CurrentCall) -> Page[Customer]:
    """All customers."""
    rows = await (await call.connection.execute(service.SQL["list_customers"], page.parameters)).fetchall()
    return Page[Customer].model_validate(page.page(rows, "customer_id"))


@router.post("/sites", status_code=201, dependencies=DESK)
async def create_site(body: NewSite, call: CurrentCall) -> Site:
    """Add a site."""
    return Site(**await service.create_site(call, body))


@router.get("/sites", dependencies=EVERYBODY)
async def list_sites(page: CurrentPage, call: CurrentCall) -> Page[Site]:
    """All sites."""
    rows = await (await call.connection.execute(service.SQL["list_sites"], page.parameters)).fetchall()
    return Page[Site].model_validate(page.page(rows, "site_id"))
