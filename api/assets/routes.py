"""`/v1/product-models`, `/v1/assets`."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from api.assets import service
from api.assets.models import (
    Asset,
    AssetChange,
    NewAsset,
    NewProductModel,
    ProductModel,
)
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Name, Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF

router = APIRouter(prefix="/v1", tags=["assets"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD)]
DESK = [allow("agent", "service")]


@router.post("/product-models", status_code=201, dependencies=DESK)
async def create_product_model(body: NewProductModel, call: CurrentCall) -> ProductModel:
    """Add a product model with its metrics and components."""
    return ProductModel(**await service.create_model(call, body))


@router.get("/product-models", dependencies=EVERYBODY)
async def list_product_models(page: CurrentPage, call: CurrentCall) -> Page[ProductModel]:
    """All product models."""
    parameters = {**page.parameters, "code": None}
    rows = await (await call.connection.execute(service.SQL["list_models"], parameters)).fetchall()
    return Page[ProductModel].model_validate(page.page(rows, "model_id"))


@router.get("/product-models/{code}", dependencies=EVERYBODY)
async def get_product_model(code: Name, call: CurrentCall) -> ProductModel:
    """One product model."""
    return ProductModel(**await service.get_model(call, code))


@router.post("/assets", status_code=201, dependencies=DESK)
async def create_asset(body: NewAsset, call: CurrentCall, response: Response) -> Asset:
    """Register an asset with its warranty terms."""
    asset = Asset(**await service.create_asset(call, body))
    tag(response, asset.version)
    return asset


@router.get("/assets", dependencies=EVERYBODY)
async def list_assets(
    page: CurrentPage,
    call: CurrentCall,
    model: Annotated[str | None, Query(max_length=128)] = None,
    state: Literal["active", "retired"] | None = None,
) -> Page[Asset]:
    """Assets, of one model or in one state if wished."""
    parameters = {**page.parameters, "model": model, "state": state}
    rows = await (await call.connection.execute(service.SQL["list_assets"], parameters)).fetchall()
    return Page[Asset].model_validate(page.page(rows, "asset_id"))


@router.get("/assets/{serial}", dependencies=EVERYBODY)
async def get_asset(serial: Serial, call: CurrentCall, response: Response) -> Asset:
    """One asset."""
    asset = Asset(**await service.get_asset(call, serial))
    tag(response, asset.version)
    return asset


@router.patch("/assets/{serial}", dependencies=DESK)
async def change_asset(
    serial: Serial, body: AssetChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Asset:
    """Change an asset; needs If-Match."""
    asset = Asset(**await service.change_asset(call, serial, body, require_version(if_match)))
    tag(response, asset.version)
    return asset
