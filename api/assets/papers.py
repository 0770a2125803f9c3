"""What is done with the papers of product models and assets."""

from collections.abc import Mapping
from typing import Any

from psycopg.rows import DictRow

from api.assets.models import NewAssetDocument, NewModelDocument
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.files.service import attach, require_file
from careloop.database.queries import load_queries

SQL = load_queries("api.assets")


async def add_document(
    call: Call,
    body: NewModelDocument | NewAssetDocument,
    *,
    model_id: int | None = None,
    asset: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Add a paper to a model or an asset.

    Raises:
        Problem: 422 for a file that is not there, or belongs elsewhere.
    """
    await require_file(call, body.file_id, "body.file_id")
    asset_id = None if asset is None else asset["asset_id"]
    await attach(call, body.file_id, asset_id=asset_id)
    values = {
        **body.model_dump(),
        "model_id": model_id,
        "asset_id": asset_id,
        # How somebody bought it is not the next owner's business.
        "customer_id": asset["customer_id"] if asset and body.kind == "proof_of_purchase" else None,
        "actor": call.principal.name,
        "now": call.now,
    }
    row = await (await call.connection.execute(SQL["insert_document"], values)).fetchone()
    if row is None:
        raise LookupError("insert_document returned no row")
    return {**row, "of": "model" if asset_id is None else "asset"}


async def list_documents(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Papers of a model, an asset, or both, in ascending order of their number."""
    return await (await call.connection.execute(SQL["list_documents"], wanted, prepare=False)).fetchall()


async def take_away(call: Call, document_id: int, *, model_id: int | None = None, asset_id: int | None = None) -> None:
    """Take a paper off a model or an asset; its file stays.

    Raises:
        Problem: 404.
    """
    key = {"document_id": document_id, "model_id": model_id, "asset_id": asset_id}
    if await (await call.connection.execute(SQL["delete_document"], key)).fetchone() is None:
        raise Problem.not_found("document", document_id)
