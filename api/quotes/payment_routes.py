"""Agreed fees, charges, payments and the balance of tickets, and what payment providers tell."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import ValidationError

from api.conventions.call import Call, CallRoute, CurrentCall, CurrentOpenCall, OpenRoute, allow, begin_as
from api.conventions.etags import tag
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES, Problem
from api.conventions.roles import FIELD, STAFF, Principal
from api.quotes import charges, payments
from api.quotes.models import Withdrawal
from api.quotes.payment_models import (
    AgreedFee,
    Balance,
    Capture,
    Charge,
    CreatedPaymentProvider,
    NewAgreedFee,
    NewCharge,
    NewPayment,
    NewPaymentProvider,
    NewRefund,
    Payment,
    PaymentNotice,
    PaymentProvider,
    PaymentProviderName,
    Receipt,
)

router = APIRouter(prefix="/v1", tags=["payments"], route_class=CallRoute, responses=RESPONSES)
open_router = APIRouter(prefix="/v1", tags=["payments"], route_class=OpenRoute, responses=RESPONSES)

CHARGERS = [allow("agent", "service", *FIELD)]
CASHIERS = [allow("agent", "service")]
PARTIES = [allow(*STAFF, *FIELD, "customer")]

LARGEST_NOTICE_BYTES = 65_536
LinkedProvider = Annotated[PaymentProviderName, Path()]


@router.post("/tickets/{ticket_id}/agreed-fees", status_code=201, dependencies=CHARGERS)
async def agree_fee(ticket_id: Id, body: NewAgreedFee, call: CurrentCall) -> AgreedFee:
    """Record a fee that the customer agreed to at booking, e.g. for the diagnosis if the quote is declined."""
    return AgreedFee(**await charges.agree_fee(call, ticket_id, body))


@router.get("/tickets/{ticket_id}/agreed-fees", dependencies=PARTIES)
async def list_agreed_fees(ticket_id: Id, page: CurrentPage, call: CurrentCall) -> Page[AgreedFee]:
    """What was agreed for a case."""
    await charges.account_of(call, ticket_id)
    parameters = {**page.parameters, "ticket_id": ticket_id}
    rows = await (await call.connection.execute(charges.SQL["list_agreed_fees"], parameters)).fetchall()
    return Page[AgreedFee].model_validate(page.page(rows, "agreed_fee_id"))


@router.post("/tickets/{ticket_id}/charges", status_code=201, dependencies=CHARGERS)
async def create_charge(ticket_id: Id, body: NewCharge, call: CurrentCall) -> Charge:
    """Charge the customer, within the accepted quote or an agreed fee; the database itself refuses more."""
    return Charge(**await charges.charge(call, ticket_id, body))


@router.get("/tickets/{ticket_id}/charges", dependencies=PARTIES)
async def list_charges(ticket_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Charge]:
    """A case's charges, oldest first."""
    await charges.account_of(call, ticket_id)
    parameters = {**page.parameters, "ticket_id": ticket_id}
    rows = await (await call.connection.execute(charges.SQL["list_charges"], parameters)).fetchall()
    return Page[Charge].model_validate(page.page(rows, "charge_id"))


@router.post("/charges/{charge_id}/void", dependencies=CASHIERS)
async def void_charge(charge_id: Id, body: Withdrawal, call: CurrentCall) -> Charge:
    """Take a charge back."""
    return Charge(**await charges.void(call, charge_id, body.reason))


@router.get("/tickets/{ticket_id}/balance", dependencies=PARTIES)
async def get_balance(ticket_id: Id, call: CurrentCall) -> Balance:
    """What a case's customer has accepted, was charged, has paid and still owes."""
    return Balance(**charges.balance(ticket_id, *await charges.account_of(call, ticket_id)))


@router.get("/tickets/{ticket_id}/receipt", dependencies=PARTIES)
async def get_receipt(ticket_id: Id, call: CurrentCall) -> Receipt:
    """What a receipt shows."""
    return Receipt(**await charges.receipt(call, ticket_id))


