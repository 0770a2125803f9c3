"""Below `/v1/parts`: what takes a part's place, what it fits, what is in a kit, what it costs whom."""

from dataclasses import asdict
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Currency, Id, Name, Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES, Problem
from api.conventions.roles import FIELD, STAFF
from api.parts import catalogue, fitting, prices, service
from api.parts.catalogue_models import (
    Alternative,
    Chain,
    Fit,
    FitAnswer,
    FittingParts,
    Kit,
    Level,
    Made,
    ManyFits,
    ManyPrices,
    NewAlternative,
    NewFit,
    NewKit,
    NewPrice,
    NewSupersession,
    PartPrice,
    PriceEnd,
    PriceOfDay,
    SubstitutePart,
)
from api.parts.models import Sku
from api.parts.rules import PriceKind

router = APIRouter(prefix="/v1/parts", tags=["parts"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
KEEPERS = [allow("agent", "engineer", "service")]
PRICERS = [allow("agent", "service")]


# Lists of many parts come before those of one.


@router.get("/fitting", dependencies=EVERYBODY)
async def list_fitting_parts(
    call: CurrentCall,
    serial: Annotated[Serial | None, Query(description="of a machine")] = None,
    model: Annotated[Name | None, Query(description="any machine of it")] = None,
    component: Annotated[Name | None, Query(description="of the machine or model; left out, all of it")] = None,
) -> FittingParts:
    """Which parts fit a machine, a model, or one of its components."""
    if (serial is None) == (model is None):
        raise Problem.bad_field("query.serial", "give either serial or model")
    if serial is not None:
        return FittingParts.model_validate(await fitting.parts_of_machine(call, serial, component))
    return FittingParts.model_validate(await fitting.parts_of_model(call, model or "", component))


@router.post("/fits", status_code=201, dependencies=KEEPERS)
async def add_fits(body: ManyFits, call: CurrentCall) -> Made:
    """Record into which machines many parts go."""
    made = await fitting.add_fits(call, body.items)
    return Made(made=made, known=len(body.items) - made)


@router.post("/prices", status_code=201, dependencies=PRICERS)
async def add_prices(body: ManyPrices, call: CurrentCall) -> Made:
    """Add prices of many parts: all of them, or none."""
    return Made(made=await prices.add_prices(call, body.items), known=0)


@router.patch("/prices/{part_price_id}", dependencies=PRICERS)
async def end_price(
    part_price_id: Id, body: PriceEnd, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> PartPrice:
    """Say which day is a price's last; needs If-Match."""
    price = PartPrice(**await prices.end_price(call, part_price_id, body.valid_until, require_version(if_match)))
    tag(response, price.version)
    return price


@router.delete("/prices/{part_price_id}", status_code=204, dependencies=PRICERS)
async def drop_price(part_price_id: Id, call: CurrentCall) -> None:
    """Take back a price that has not begun."""
    await prices.drop_price(call, part_price_id)


# What takes its place -----------------------------------------------------------------------------


@router.post("/{sku}/successor", status_code=201, dependencies=KEEPERS)
async def supersede_part(sku: Sku, body: NewSupersession, call: CurrentCall) -> Chain:
    """Let another part take this one's place from a day on."""
    return Chain.model_validate(await catalogue.supersede(call, sku, body))


@router.delete("/{sku}/successor", status_code=204, dependencies=KEEPERS)
async def withdraw_successor(sku: Sku, call: CurrentCall) -> None:
    """Take back that another part takes this one's place."""
    await catalogue.withdraw(call, sku)


@router.get("/{sku}/chain", dependencies=EVERYBODY)
async def get_chain(sku: Sku, call: CurrentCall) -> Chain:
    """All that came before a part and comes after it, and the part to take today."""
    return Chain.model_validate(await catalogue.chain(call, sku))


@router.post("/{sku}/alternatives", status_code=201, dependencies=KEEPERS)
async def put_alternative(sku: Sku, body: NewAlternative, call: CurrentCall) -> list[Alternative]:
    """Say that another part may be built in instead, or say it anew."""
    return [Alternative(**row) for row in await catalogue.put_alternative(call, sku, body)]


@router.get("/{sku}/alternatives", dependencies=EVERYBODY)
async def list_alternatives(sku: Sku, call: CurrentCall) -> list[Alternative]:
    """What is said to be alternatives to a part."""
    return [Alternative(**row) for row in await catalogue.alternatives(call, sku)]


@router.delete("/{sku}/alternatives/{alternative}", status_code=204, dependencies=KEEPERS)
async def drop_alternative(sku: Sku, alternative: Sku, call: CurrentCall) -> None:
    """Take back that another part may be built in instead."""
    await catalogue.drop_alternative(call, sku, alternative)


@router.get("/{sku}/substitutes", dependencies=EVERYBODY)
async def list_substitutes(sku: Sku, call: CurrentCall) -> list[SubstitutePart]:
    """All that may be built in instead of a part today, the best first: through chains, both ways, and alternatives."""
    part = await service.get_part(call, sku)
    return [SubstitutePart(**asdict(one)) for one in await service.substitutes(call, part["part_id"])]


# What it fits -------------------------------------------------------------------------------------


@router.post("/{sku}/fits", status_code=201, dependencies=KEEPERS)
async def add_fit(sku: Sku, body: NewFit, call: CurrentCall) -> list[Fit]:
    """Record into which machines a part goes."""
    return [Fit(**row) for row in await fitting.add_fit(call, sku, body)]


@router.get("/{sku}/fits", dependencies=EVERYBODY)
async def list_fits(sku: Sku, call: CurrentCall) -> list[Fit]:
    """Into which machines a part goes, whoever says so."""
    return [Fit(**row) for row in await fitting.fits_of_part(call, sku)]


@router.get("/{sku}/fits/{serial}", dependencies=EVERYBODY)
async def get_fit(sku: Sku, serial: Serial, call: CurrentCall) -> FitAnswer:
    """Whether a part fits a machine, and why."""
    return FitAnswer(**await fitting.fit_of(call, sku, serial))


@router.delete("/{sku}/fits/{part_fit_id}", status_code=204, dependencies=KEEPERS)
async def drop_fit(sku: Sku, part_fit_id: Id, call: CurrentCall) -> None:
    """Take back that a part goes into machines."""
    await fitting.drop_fit(call, sku, part_fit_id)


# Kits ---------------------------------------------------------------------------------------------


@router.put("/{sku}/kit", dependencies=KEEPERS)
async def put_kit(sku: Sku, body: NewKit, call: CurrentCall, response: Response, if_match: IfMatch = None) -> Kit:
    """Say what is in a kit, in the place of what was said before; needs the part's ETag as If-Match."""
    kit = Kit.model_validate(await catalogue.put_kit(call, sku, body, require_version(if_match)))
    tag(response, kit.version)
    return kit


@router.get("/{sku}/kit", dependencies=EVERYBODY)
async def get_kit(sku: Sku, call: CurrentCall, response: Response) -> Kit:
    """What is in a kit, and which kits a part is in."""
    kit = Kit.model_validate(await catalogue.kit(call, sku))
    tag(response, kit.version)
    return kit


# Prices -------------------------------------------------------------------------------------------


@router.post("/{sku}/prices", status_code=201, dependencies=PRICERS)
async def add_price(sku: Sku, body: NewPrice, call: CurrentCall, response: Response) -> PartPrice:
    """Say what a piece costs whom from a day on."""
    price = PartPrice(**await prices.add_price(call, sku, body))
    tag(response, price.version)
    return price


@router.get("/{sku}/prices", dependencies=EVERYBODY)
async def list_prices(
    sku: Sku,
    page: CurrentPage,
    call: CurrentCall,
    kind: Annotated[PriceKind | None, Query()] = None,
    level: Annotated[Level | None, Query()] = None,
    *,
    on: Annotated[date | None, Query(description="that hold on this day")] = None,
) -> Page[PartPrice]:
    """Prices of a part; a partner sees those of customers and its own."""
    wanted = {"kind": kind, "level": level, "on": on}
    rows = await prices.list_prices(call, sku, page.parameters, wanted)
    return Page[PartPrice].model_validate(page.page(rows, "part_price_id"))


@router.get("/{sku}/price", dependencies=[allow(*STAFF)])
async def get_price(
    sku: Sku,
    call: CurrentCall,
    kind: Annotated[PriceKind, Query()],
    on: Annotated[date | None, Query(description="left out: today")] = None,
    *,
    level: Annotated[Level, Query()] = "",
    currency: Annotated[Currency | None, Query(description="left out: the part's own first")] = None,
) -> PriceOfDay:
    """What a piece costs on a day."""
    part = await service.get_part(call, sku)
    day = on or call.now.date()
    price = await service.price_of(call, part["part_id"], kind, day, level=level, currency=currency)
    if price is None:
        raise Problem.not_found(f"{kind} price on {day} of part", sku)
    return PriceOfDay(sku=sku, kind=kind, level=level, on=day, **asdict(price))
