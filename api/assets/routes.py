"""`/v1/assets`: machines, their owners, firmware, parts and papers."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from api.assets import catalogue, papers, service
from api.assets.models import (
    Asset,
    AssetChange,
    AssetState,
    BillOfMaterials,
    Document,
    Firmware,
    InstalledPart,
    Language,
    NewAsset,
    NewAssetDocument,
    NewFirmware,
    NewRetirement,
    NewReturn,
    NewTransfer,
    Owner,
    Transfer,
)
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id, Name, Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF

router = APIRouter(prefix="/v1/assets", tags=["assets"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD, "customer")]
DESK = [allow("agent", "service")]
WORKSHOP = [allow("agent", "engineer", "service", *FIELD)]
BRINGERS = [allow("agent", "engineer", "service", *FIELD, "customer")]


class AssetFilter:
    """Which assets a caller wants; what is left out does not matter."""

    def __init__(
        self,
        *,
        model: Annotated[Name | None, Query(description="code of the product model")] = None,
        state: AssetState | None = None,
        customer_id: Annotated[Id | None, Query(description="the owner")] = None,
        site_id: Annotated[Id | None, Query()] = None,
        batch: Annotated[Name | None, Query(description="production batch")] = None,
        firmware: Annotated[Name | None, Query(description="the version that runs now")] = None,
        serial: Annotated[
            str | None, Query(pattern="^[A-Za-z0-9._-]{1,64}$", description="how the serial number begins")
        ] = None,
    ) -> None:
        pattern = None if serial is None else serial.replace("_", r"\_") + "%"
        self.parameters: dict[str, Any] = {
            "model": model,
            "state": state,
            "customer_id": customer_id,
            "site_id": site_id,
            "batch": batch,
            "firmware": firmware,
            "serial_prefix": pattern,
        }


CurrentFilter = Annotated[AssetFilter, Depends(AssetFilter)]


@router.post("", status_code=201, dependencies=DESK)
async def create_asset(body: NewAsset, call: CurrentCall, response: Response) -> Asset:
    """Register an asset with its owner and its warranty terms."""
    asset = Asset(**await service.create_asset(call, body))
    tag(response, asset.version)
    return asset


@router.get("", dependencies=EVERYBODY)
async def list_assets(page: CurrentPage, call: CurrentCall, wanted: CurrentFilter) -> Page[Asset]:
    """Assets, by any of their features."""
    rows = await service.list_assets(call, {**page.parameters, **wanted.parameters})
    return Page[Asset].model_validate(page.page(rows, "asset_id"))


@router.get("/{serial}", dependencies=EVERYBODY)
async def get_asset(serial: Serial, call: CurrentCall, response: Response) -> Asset:
    """One asset."""
    asset = Asset(**await service.get_asset(call, serial))
    tag(response, asset.version)
    return asset


@router.patch("/{serial}", dependencies=DESK)
async def change_asset(
    serial: Serial, body: AssetChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Asset:
    """Change an asset; needs If-Match."""
    asset = Asset(**await service.change_asset(call, serial, body, require_version(if_match)))
    tag(response, asset.version)
    return asset


@router.post("/{serial}/retire", dependencies=DESK)
async def retire_asset(
    serial: Serial, body: NewRetirement, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Asset:
    """Take an asset out of service; needs If-Match."""
    asset = Asset(**await service.retire(call, serial, body, require_version(if_match)))
    tag(response, asset.version)
    return asset


@router.post("/{serial}/return-to-service", dependencies=DESK)
async def return_asset_to_service(
    serial: Serial, body: NewReturn, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Asset:
    """Put a retired asset back into service; needs If-Match."""
    asset = Asset(**await service.return_to_service(call, serial, body, require_version(if_match)))
    tag(response, asset.version)
    return asset


@router.post("/{serial}/transfer", dependencies=DESK)
async def transfer_asset(
    serial: Serial, body: NewTransfer, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Transfer:
    """Give an asset to another customer; the cases that are still open are named. Needs If-Match."""
    transfer = Transfer.model_validate(await service.transfer(call, serial, body, require_version(if_match)))
    tag(response, transfer.asset.version)
    return transfer


@router.get("/{serial}/owners", dependencies=EVERYBODY)
async def list_asset_owners(serial: Serial, call: CurrentCall) -> list[Owner]:
    """Whose an asset is and was, the last one first; a customer sees their own time with it."""
    asset = await service.get_asset(call, serial)
    return [Owner(**row) for row in await service.list_owners(call, asset["asset_id"])]


@router.post("/{serial}/firmware", status_code=201, dependencies=WORKSHOP)
async def add_asset_firmware(serial: Serial, body: NewFirmware, call: CurrentCall) -> Firmware:
    """Note what runs on an asset from some time on; agents tell it by themselves."""
    return Firmware(**await service.add_firmware(call, serial, body))


@router.get("/{serial}/firmware", dependencies=EVERYBODY)
async def list_asset_firmware(serial: Serial, call: CurrentCall) -> list[Firmware]:
    """What runs and ran on an asset, the last first."""
    asset = await service.get_asset(call, serial)
    return [Firmware(**row) for row in await service.list_firmware(call, asset["asset_id"])]


@router.get("/{serial}/parts", dependencies=EVERYBODY)
async def list_installed_parts(serial: Serial, call: CurrentCall) -> list[InstalledPart]:
    """The components as they are in an asset now: since when, and how often each was replaced."""
    asset = await service.get_asset(call, serial)
    key = {"asset_id": asset["asset_id"], "now": call.now}
    rows = await (await call.connection.execute(service.SQL["installed_parts"], key)).fetchall()
    return [InstalledPart(**row) for row in rows]


@router.get("/{serial}/bill-of-materials", dependencies=EVERYBODY)
async def get_asset_bill_of_materials(serial: Serial, call: CurrentCall) -> BillOfMaterials:
    """What is built into an asset, by its production batch and day as far as they are known."""
    asset = await service.get_asset(call, serial)
    bom = await catalogue.get_bom(call, asset["model"], asset["batch"], asset["produced_on"])
    return BillOfMaterials.model_validate(bom)


@router.post("/{serial}/documents", status_code=201, dependencies=BRINGERS)
async def add_asset_document(serial: Serial, body: NewAssetDocument, call: CurrentCall) -> Document:
    """Add a paper to an asset, e.g. the proof of purchase; its file is POSTed to /v1/files before."""
    asset = await service.get_asset(call, serial)
    return Document(**await papers.add_document(call, body, asset=asset))


@router.get("/{serial}/documents", dependencies=EVERYBODY)
async def list_asset_documents(
    serial: Serial,
    page: CurrentPage,
    call: CurrentCall,
    language: Annotated[Language | None, Query(description="in this language, or in none")] = None,
) -> Page[Document]:
    """The papers of an asset and of its model."""
    asset = await service.get_asset(call, serial)
    model = await catalogue.get_model(call, asset["model"])
    of = {"model_id": model["model_id"], "asset_id": asset["asset_id"]}
    rows = await papers.list_documents(call, {**page.parameters, **of, "language": language})
    return Page[Document].model_validate(page.page(rows, "document_id"))


@router.delete("/{serial}/documents/{document_id}", status_code=204, dependencies=DESK)
async def take_away_asset_document(serial: Serial, document_id: Id, call: CurrentCall) -> None:
    """Take a paper off an asset; its file stays."""
    asset = await service.get_asset(call, serial)
    await papers.take_away(call, document_id, asset_id=asset["asset_id"])