@router.post(
    "/tickets/{ticket_id}/payments",
    status_code=201,
    dependencies=CHARGERS,
    responses={200: {"model": Payment, "description": "The payment was known"}},
)
async def record_payment(ticket_id: Id, body: NewPayment, call: CurrentCall, response: Response) -> Payment:
    """Record what happened at a payment provider; the same reference again changes nothing, or brings it further."""
    row, made = await payments.record_payment(call, ticket_id, body)
    response.status_code = 201 if made else 200
    tag(response, row["version"])
    return Payment(**row)


@router.get("/tickets/{ticket_id}/payments", dependencies=PARTIES)
async def list_payments(ticket_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Payment]:
    """A case's payments, oldest first."""
    await charges.account_of(call, ticket_id)
    parameters = {**page.parameters, "ticket_id": ticket_id}
    rows = await (await call.connection.execute(charges.SQL["list_payments"], parameters)).fetchall()
    return Page[Payment].model_validate(page.page(rows, "payment_id"))


@router.get("/payments/{payment_id}", dependencies=PARTIES)
async def get_payment(payment_id: Id, call: CurrentCall, response: Response) -> Payment:
    """One payment."""
    row = await payments.get_payment(call, payment_id)
    tag(response, row["version"])
    return Payment(**row)


@router.post("/payments/{payment_id}/capture", dependencies=CHARGERS)
async def capture_payment(payment_id: Id, body: Capture, call: CurrentCall) -> Payment:
    """Record that the money was taken."""
    return Payment(**await payments.capture(call, payment_id, body.amount_minor))


@router.post("/payments/{payment_id}/fail", dependencies=CHARGERS)
async def fail_payment(payment_id: Id, body: Withdrawal, call: CurrentCall) -> Payment:
    """Record that the payment came to nothing."""
    return Payment(**await payments.fail(call, payment_id, body.reason))


@router.post(
    "/payments/{payment_id}/refunds",
    status_code=201,
    dependencies=CASHIERS,
    responses={200: {"model": Payment, "description": "The refund was known"}},
)
async def record_refund(payment_id: Id, body: NewRefund, call: CurrentCall, response: Response) -> Payment:
    """Record that money was paid back, never more than was taken; the same reference again changes nothing."""
    row, made = await payments.refund(call, payment_id, body)
    response.status_code = 201 if made else 200
    return Payment(**row)


@router.post("/payment-providers", status_code=201, dependencies=[allow()])
async def create_payment_provider(
    body: NewPaymentProvider, call: CurrentCall, response: Response
) -> CreatedPaymentProvider:
    """Let a payment provider tell of payments; its signing secret is shown once."""
    response.headers["Cache-Control"] = "no-store"
    return CreatedPaymentProvider(**await payments.create_provider(call, body.name))


@router.get("/payment-providers", dependencies=[allow("agent", "service")])
async def list_payment_providers(page: CurrentPage, call: CurrentCall) -> Page[PaymentProvider]:
    """Who may tell of payments."""
    rows = await (await call.connection.execute(payments.SQL["list_payment_providers"], page.parameters)).fetchall()
    return Page[PaymentProvider].model_validate(page.page(rows, "payment_provider_id"))


@open_router.post(
    "/payment-messages/{provider}",
    status_code=204,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": PaymentNotice.model_json_schema()}},
        }
    },
)
async def take_payment_message(provider: LinkedProvider, open_call: CurrentOpenCall, request: Request) -> None:
    """Take a payment provider's message, signed as Standard Webhooks says; one that comes again changes nothing."""
    body = await request.body()
    call = Call(open_call.connection, open_call.now, Principal("payments", f"payment provider {provider}", "service"))
    known = await payments.verified(call, provider, request.headers, body)
    if len(body) > LARGEST_NOTICE_BYTES:
        raise Problem.bad_field("body", f"must be at most {LARGEST_NOTICE_BYTES} bytes")
    try:
        notice = PaymentNotice.model_validate_json(body)
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(["body", *(str(part) for part in wrong["loc"])])
        raise Problem.bad_field(place, wrong["msg"]) from error
    await begin_as(call.connection, call.principal.name, call.now)
    await payments.take_notice(call, known, notice)
