"""`/v1/supplier-parts`, `/v1/purchase-orders`, `/v1/purchase-lines`, `/v1/purchase-promises`."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id, Name
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import STAFF
from api.parts.models import Code
from api.purchasing import orders, receiving, repository, service, terms
from api.purchasing.models import (
    Confirmation,
    Ending,
    LineChange,
    NewLine,
    NewReceipt,
    OrderChange,
    Promise,
    PurchaseLine,
    PurchaseOrder,
    Receipt,
    SupplierPart,
    TakenTerms,
    TermsList,
    WholeOrder,
)
from api.purchasing.rules import OrderState

router = APIRouter(prefix="/v1", tags=["purchasing"], route_class=CallRoute, responses=RESPONSES)

READERS = [allow(*STAFF)]
BUYERS = [allow("agent", "service")]
STORES = [allow("agent", "dispatcher", "service")]

# Terms ------------------------------------------------------------------------------------------


@router.put("/suppliers/{code}/parts", dependencies=BUYERS)
async def put_supplier_parts(code: Name, body: TermsList, call: CurrentCall) -> TakenTerms:
    """Take a supplier's price list, or a part of it, up to 5000 parts at once."""
    return TakenTerms.model_validate(await terms.put_terms(call, code, body))


@router.get("/supplier-parts", dependencies=READERS)
async def list_supplier_parts(
    page: CurrentPage,
    call: CurrentCall,
    supplier: Annotated[Name | None, Query(description="its code")] = None,
    sku: Annotated[Code | None, Query(description="who delivers this part")] = None,
) -> Page[SupplierPart]:
    """Which suppliers deliver which parts, on which terms."""
    rows = await terms.list_terms(call, {**page.parameters, "supplier": supplier, "sku": sku})
    return Page[SupplierPart].model_validate(page.page(rows, "supplier_part_id"))


# Lines and promises -----------------------------------------------------------------------------


@router.post("/purchase-lines", status_code=201, dependencies=BUYERS)
async def order_part(body: NewLine, call: CurrentCall) -> PurchaseLine:
    """Order a part: it is added to the open draft of its supplier for that warehouse."""
    return PurchaseLine(**await service.order_by_hand(call, body))


@router.get("/purchase-lines", dependencies=READERS)
async def list_purchase_lines(
    page: CurrentPage,
    call: CurrentCall,
    sku: Annotated[Code | None, Query()] = None,
    purchase_order_id: Annotated[Id | None, Query()] = None,
) -> Page[PurchaseLine]:
    """What was ordered."""
    wanted = {**page.parameters, "sku": sku, "purchase_order_id": purchase_order_id}
    rows = await repository.rows(call, "list_lines", wanted)
    return Page[PurchaseLine].model_validate(page.page(rows, "purchase_line_id"))


@router.get("/purchase-lines/late", dependencies=READERS)
async def list_late_lines(page: CurrentPage, call: CurrentCall) -> Page[PurchaseLine]:
    """What should have come by now."""
    rows = await repository.rows(call, "list_late_lines", page.parameters)
    return Page[PurchaseLine].model_validate(page.page(rows, "purchase_line_id"))


@router.put("/purchase-lines/{purchase_line_id}", dependencies=BUYERS)
async def change_purchase_line(purchase_line_id: Id, body: LineChange, call: CurrentCall) -> PurchaseLine:
    """Change how much of a draft's line is wanted, or its price."""
    return PurchaseLine(**await orders.change_line(call, purchase_line_id, body))


@router.get("/purchase-promises", dependencies=READERS)
async def list_purchase_promises(
    page: CurrentPage,
    call: CurrentCall,
    ticket_id: Annotated[Id | None, Query(description="to this case")] = None,
    purchase_line_id: Annotated[Id | None, Query(description="of this line")] = None,
) -> Page[Promise]:
    """To whom pieces still to come belong, and for whom those that came were reserved."""
    wanted = {**page.parameters, "ticket_id": ticket_id, "purchase_line_id": purchase_line_id}
    rows = await repository.rows(call, "list_promises", wanted)
    return Page[Promise].model_validate(page.page(rows, "purchase_promise_id"))


