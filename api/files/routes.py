"""`/v1/files`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.models import Id, Serial
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import MEDIA_TYPE, RESPONSES, ProblemDocument
from api.conventions.roles import FIELD, STAFF
from api.files import rules, service
from api.files.models import File, NewAttachment

EVERYBODY = [allow(*STAFF, *FIELD, "customer")]


class UploadRoute(CallRoute):
    """A call whose body is a whole file."""

    body_called = "a file"

    def largest_body_bytes(self, request: Request) -> int:
        """What `CARELOOP_FILE_LARGEST_BYTES` says."""
        largest: int = request.app.state.largest_file_bytes
        return largest


_REFUSED: dict[int | str, dict[str, Any]] = {
    415: {"model": ProblemDocument, "description": "Files of this type are not taken", "content": {MEDIA_TYPE: {}}},
}
_BYTES = {"schema": {"type": "string", "format": "binary"}}

upload_router = APIRouter(prefix="/v1/files", tags=["files"], route_class=UploadRoute, responses=RESPONSES)
router = APIRouter(prefix="/v1/files", tags=["files"], route_class=CallRoute, responses=RESPONSES)


@upload_router.post(
    "",
    status_code=201,
    dependencies=EVERYBODY,
    responses={200: {"model": File, "description": "You have sent it already; it still waits"}, **_REFUSED},
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": _BYTES}}},
)
async def upload_file(
    request: Request,
    call: CurrentCall,
    response: Response,
    name: Annotated[str, Query(min_length=1, max_length=255, description="what it is called, e.g. pump.jpg")],
) -> File:
    """Send a file as the body; whatever takes it names its `file_id`. It goes after a day if nothing does."""
    row, created = await service.upload(call, name, await request.body())
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/files/{row['file_id']}"
    return File(**row)


@router.get("", dependencies=EVERYBODY)
async def list_files(
    page: CurrentPage,
    call: CurrentCall,
    ticket_id: Annotated[Id | None, Query(description="of this case")] = None,
    serial: Annotated[Serial | None, Query(description="of this asset")] = None,
) -> Page[File]:
    """Files of a case or of a machine, oldest first; name one of the two."""
    if (ticket_id is None) == (serial is None):
        message = "name either a ticket_id or a serial"
        raise RequestValidationError([{"loc": ("query", "ticket_id"), "msg": message, "type": "value_error"}])
    query = service.SQL["list_files_of_asset" if ticket_id is None else "list_files_of_ticket"]
    parameters = {**page.parameters, "ticket_id": ticket_id, "serial": serial}
    rows = await (await call.connection.execute(query, parameters)).fetchall()
    return Page[File].model_validate(page.page(rows, "file_id"))


@router.get("/{file_id}", dependencies=EVERYBODY)
async def get_file(file_id: Id, call: CurrentCall) -> File:
    """What a file is."""
    return File(**await service.get_file(call, file_id))


@router.get(
    "/{file_id}/content",
    dependencies=EVERYBODY,
    response_class=Response,
    responses={200: {"description": "Its bytes", "content": dict.fromkeys(rules.ENDINGS, _BYTES)}},
)
async def get_file_content(file_id: Id, call: CurrentCall) -> Response:
    """A file's bytes, to be saved; never to be shown in place."""
    row = await service.get_content(call, file_id)
    headers = {
        "Content-Disposition": rules.disposition(row["name"]),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, no-cache",
        "ETag": f'"{row["sha256"]}"',
    }
    return Response(bytes(row["content"]), media_type=row["media_type"], headers=headers)


@router.post("/{file_id}/attach", dependencies=EVERYBODY)
async def attach_file(file_id: Id, body: NewAttachment, call: CurrentCall) -> File:
    """Let a file belong to a case, a machine or both; it belongs to one of each at most."""
    row = await service.attach_by_hand(
        call, file_id, ticket_id=body.ticket_id, serial=body.serial, audience=body.audience
    )
    return File(**row)


@router.delete("/{file_id}", status_code=204, dependencies=EVERYBODY)
async def withdraw_file(file_id: Id, call: CurrentCall) -> None:
    """Take back a file that nothing has taken."""
    await service.withdraw(call, file_id)
