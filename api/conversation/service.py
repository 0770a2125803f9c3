"""What is done with messages, notes and canned replies."""

from collections.abc import Mapping
from typing import Any, Literal

from psycopg.rows import DictRow

from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.conversation import rules
from api.conversation.models import NewMessage, NewNote, NewTemplate, TemplateChange
from api.conversation.rules import Direction
from api.files.rules import narrower
from api.files.service import attach, require_file
from api.sla import service as sla
from api.tickets.service import append_event, move_ticket
from careloop.database.queries import load_queries

SQL = load_queries("api.conversation")

Audience = Literal["all", "partner", "staff"]


async def say(call: Call, ticket_id: int, body: NewMessage) -> tuple[DictRow, bool]:
    """Say something to the customer, or write down what the customer said.

    The staff's answer stops the clock of the first response; what a customer writes lets a case go on that waits.

    Returns:
        The message, and whether it is new: what came in under an `external_id` already is the same message.

    Raises:
        Problem: 404; 409 when nothing can be said in the case any more; 422 for a direction that is not the caller's,
            an unknown file or template, or an `external_id` of another case.
    """
    kind = rules.author_kind(call.principal.role)
    direction: Direction = body.direction or ("in" if kind == "customer" else "out")
    misfit = rules.misfit_of_direction(call.principal.role, direction)
    if misfit is not None:
        raise Problem.bad_field("body.direction", misfit)
    if kind == "customer" and body.external_id is not None:
        raise Problem.bad_field("body.external_id", "is for what came in elsewhere; leave it out")
    case = await _lock(call, ticket_id)
    known = await _taken_in_before(call, case, body)
    if known is not None:
        return await get_message(call, ticket_id, known), False
    misfit = rules.misfit_of_case(case["state"], direction, case["merged_into"])
    if misfit is not None:
        raise Problem.conflict("conversation-over", misfit, state=case["state"], merged_into=case["merged_into"])
    text, language = body.body, body.language
    if body.template is not None:
        reply = await fill_template(call, ticket_id, body.template, body.language)
        text, language = reply["body"], reply["language"]
    values = {
        **body.model_dump(include={"channel", "template", "external_id"}),
        "direction": direction,
        "audience": "all",
        "language": language,
        "body": text,
    }
    message_id = await _write(call, case, values, body.file_ids)
    await append_event(call, ticket_id, "message", {"message_id": message_id, "direction": direction})
    message = await get_message(call, ticket_id, message_id)
    if direction == "in":
        await call.connection.execute(SQL["customer_wrote"], {"ticket_id": ticket_id, "now": call.now})
        if case["state"] == "waiting_customer":
            await move_ticket(call, ticket_id, "open", detail={"reason": "the customer wrote"})
    elif rules.answers_customer(direction, kind, body.channel):
        await call.connection.execute(SQL["customer_was_answered"], {"ticket_id": ticket_id, "now": call.now})
        await sla.responded(call, ticket_id)
    await _announce(call, case, message)
    return message, True


async def note(call: Call, ticket_id: int, body: NewNote) -> DictRow:
    """Note something for those who work on the case.

    Raises:
        Problem: 404; 422 for an unknown file.
    """
    case = await _lock(call, ticket_id)
    audience: Audience = "partner" if body.for_partner or call.principal.provider_id is not None else "staff"
    values = {
        "direction": "note",
        "audience": audience,
        "channel": "internal",
        "language": None,
        "template": None,
        "external_id": None,
        "body": body.body,
    }
    message_id = await _write(call, case, values, body.file_ids)
    return await get_message(call, ticket_id, message_id, notes=True)


async def _lock(call: Call, ticket_id: int) -> DictRow:
    row = await (await call.connection.execute(SQL["lock_case"], {"ticket_id": ticket_id})).fetchone()
    if row is None:
        raise Problem.not_found("ticket", ticket_id)
    return row


async def _taken_in_before(call: Call, case: DictRow, body: NewMessage) -> int | None:
    if body.external_id is None:
        return None
    async with call.unscoped():
        row = await (await call.connection.execute(SQL["message_of_external_id"], body.model_dump())).fetchone()
    if row is None:
        return None
    if row["ticket_id"] != case["ticket_id"]:
        raise Problem.bad_field("body.external_id", f"{body.external_id} is a message of another case")
    return int(row["message_id"])


async def _write(call: Call, case: DictRow, values: Mapping[str, Any], file_ids: list[int]) -> int:
    """Write a message or note with its files."""
    principal = call.principal
    author = {
        "ticket_id": case["ticket_id"],
        "author_kind": rules.author_kind(principal.role),
        "author_key": principal.key,
        "author_name": principal.name,
        "now": call.now,
    }
    row = await (await call.connection.execute(SQL["insert_message"], {**values, **author})).fetchone()
    if row is None:
        raise Problem.conflict("taken-in", f"{values['external_id']} has just been taken in by another call")
    for index, file_id in enumerate(file_ids):
        field = f"body.file_ids.{index}"
        file = await require_file(call, file_id, field)
        if file["attached"] and narrower(file["audience"], values["audience"]) != values["audience"]:
            raise Problem.bad_field(field, f"file {file_id} is not for everybody who would read this")
        await attach(call, file_id, ticket_id=case["ticket_id"], audience=values["audience"], field=field)
        key = {"message_id": row["message_id"], "file_id": file_id}
        await call.connection.execute(SQL["insert_message_file"], key)
    return int(row["message_id"])