@router.post("/purchase-promises/{purchase_promise_id}/withdraw", status_code=204, dependencies=STORES)
async def withdraw_promise(purchase_promise_id: Id, body: Ending, call: CurrentCall) -> None:
    """Give the pieces of a promise to the shelf; doing it again changes nothing."""
    await service.withdraw_promise(call, purchase_promise_id, body.reason)


# Orders -----------------------------------------------------------------------------------------


@router.get("/purchase-orders", dependencies=READERS)
async def list_purchase_orders(
    page: CurrentPage,
    call: CurrentCall,
    state: OrderState | None = None,
    supplier: Annotated[Name | None, Query(description="its code")] = None,
    warehouse: Annotated[Code | None, Query(description="where it is delivered")] = None,
) -> Page[PurchaseOrder]:
    """Orders that fit."""
    wanted = {**page.parameters, "state": state, "supplier": supplier, "warehouse": warehouse}
    rows = await repository.rows(call, "list_orders", wanted)
    return Page[PurchaseOrder].model_validate(page.page(rows, "purchase_order_id"))


@router.get("/purchase-orders/{purchase_order_id}", dependencies=READERS)
async def get_purchase_order(purchase_order_id: Id, call: CurrentCall, response: Response) -> WholeOrder:
    """One order with its lines."""
    order = WholeOrder.model_validate(await repository.get_order(call, purchase_order_id))
    tag(response, order.version)
    return order


@router.patch("/purchase-orders/{purchase_order_id}", dependencies=BUYERS)
async def change_purchase_order(
    purchase_order_id: Id, body: OrderChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> WholeOrder:
    """Note something on an order, or find a supplier for a draft without one; needs If-Match."""
    changed = await orders.change_order(call, purchase_order_id, body, require_version(if_match))
    order = WholeOrder.model_validate(changed)
    tag(response, order.version)
    return order


@router.post("/purchase-orders/{purchase_order_id}/send", dependencies=BUYERS)
async def send_purchase_order(purchase_order_id: Id, call: CurrentCall) -> WholeOrder:
    """Note that a draft went to its supplier."""
    return WholeOrder.model_validate(await orders.send(call, purchase_order_id))


@router.post("/purchase-orders/{purchase_order_id}/confirm", dependencies=BUYERS)
async def confirm_purchase_order(purchase_order_id: Id, body: Confirmation, call: CurrentCall) -> WholeOrder:
    """Note when the supplier says that it delivers; may come again."""
    return WholeOrder.model_validate(await orders.confirm(call, purchase_order_id, body))


@router.post("/purchase-orders/{purchase_order_id}/receive", dependencies=STORES)
async def receive_purchase_order(purchase_order_id: Id, body: NewReceipt, call: CurrentCall) -> WholeOrder:
    """Take a delivery in; what was promised is reserved at once."""
    return WholeOrder.model_validate(await receiving.receive(call, purchase_order_id, body))


@router.get("/purchase-orders/{purchase_order_id}/receipts", dependencies=READERS)
async def list_receipts(purchase_order_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Receipt]:
    """What came of an order, delivery by delivery."""
    await repository.get_order(call, purchase_order_id)
    rows = await repository.rows(call, "list_receipts", {**page.parameters, "purchase_order_id": purchase_order_id})
    return Page[Receipt].model_validate(page.page(rows, "purchase_receipt_id"))


@router.post("/purchase-orders/{purchase_order_id}/cancel", dependencies=BUYERS)
async def cancel_purchase_order(purchase_order_id: Id, body: Ending, call: CurrentCall) -> WholeOrder:
    """Give an order up of which nothing came."""
    return WholeOrder.model_validate(await orders.cancel(call, purchase_order_id, body.reason))


@router.post("/purchase-orders/{purchase_order_id}/close", dependencies=BUYERS)
async def close_purchase_order(purchase_order_id: Id, body: Ending, call: CurrentCall) -> WholeOrder:
    """Give up what has not come of an order."""
    return WholeOrder.model_validate(await orders.close(call, purchase_order_id, body.reason))
