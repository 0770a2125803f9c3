"""`/v1/parts/import`: the catalogue by the thousand."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.assets.bulk.models import LineProblem, SheetColumn
from api.assets.bulk.routes import ImportRoute
from api.assets.bulk.sheets import MEDIA_TYPES, Format, written
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Answer
from api.conventions.problems import RESPONSES, Problem
from api.parts.columns import COLUMNS
from api.parts.importing import Mode, Outcome, import_sheet

KEEPERS = [allow("agent", "service")]
MOST_SHOWN = 1000

_SHEET: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_SHEETS = {media_type.partition(";")[0]: _SHEET for media_type in MEDIA_TYPES.values()}

import_router = APIRouter(prefix="/v1/parts", tags=["parts"], route_class=ImportRoute, responses=RESPONSES)
router = APIRouter(prefix="/v1/parts", tags=["parts"], route_class=CallRoute, responses=RESPONSES)


class PartImportReport(Answer):
    """What an import did, or would do."""

    dry_run: bool
    mode: Mode
    format: Format
    lines: int
    created: int
    updated: int
    unchanged: int
    priced: int = Field(description="prices added; one that holds already is not added again")
    superseded: int = Field(description="successors named")
    problem_count: int = Field(description="0, or nothing is imported")
    problems: list[LineProblem] = Field(description="the first 1000")


@import_router.post(
    "/import",
    dependencies=KEEPERS,
    openapi_extra={"requestBody": {"required": True, "content": {**_SHEETS, "application/octet-stream": _SHEET}}},
)
async def import_parts(
    request: Request,
    call: CurrentCall,
    file_format: Annotated[Format, Query(alias="format")] = "csv",
    mode: Annotated[Mode, Query(description="whether lines make new parts, change known ones, or both")] = "create",
    *,
    dry_run: Annotated[bool, Query(description="judge all and do nothing")] = False,
    encoding: Annotated[
        Literal["utf-8", "utf-16", "gb18030", "cp1252"] | None, Query(description="of CSV; left out, found out")
    ] = None,
) -> PartImportReport:
    """Import parts with their prices and successors from a sheet sent as the body: all lines, or none.

    `GET /v1/parts/import/columns` and `…/template` tell the columns.
    """
    outcome = await import_sheet(
        call, await request.body(), file_format=file_format, encoding=encoding, mode=mode, dry_run=dry_run
    )
    if outcome.problems and not dry_run:
        raise _refusal(outcome)
    lines = 0 if outcome.sheet is None else len(outcome.sheet.numbers)
    return PartImportReport(
        dry_run=dry_run,
        mode=mode,
        format=file_format,
        lines=lines,
        created=outcome.created,
        updated=outcome.updated,
        unchanged=0 if outcome.problems else lines - outcome.created - outcome.updated,
        priced=outcome.priced,
        superseded=outcome.superseded,
        problem_count=len(outcome.problems),
        problems=[LineProblem.model_validate(problem) for problem in outcome.problems[:MOST_SHOWN]],
    )


def _refusal(outcome: Outcome) -> Problem:
    shown = outcome.problems[:MOST_SHOWN]
    count = len(outcome.problems)
    detail = f"nothing was imported: {count} problems, the first in line {shown[0].line}: {shown[0].message}"
    errors = [
        {"field": ".".join(filter(None, ("line", str(problem.line), problem.column))), "message": problem.message}
        for problem in shown
    ]
    problems = [problem._asdict() for problem in shown]
    return Problem(422, "import-refused", detail, errors=errors, problems=problems, problem_count=count)


@router.get("/import/columns", dependencies=KEEPERS)
async def list_import_columns() -> list[SheetColumn]:
    """The columns of a sheet of parts; all but `sku` may be left out of the sheet."""
    return [SheetColumn.model_validate(column) for column in COLUMNS]


@router.get(
    "/import/template",
    dependencies=KEEPERS,
    response_class=Response,
    responses={200: {"description": "The sheet", "content": _SHEETS}},
)
async def get_import_template(file_format: Annotated[Format, Query(alias="format")] = "xlsx") -> Response:
    """An empty sheet with all columns."""
    content = written(file_format, [column.name for column in COLUMNS], (), "parts")
    headers = {"Content-Disposition": f'attachment; filename="parts-template.{file_format}"'}
    return Response(content, media_type=MEDIA_TYPES[file_format], headers=headers)
