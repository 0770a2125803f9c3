"""`/v1/stock`: balances at any moment, their value, their proof, and what was used."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.exceptions import RequestValidationError

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Time
from api.conventions.pages import CurrentPage, Page, decode_text, encode_text
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.parts.models import Code
from api.stock import proofs
from api.stock.balance_models import Balance, MonthOfDemand, Proof, StockValue
from api.stock.service import SQL

router = APIRouter(prefix="/v1/stock", tags=["parts"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
HOUSE = [allow(*STAFF)]

EARLIEST = date(2000, 1, 1)
LATEST = date(9998, 1, 1)
# Each may hold tens of thousands of parts.
MOST_WAREHOUSES = 20

SkuFilter = Annotated[Code | None, Query()]
WarehouseFilter = Annotated[Code | None, Query()]
Moment = Annotated[Time | None, Query(description="what had moved up to and including then; now, if left out")]


@router.get("/balances", dependencies=EVERYBODY)
async def list_balances(
    page: CurrentPage,
    call: CurrentCall,
    at: Moment = None,
    sku: SkuFilter = None,
    warehouse: WarehouseFilter = None,
) -> Page[Balance]:
    """Balances at a moment, of everything that there ever was in a warehouse."""
    parameters = {"at": at or call.now, "sku": sku, "warehouse": warehouse, "valued": not call.principal.scoped}
    rows = await (await call.connection.execute(SQL["list_balances"], {**page.parameters, **parameters})).fetchall()
    return Page[Balance].model_validate(page.page(rows, "number"))


@router.get("/value", dependencies=HOUSE)
async def list_values(
    call: CurrentCall,
    at: Moment = None,
    warehouse: WarehouseFilter = None,
    after: Annotated[str | None, Query(description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="warehouses; a page may have fewer")] = 100,
) -> Page[StockValue]:
    """What the stock of each warehouse was worth at a moment, by currency."""
    mark, limit = _mark(after, 1), min(limit, MOST_WAREHOUSES)
    parameters = {"at": at or call.now, "warehouse": warehouse, "after_id": mark[0], "fetch": limit + 1}
    rows = await (await call.connection.execute(SQL["list_values"], parameters)).fetchall()
    numbers = list(dict.fromkeys(row["warehouse_id"] for row in rows))
    following = encode_text(str(numbers[limit - 1])) if len(numbers) > limit else None
    items = [StockValue(**row) for row in rows if row["warehouse_id"] in numbers[:limit]]
    return Page[StockValue](items=items, next=following)


@router.get("/demand", dependencies=HOUSE)
async def list_demand(  # noqa: PLR0917 - the filters of a query
    call: CurrentCall,
    since: Annotated[date, Query(description="first month, by any of its days")] = EARLIEST,
    until: Annotated[date, Query(description="month that follows the last, by any of its days")] = LATEST,
    sku: SkuFilter = None,
    warehouse: WarehouseFilter = None,
    after: Annotated[str | None, Query(description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
) -> Page[MonthOfDemand]:
    """Pieces used by warehouse, part and month, as the ledger has them; for forecasts of demand."""
    warehouse_id, part_id, ordinal = _mark(after, 3)
    first, end = _month(since), _month(until)
    from_month = _next_month(date.fromordinal(ordinal)) if ordinal else first
    parameters = {
        "warehouse_id": warehouse_id,
        "part_id": part_id,
        "from_month": _midnight(from_month),
        "since": _midnight(first),
        "until": _midnight(end),
        "sku": sku,
        "warehouse": warehouse,
        "fetch": limit + 1,
    }
    rows = await (await call.connection.execute(SQL["list_demand"], parameters)).fetchall()
    items = [MonthOfDemand(**{**row, "month": row["month"].date()}) for row in rows[:limit]]
    if len(rows) <= limit:
        return Page[MonthOfDemand](items=items, next=None)
    last = rows[limit - 1]
    mark = f"{last['warehouse_id']}:{last['part_id']}:{last['month'].date().toordinal()}"
    return Page[MonthOfDemand](items=items, next=encode_text(mark))


@router.get("/proof", dependencies=HOUSE)
async def get_proof(call: CurrentCall) -> Proof:
    """Reckon every balance anew from all movements, now, and compare."""
    found = await proofs.reckon(call)
    last = await proofs.last_proof(call)
    return Proof(**found, at=call.now, balanced=found["faults"] == 0, kept_at=last["at"] if last else None)


def _mark(after: str | None, places: int) -> tuple[int, ...]:
    """The numbers of a cursor; zeros without one.

    Raises:
        RequestValidationError: It is no cursor of this list.
    """
    if after is None:
        return (0,) * places
    numbers = decode_text(after).split(":")
    fitting = [int(number) for number in numbers if number.isascii() and number.isdigit() and len(number) <= 18]
    if len(numbers) != places or len(fitting) != places or (places > 1 and not 1 <= fitting[-1] < LATEST.toordinal()):
        message = "is not a cursor of this list; start without it"
        raise RequestValidationError([{"loc": ("query", "after"), "msg": message, "type": "value_error"}])
    return tuple(fitting)


def _month(day: date) -> date:
    """Its first day, within the years that a ledger may have."""
    return min(max(day, EARLIEST), LATEST).replace(day=1)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
