"""Asking customers, and what becomes of their answers."""

from collections.abc import Mapping
from typing import Any, Literal

from psycopg.rows import DictRow

from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.customers.consents import channels_to
from api.satisfaction import rules
from api.satisfaction.models import NewAnswer
from api.tickets.merging import link
from api.tickets.models import NewLink, NewTicket
from api.tickets.service import append_event, open_ticket
from careloop.database.queries import load_queries

SQL = load_queries("api.satisfaction")

Via = Literal["link", "login", "desk"]
LONGEST_DESCRIPTION = 2000


# Asking -----------------------------------------------------------------------------------------


async def run_due(call: Call) -> int:
    """Ask about the cases that ended lately, each once ever; tells how many were dealt with."""
    values = {
        "since": call.now - rules.ASKED_WITHIN,
        "now": call.now,
        "unasked_kinds": list(rules.UNASKED_KINDS),
        "unasked_outcomes": list(rules.UNASKED_OUTCOMES),
    }
    tickets = await (await call.connection.execute(SQL["tickets_to_ask"], values)).fetchall()
    for ticket in tickets:
        await _ask(call, ticket)
    return len(tickets)


async def _ask(call: Call, ticket: DictRow) -> None:
    """Ask the customer of a case, or note why nobody is asked."""
    channels = await channels_to(call, ticket["customer_id"], "service")
    token, token_hash = rules.new_token()
    values = {
        **ticket,
        "now": call.now,
        "expires_at": call.now + rules.LINK_FOR,
        "state": rules.MACHINE.moves["due"]["ask" if channels else "pass_over"],
        "because": None if channels else "the customer allows no channel, or there is none that leads to them",
        "token_hash": token_hash if channels else None,
    }
    row = await _row(call, "insert_question", values)
    if row is None or not channels:
        return
    contact = await _row(call, "whom_to_ask", ticket)
    path = rules.PATH + token
    question = rules.question(
        ticket_id=ticket["ticket_id"],
        title=ticket["title"],
        machine=ticket["machine"],
        link=path,
        until=values["expires_at"],
    )
    await announce(
        call,
        topic="satisfaction.asked",
        cause=f"satisfaction:{row['satisfaction_id']}",
        asset_id=ticket["asset_id"],
        subject=question.subject,
        body=question.body,
        payload={
            "satisfaction_id": row["satisfaction_id"],
            "ticket_id": ticket["ticket_id"],
            "customer_id": ticket["customer_id"],
            "path": path,
            "expires_at": values["expires_at"],
            "channels": channels,
            "to": contact,
        },
    )
    await append_event(call, ticket["ticket_id"], "satisfaction_asked", {"satisfaction_id": row["satisfaction_id"]})


# Answering --------------------------------------------------------------------------------------


async def question_of(call: Call, token: str) -> dict[str, Any]:
    """What a link asks.

    Raises:
        Problem: 404 for a token that nobody was sent, or somebody who was forgotten.
    """
    row = await _row(call, "linked_question", {"token_hash": rules.token_hash(token)})
    if row is None:
        raise Problem(404, "not-found", "there is no such question; take the link as it was sent")
    return {**row, "changeable_until": rules.changeable_until(row["answered_at"])}


async def answer(call: Call, satisfaction_id: int, body: NewAnswer, via: Via, bad_score: int) -> DictRow:
    """Give an answer, or another one while it may be changed; a bad one opens a case, once.

    Args:
        call: Of whoever answers.
        satisfaction_id: Which question.
        body: The answer.
        via: By the link, logged in, or told to the desk.
        bad_score: Answers up to it are bad.

    Raises:
        Problem: 404; 409 when nobody was asked or it is too late.
    """
    seen = await _row(call, "lock_question", {"satisfaction_id": satisfaction_id})
    if seen is None:
        raise Problem.not_found("satisfaction", satisfaction_id)
    action = "change" if seen["state"] == "answered" else "answer"
    to = rules.MACHINE.require(satisfaction_id, seen["state"], action)
    late = rules.misfit_of_answer(call.now, seen["answered_at"], seen["expires_at"])
    if late is not None:
        raise Problem.conflict(*late)
    values = {**body.model_dump(), "satisfaction_id": satisfaction_id, "to": to, "via": via, "now": call.now}
    await call.connection.execute(SQL["answer_question"], values)
    line = {"satisfaction_id": satisfaction_id, "score": body.score}
    await append_event(call, seen["ticket_id"], "satisfaction_answered", line)
    if body.score <= bad_score and seen["follow_up_ticket_id"] is None:
        async with call.unscoped():
            await _follow_up(call, seen, body)
    return await get_satisfaction(call, satisfaction_id)


async def _follow_up(call: Call, seen: Mapping[str, Any], body: NewAnswer) -> None:
    ticket_id = seen["ticket_id"]
    complaint = NewTicket(
        kind="complaint",
        customer_id=seen["customer_id"],
        serial=seen["serial"],
        title=rules.follow_up_title(ticket_id, body.score),
        description=body.comment[:LONGEST_DESCRIPTION],
        priority="high",
    )
    follow_up, _ = await open_ticket(call, complaint)
    follow_up_id = follow_up["ticket_id"]
    await link(call, follow_up_id, NewLink(to_ticket_id=ticket_id, kind="follow_up"))
    values = {"satisfaction_id": seen["satisfaction_id"], "follow_up_id": follow_up_id}
    await call.connection.execute(SQL["note_follow_up"], values)
    news = rules.bad_news(ticket_id=ticket_id, score=body.score, comment=body.comment, follow_up_id=follow_up_id)
    await announce(
        call,
        topic="satisfaction.bad",
        cause=f"satisfaction:{seen['satisfaction_id']}:bad",
        asset_id=seen["asset_id"],
        subject=news.subject,
        body=news.body,
        payload={
            "satisfaction_id": seen["satisfaction_id"],
            "ticket_id": ticket_id,
            "customer_id": seen["customer_id"],
            "score": body.score,
            "follow_up_ticket_id": follow_up_id,
            "owner_user_id": seen["owner_user_id"],
        },
    )


# Looking ----------------------------------------------------------------------------------------


async def get_satisfaction(call: Call, satisfaction_id: int) -> DictRow:
    """One question with its answer.

    Raises:
        Problem: 404.
    """
    row = await _row(call, "get_satisfaction", {"satisfaction_id": satisfaction_id})
    if row is None:
        raise Problem.not_found("satisfaction", satisfaction_id)
    return row


async def list_satisfaction(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Questions that fit, in ascending order of their number.

    Args:
        call: Whose connection is used.
        wanted: `ticket_id`, `customer_id`, `technician_id`, `provider_id`, `state`, `since`, `highest_score`
            (None: any), `after_id`, `fetch`.
    """
    # Planned anew each time, so that the filters given decide the index.
    return await (await call.connection.execute(SQL["list_satisfaction"], wanted, prepare=False)).fetchall()


async def summary(call: Call, by: Literal["technician", "provider"], wanted: Mapping[str, Any]) -> list[DictRow]:
    """How satisfied customers were, by who came or for whom.

    Args:
        call: Whose connection is used.
        by: Grouped by whom.
        wanted: `since`, `until`, `after_id`, `fetch`.
    """
    query = SQL["summary_by_technician"] if by == "technician" else SQL["summary_by_provider"]
    return await (await call.connection.execute(query, wanted, prepare=False)).fetchall()


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow | None:
    return await (await call.connection.execute(SQL[query], values)).fetchone()
