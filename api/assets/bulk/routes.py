"""`/v1/assets/import`, `/v1/assets/export`."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.assets.bulk import exporting
from api.assets.bulk.columns import COLUMNS
from api.assets.bulk.importing import Outcome, import_sheet
from api.assets.bulk.judging import Mode
from api.assets.bulk.models import ImportReport, LineProblem, SheetColumn
from api.assets.bulk.sheets import MEDIA_TYPES, Format
from api.assets.routes import CurrentFilter
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.problems import RESPONSES, Problem

DESK = [allow("agent", "service")]
MOST_BYTES = 48 * 2**20
MOST_SHOWN = 1000
ENCODINGS = Literal["utf-8", "utf-16", "gb18030", "cp1252"]


class ImportRoute(CallRoute):
    """A call whose body is a sheet."""

    body_called = "a sheet"

    def largest_body_bytes(self, request: Request) -> int:  # noqa: ARG002 - others ask the application
        """The limit of a sheet."""
        return MOST_BYTES


_SHEET: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_SHEETS = {media_type.partition(";")[0]: _SHEET for media_type in MEDIA_TYPES.values()}

import_router = APIRouter(prefix="/v1/assets", tags=["assets"], route_class=ImportRoute, responses=RESPONSES)
router = APIRouter(prefix="/v1/assets", tags=["assets"], route_class=CallRoute, responses=RESPONSES)


@import_router.post(
    "/import",
    dependencies=DESK,
    response_model=ImportReport,
    responses={200: {"description": "What was done, or would be", "content": _SHEETS}},
    openapi_extra={
        "requestBody": {"required": True, "content": {**_SHEETS, "application/octet-stream": _SHEET}},
    },
)
async def import_assets(
    request: Request,
    call: CurrentCall,
    file_format: Annotated[Format, Query(alias="format")] = "csv",
    mode: Annotated[Mode, Query(description="whether lines make new machines, change known ones, or both")] = "create",
    *,
    dry_run: Annotated[bool, Query(description="judge all and do nothing")] = False,
    encoding: Annotated[ENCODINGS | None, Query(description="of CSV; left out, found out")] = None,
    report: Annotated[
        Literal["json", "csv", "xlsx"], Query(description="of a dry run: its problems as a sheet")
    ] = "json",
) -> Any:
    """Import machines with their owners and sites from a sheet sent as the body: all lines, or none.

    CSV in UTF-8, UTF-16 or GB 18030, delimited by comma, semicolon or tab; or the first sheet of an XLSX workbook.
    `GET /v1/assets/import/columns` and `…/template` tell the columns.
    """
    outcome = await import_sheet(
        call, await request.body(), file_format=file_format, encoding=encoding, mode=mode, dry_run=dry_run
    )
    if report != "json" and dry_run:
        return _attachment(exporting.report(report, outcome.problems), report, "problems")
    if outcome.problems and not dry_run:
        raise _refusal(outcome)
    sheet = outcome.sheet
    lines = 0 if sheet is None else len(sheet.numbers)
    return ImportReport(
        dry_run=dry_run,
        mode=mode,
        format=file_format,
        encoding="" if sheet is None else sheet.encoding,
        delimiter="" if sheet is None else sheet.delimiter,
        lines=lines,
        created=outcome.created,
        updated=outcome.updated,
        unchanged=0 if outcome.problems else lines - outcome.created - outcome.updated,
        customers_created=outcome.customers_created,
        sites_created=outcome.sites_created,
        problem_count=len(outcome.problems),
        problems=[LineProblem.model_validate(problem) for problem in outcome.problems[:MOST_SHOWN]],
    )


def _refusal(outcome: Outcome) -> Problem:
    shown = outcome.problems[:MOST_SHOWN]
    detail = (
        f"nothing was imported: {len(outcome.problems)} problems, the first in line {shown[0].line}; "
        "ask with dry_run=true&report=xlsx for all of them as a sheet"
    )
    errors = [
        {"field": ".".join(filter(None, ("line", str(problem.line), problem.column))), "message": problem.message}
        for problem in shown
    ]
    lines = [problem._asdict() for problem in shown]
    return Problem(422, "import-refused", detail, errors=errors, problems=lines, problem_count=len(outcome.problems))


@router.get("/import/columns", dependencies=DESK)
async def list_import_columns() -> list[SheetColumn]:
    """The columns of a sheet of assets; all but `serial` may be left out of the sheet."""
    return [SheetColumn.model_validate(column) for column in COLUMNS]


_DOWNLOAD: dict[int | str, dict[str, Any]] = {200: {"description": "The sheet", "content": _SHEETS}}


@router.get("/import/template", dependencies=DESK, response_class=Response, responses=_DOWNLOAD)
async def get_import_template(file_format: Annotated[Format, Query(alias="format")] = "xlsx") -> Response:
    """An empty sheet with all columns; the workbook explains them."""
    return _attachment(exporting.template(file_format), file_format, "assets-template")


@router.get("/export", dependencies=DESK, response_class=StreamingResponse, responses=_DOWNLOAD)
async def export_assets(
    call: CurrentCall, wanted: CurrentFilter, file_format: Annotated[Format, Query(alias="format")] = "csv"
) -> StreamingResponse:
    """All assets that fit, as a sheet that can be imported again."""
    spool = await exporting.export_assets(call, file_format, wanted.parameters)
    headers = {"Content-Disposition": f'attachment; filename="assets.{file_format}"'}
    return StreamingResponse(exporting.pieces(spool), media_type=MEDIA_TYPES[file_format], headers=headers)


def _attachment(content: bytes, file_format: Format, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}.{file_format}"'}
    return Response(content, media_type=MEDIA_TYPES[file_format], headers=headers)