async def _announce(call: Call, case: DictRow, message: DictRow) -> None:
    """Let what was said go out: to the customer, or to the desk."""
    to_customer = message["direction"] == "out"
    mail = (rules.outgoing if to_customer else rules.incoming)(
        case["ticket_id"], case["title"], message["author_name"], message["body"]
    )
    told = (
        "message_id",
        "ticket_id",
        "direction",
        "channel",
        "author_kind",
        "author_name",
        "language",
        "body",
        "files",
    )
    await announce(
        call,
        topic="ticket.message" if to_customer else "ticket.customer_message",
        cause=f"message:{message['message_id']}",
        asset_id=case["asset_id"],
        subject=mail.subject,
        body=mail.body,
        payload={**{name: message[name] for name in told}, "customer_id": case["customer_id"]},
    )


# Reading ----------------------------------------------------------------------------------------


async def require_case(call: Call, ticket_id: int) -> None:
    """Refuse a case that the caller does not see.

    Raises:
        Problem: 404.
    """
    if await (await call.connection.execute(SQL["case_exists"], {"ticket_id": ticket_id})).fetchone() is None:
        raise Problem.not_found("ticket", ticket_id)


async def get_message(call: Call, ticket_id: int, message_id: int, *, notes: bool = False) -> DictRow:
    """One message, or one note.

    Raises:
        Problem: 404.
    """
    key = {"ticket_id": ticket_id, "message_id": message_id, "notes": notes}
    row = await (await call.connection.execute(SQL["get_message"], key)).fetchone()
    if row is None:
        raise Problem.not_found("note" if notes else "message", message_id)
    return row


async def correct(
    call: Call, ticket_id: int, message_id: int, body: str, version: int, *, notes: bool = False
) -> DictRow:
    """Correct what one has just written; the audit keeps what it said before.

    Raises:
        Problem: 403 when it is somebody else's; 404; 409 when it is too late; 412 when it changed meanwhile.
    """
    seen = await get_message(call, ticket_id, message_id, notes=notes)
    misfit = rules.may_edit(seen["author_key"], call.principal.key, seen["at"], call.now)
    if misfit is not None:
        if seen["author_key"] != call.principal.key:
            raise Problem(403, "not-yours", misfit)
        raise Problem.conflict("too-late", misfit)
    values = {"message_id": message_id, "body": body, "version": version, "now": call.now}
    if await (await call.connection.execute(SQL["correct_message"], values)).fetchone() is None:
        raise changed_meanwhile("message", version)
    return await get_message(call, ticket_id, message_id, notes=notes)


async def conversation(call: Call, ticket_id: int) -> DictRow:
    """Where the conversation of a case stands for the caller.

    Raises:
        Problem: 404.
    """
    key = {"ticket_id": ticket_id, "reader": call.principal.key}
    row = await (await call.connection.execute(SQL["get_conversation"], key)).fetchone()
    if row is None:
        raise Problem.not_found("ticket", ticket_id)
    return row


async def mark_read(call: Call, ticket_id: int, message_id: int) -> DictRow:
    """Keep how far the caller has read in a case; never backwards.

    Raises:
        Problem: 404; 422 when there is no such message in the case.
    """
    await require_case(call, ticket_id)
    values = {"ticket_id": ticket_id, "message_id": message_id, "reader": call.principal.key, "now": call.now}
    if await (await call.connection.execute(SQL["message_of_case"], values)).fetchone() is None:
        raise Problem.bad_field("body.message_id", f"there is no message {message_id} in ticket {ticket_id}")
    await call.connection.execute(SQL["mark_read"], values)
    return await conversation(call, ticket_id)


# Canned replies ---------------------------------------------------------------------------------


async def fill_template(call: Call, ticket_id: int, code: str, language: str | None) -> DictRow:
    """A canned reply for a case: in the language wanted, else the customer's, else English.

    Returns:
        `code`, `language` and `body`.

    Raises:
        Problem: 404 for an unknown case; 422 when there is no such reply in any of these languages.
    """
    facts = await (await call.connection.execute(SQL["facts_for_reply"], {"ticket_id": ticket_id})).fetchone()
    if facts is None:
        raise Problem.not_found("ticket", ticket_id)
    languages = rules.languages_to_try(language, facts["language"])
    wanted = {"code": code, "languages": languages}
    rows = await (await call.connection.execute(SQL["templates_of_code"], wanted)).fetchall()
    if not rows:
        message = f"there is no template {code} in {', '.join(languages)}"
        raise Problem.bad_field("body.template", message)
    best = min(rows, key=lambda row: languages.index(row["language"]))
    return {**best, "body": rules.filled(best["body"], {**facts, "agent": call.principal.name})}


async def create_template(call: Call, body: NewTemplate) -> DictRow:
    """Add a canned reply.

    Raises:
        Problem: 409 when there is one of that code in that language; 422 for a placeholder that is not known.
    """
    _require_fillable(body.body)
    row = await (await call.connection.execute(SQL["insert_template"], body.model_dump())).fetchone()
    if row is None:
        raise Problem.conflict("code-taken", f"there is a template {body.code} in {body.language} already")
    return row


def _require_fillable(body: str) -> None:
    fault = rules.fault_of_template(body)
    if fault is not None:
        raise Problem.bad_field("body.body", fault)


async def get_template(call: Call, template_id: int) -> DictRow:
    """One canned reply.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_template"], {"template_id": template_id})).fetchone()
    if row is None:
        raise Problem.not_found("template", template_id)
    return row


async def change_template(call: Call, template_id: int, change: TemplateChange, version: int) -> DictRow:
    """Change a canned reply that is still at the version seen.

    Raises:
        Problem: 404, 412 when it changed meanwhile, 422 for a placeholder that is not known.
    """
    seen = await get_template(call, template_id)
    values = {**seen, **change.model_dump(include=change.model_fields_set), "version": version}
    _require_fillable(values["body"])
    if await (await call.connection.execute(SQL["change_template"], values)).fetchone() is None:
        raise changed_meanwhile("template", version)
    return await get_template(call, template_id)
