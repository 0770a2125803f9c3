"""`/v1/product-models`, their bills of materials and papers."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.assets import catalogue, papers
from api.assets.models import (
    BillOfMaterials,
    Document,
    Language,
    NewBillOfMaterials,
    NewModelDocument,
    NewProductModel,
    ProductModel,
    ProductModelChange,
)
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id, Name
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF

router = APIRouter(prefix="/v1/product-models", tags=["assets"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD, "customer")]
KEEPERS = [allow("agent", "engineer", "service")]


@router.post("", status_code=201, dependencies=KEEPERS)
async def create_product_model(body: NewProductModel, call: CurrentCall, response: Response) -> ProductModel:
    """Add a product model with its metrics and components."""
    model = ProductModel(**await catalogue.create_model(call, body))
    tag(response, model.version)
    return model


@router.get("", dependencies=EVERYBODY)
async def list_product_models(page: CurrentPage, call: CurrentCall) -> Page[ProductModel]:
    """All product models."""
    parameters = {**page.parameters, "code": None}
    rows = await (await call.connection.execute(catalogue.SQL["list_models"], parameters)).fetchall()
    return Page[ProductModel].model_validate(page.page(rows, "model_id"))


@router.get("/{code}", dependencies=EVERYBODY)
async def get_product_model(code: Name, call: CurrentCall, response: Response) -> ProductModel:
    """One product model."""
    model = ProductModel(**await catalogue.get_model(call, code))
    tag(response, model.version)
    return model


@router.patch("/{code}", dependencies=KEEPERS)
async def change_product_model(
    code: Name, body: ProductModelChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> ProductModel:
    """Change a product model, add metrics, add or change components; needs If-Match."""
    model = ProductModel(**await catalogue.change_model(call, code, body, require_version(if_match)))
    tag(response, model.version)
    return model


@router.get("/{code}/bill-of-materials", dependencies=EVERYBODY)
async def get_bill_of_materials(
    code: Name,
    call: CurrentCall,
    response: Response,
    batch: Annotated[Name | None, Query(description="only what is built into this production batch")] = None,
    produced_on: Annotated[date | None, Query(description="only what was built in that day")] = None,
) -> BillOfMaterials:
    """What a model is made of, as a tree."""
    bom = BillOfMaterials.model_validate(await catalogue.get_bom(call, code, batch, produced_on))
    tag(response, bom.version)
    return bom


@router.put("/{code}/bill-of-materials", dependencies=KEEPERS)
async def put_bill_of_materials(
    code: Name, body: NewBillOfMaterials, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> BillOfMaterials:
    """Put a whole bill of materials in the place of the one before; needs the model's ETag as If-Match."""
    bom = BillOfMaterials.model_validate(await catalogue.put_bom(call, code, body, require_version(if_match)))
    tag(response, bom.version)
    return bom


@router.post("/{code}/documents", status_code=201, dependencies=KEEPERS)
async def add_model_document(code: Name, body: NewModelDocument, call: CurrentCall) -> Document:
    """Add a paper for all machines of a model, e.g. its manual; its file is POSTed to /v1/files before."""
    model = await catalogue.get_model(call, code)
    return Document(**await papers.add_document(call, body, model_id=model["model_id"]))


@router.get("/{code}/documents", dependencies=EVERYBODY)
async def list_model_documents(
    code: Name,
    page: CurrentPage,
    call: CurrentCall,
    language: Annotated[Language | None, Query(description="in this language, or in none")] = None,
) -> Page[Document]:
    """The papers of a model."""
    model = await catalogue.get_model(call, code)
    wanted = {**page.parameters, "model_id": model["model_id"], "asset_id": None, "language": language}
    return Page[Document].model_validate(page.page(await papers.list_documents(call, wanted), "document_id"))


@router.delete("/{code}/documents/{document_id}", status_code=204, dependencies=KEEPERS)
async def take_away_model_document(code: Name, document_id: Id, call: CurrentCall) -> None:
    """Take a paper off a model; its file stays."""
    model = await catalogue.get_model(call, code)
    await papers.take_away(call, document_id, model_id=model["model_id"])
