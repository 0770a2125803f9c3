"""`/v1/tickets/{ticket_id}/messages`, `/notes`, `/conversation`; `/v1/conversations`, `/v1/reply-templates`."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.exceptions import RequestValidationError

from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id
from api.conventions.pages import CurrentNamePage, CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import FIELD, STAFF
from api.conversation import service
from api.conversation.models import (
    AwaitingCase,
    Conversation,
    Correction,
    FilledTemplate,
    Language,
    Message,
    NewMessage,
    NewNote,
    NewTemplate,
    ReadMark,
    ReplyTemplate,
    TemplateChange,
    TemplateCode,
)
from api.sla.models import mark_of, read_mark

router = APIRouter(prefix="/v1", tags=["conversation"], route_class=CallRoute, responses=RESPONSES)

EVERYBODY = [allow(*STAFF, *FIELD, "customer")]
WORKERS = [allow(*STAFF, *FIELD)]
LEAD = [allow("desk_lead")]


@router.post(
    "/tickets/{ticket_id}/messages",
    status_code=201,
    dependencies=EVERYBODY,
    responses={200: {"model": Message, "description": "It was taken in already, by its external_id"}},
)
async def say(ticket_id: Id, body: NewMessage, call: CurrentCall, response: Response) -> Message:
    """Say something to the customer, or write down what the customer said; a customer's own comes in."""
    row, created = await service.say(call, ticket_id, body)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/tickets/{ticket_id}/messages/{row['message_id']}"
    tag(response, row["version"])
    return Message(**row)


@router.get("/tickets/{ticket_id}/messages", dependencies=EVERYBODY)
async def list_messages(ticket_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Message]:
    """What was said with the customer, oldest first."""
    return await _page(ticket_id, page, call, notes=False)


async def _page(ticket_id: int, page: CurrentPage, call: CurrentCall, *, notes: bool) -> Page[Message]:
    await service.require_case(call, ticket_id)
    parameters = {**page.parameters, "ticket_id": ticket_id, "notes": notes}
    rows = await (await call.connection.execute(service.SQL["list_messages"], parameters)).fetchall()
    return Page[Message].model_validate(page.page(rows, "message_id"))


@router.post("/tickets/{ticket_id}/messages/read", dependencies=EVERYBODY)
async def mark_read(ticket_id: Id, body: ReadMark, call: CurrentCall) -> Conversation:
    """Keep how far one has read, messages and notes alike."""
    return Conversation(**await service.mark_read(call, ticket_id, body.message_id))


@router.get("/tickets/{ticket_id}/messages/{message_id}", dependencies=EVERYBODY)
async def get_message(ticket_id: Id, message_id: Id, call: CurrentCall, response: Response) -> Message:
    """One message."""
    message = Message(**await service.get_message(call, ticket_id, message_id))
    tag(response, message.version)
    return message


@router.patch("/tickets/{ticket_id}/messages/{message_id}", dependencies=EVERYBODY)
async def correct_message(
    *, ticket_id: Id, message_id: Id, body: Correction, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Message:
    """Correct what one wrote in the last 15 minutes; needs If-Match."""
    row = await service.correct(call, ticket_id, message_id, body.body, require_version(if_match))
    tag(response, row["version"])
    return Message(**row)


@router.post("/tickets/{ticket_id}/notes", status_code=201, dependencies=WORKERS)
async def write_note(ticket_id: Id, body: NewNote, call: CurrentCall, response: Response) -> Message:
    """Note something that the customer never sees."""
    row = await service.note(call, ticket_id, body)
    tag(response, row["version"])
    return Message(**row)


@router.get("/tickets/{ticket_id}/notes", dependencies=WORKERS)
async def list_notes(ticket_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Message]:
    """Notes, oldest first; a partner sees its own and those marked for it."""
    return await _page(ticket_id, page, call, notes=True)


@router.patch("/tickets/{ticket_id}/notes/{message_id}", dependencies=WORKERS)
async def correct_note(
    *, ticket_id: Id, message_id: Id, body: Correction, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> Message:
    """Correct what one noted in the last 15 minutes; needs If-Match."""
    row = await service.correct(call, ticket_id, message_id, body.body, require_version(if_match), notes=True)
    tag(response, row["version"])
    return Message(**row)


@router.get("/tickets/{ticket_id}/conversation", dependencies=EVERYBODY)
async def get_conversation(ticket_id: Id, call: CurrentCall) -> Conversation:
    """Where the conversation of a case stands: what one has not read, and whether the customer waits."""
    return Conversation(**await service.conversation(call, ticket_id))


@router.get("/conversations", dependencies=WORKERS)
async def list_awaiting(page: CurrentNamePage, call: CurrentCall) -> Page[AwaitingCase]:
    """Cases whose customer waits for an answer, the longest wait first."""
    after = read_mark(page.after_name or "-9999999999999999_0")
    if after is None:
        message = "is not a cursor of this list; start without it"
        raise RequestValidationError([{"loc": ("query", "after"), "msg": message, "type": "value_error"}])
    parameters = {"after_since": after[0], "after_id": after[1], "fetch": page.parameters["fetch"]}
    rows = await (await call.connection.execute(service.SQL["list_awaiting"], parameters)).fetchall()
    marked = [{**row, "mark": mark_of(row["awaiting_since"], row["ticket_id"])} for row in rows]
    return Page[AwaitingCase].model_validate(page.page(marked, "mark"))


@router.get("/tickets/{ticket_id}/reply", dependencies=WORKERS)
async def preview_reply(
    ticket_id: Id,
    call: CurrentCall,
    template: Annotated[TemplateCode, Query()],
    language: Annotated[Language | None, Query(description="else the customer's, else English")] = None,
) -> FilledTemplate:
    """A canned reply as it would be sent in this case."""
    return FilledTemplate(**await service.fill_template(call, ticket_id, template, language))


@router.post("/reply-templates", status_code=201, dependencies=LEAD)
async def create_reply_template(body: NewTemplate, call: CurrentCall, response: Response) -> ReplyTemplate:
    """Add a canned reply in one language."""
    template = ReplyTemplate(**await service.create_template(call, body))
    tag(response, template.version)
    return template


@router.get("/reply-templates", dependencies=WORKERS)
async def list_reply_templates(page: CurrentPage, call: CurrentCall) -> Page[ReplyTemplate]:
    """All canned replies."""
    rows = await (await call.connection.execute(service.SQL["list_templates"], page.parameters)).fetchall()
    return Page[ReplyTemplate].model_validate(page.page(rows, "template_id"))


@router.get("/reply-templates/{template_id}", dependencies=WORKERS)
async def get_reply_template(template_id: Id, call: CurrentCall, response: Response) -> ReplyTemplate:
    """One canned reply."""
    template = ReplyTemplate(**await service.get_template(call, template_id))
    tag(response, template.version)
    return template


@router.patch("/reply-templates/{template_id}", dependencies=LEAD)
async def change_reply_template(
    template_id: Id, body: TemplateChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> ReplyTemplate:
    """Change a canned reply; needs If-Match."""
    template = ReplyTemplate(**await service.change_template(call, template_id, body, require_version(if_match)))
    tag(response, template.version)
    return template
