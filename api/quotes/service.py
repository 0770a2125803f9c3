"""What is done with quotes.

Locks are always taken in the order ticket, quote, account; so no two calls wait for one another.
"""

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.alerts.service import announce
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.quotes import rules
from api.quotes.models import NewLine, NewQuote, Quote
from api.quotes.price_lists import list_for, price_by
from api.quotes.pricing import NOTHING_COVERED, Cover, Line, Priced
from api.quotes.rules import QUOTE, Channel
from api.tickets import rules as ticket_rules
from api.tickets.service import append_event, move_ticket
from api.warranty.service import question
from careloop.database.queries import load_queries

SQL = load_queries("api.quotes")

LINK = "/v1/quotes/by-token/"
TOKEN_BYTES = 32
BATCH = 500

# Who goes on when a customer has decided, or time has: called with the quote, in the same transaction. Rooms above
# enter themselves in api/application.py, because nothing here may know them.
Follower = Callable[[Call, DictRow], Awaitable[None]]
FOLLOWERS: list[Follower] = []

ON_BEHALF_NEEDS = "is needed when somebody else than the customer says it: how did the customer's answer reach us?"


async def price(
    call: Call,
    lines: Sequence[NewLine],
    on: date,
    *,
    ticket_id: int,
    component: str | None = None,
    cause: str | None = None,
) -> Priced:
    """What lines would cost the customer of a case on a day, by its price list and its warranty.

    Raises:
        Problem: 404 for an unknown ticket; 409 when no price list fits; 422 naming a line that has no price.
    """
    ticket = await ticket_to_quote(call, ticket_id)
    listed = await list_for(call, ticket, on, None, None)
    cover, _ = await cover_of(call, ticket, on, component, cause)
    return await price_by(call, _lines(lines), listed, cover, on=on, customer_kind=ticket["customer_kind"])


async def create_quote(call: Call, ticket_id: int, body: NewQuote, *, all_borne: Cover | None = None) -> DictRow:
    """Make a quote as a draft; it takes the place of an older draft.

    Args:
        call: Whose transaction holds it.
        ticket_id: The case.
        body: Its lines.
        all_borne: Who bears what, where the warranty is not to be asked (again).

    Raises:
        Problem: 404; 409 when the case is over or no price list fits; 422 naming a field.
    """
    ticket = await ticket_to_quote(call, ticket_id)
    await lock_ticket(call, ticket_id)
    if ticket["state"] in ticket_rules.OVER:
        raise Problem.conflict("ticket-over", f"ticket {ticket_id} is {ticket['state']}; it needs no quote")
    on = call.now.astimezone(ZoneInfo(ticket["time_zone"])).date()
    listed = await list_for(call, ticket, on, body.price_list_id, body.currency)
    cover, answer = (all_borne, {}) if all_borne else await cover_of(call, ticket, on, body.component, body.cause)
    kind = ticket["customer_kind"]
    priced = await price_by(call, _lines(body.lines), listed, cover, on=on, customer_kind=kind)
    await _supersede(call, ticket_id, "draft", 0)
    sums = asdict(priced)
    lines = sums.pop("lines")
    values = {
        **sums,
        "ticket_id": ticket_id,
        "price_list_id": listed["price_list_id"],
        "warranty": Jsonb(answer),
        "terms": body.terms,
        "valid_days": body.valid_days,
        "now": call.now,
        "actor": call.principal.name,
    }
    made = await (await call.connection.execute(SQL["insert_quote"], values)).fetchone()
    if made is None:
        raise LookupError("insert_quote returned no row")
    async with call.connection.cursor() as cursor:
        rows = [{**line, "quote_id": made["quote_id"], "place": place} for place, line in enumerate(lines)]
        await cursor.executemany(SQL["insert_quote_line"], rows)
    quote = await get_quote(call, made["quote_id"])
    await _note(call, quote, "quote_drafted")
    return quote


async def send(call: Call, quote_id: int) -> DictRow:
    """Freeze a draft and send it to the customer; a quote sent before is superseded.

    Raises:
        Problem: 404; 409 when it is no draft.
    """
    quote = await _lock(call, quote_id)
    to = QUOTE.require(quote_id, quote["state"], "send")
    ticket = await ticket_to_quote(call, quote["ticket_id"])
    await _supersede(call, quote["ticket_id"], "sent", quote_id)
    valid_until = call.now + timedelta(days=quote["valid_days"])
    shown = {**quote, "machine": ticket["machine"], "valid_until": valid_until}
    text = rules.quote_text(shown, quote["lines"], quote["terms"])
    token, token_hash = _new_token()
    # A newer quote finds the ticket waiting for the older one's answer.
    before = ticket["state"] if ticket["state"] != "waiting_customer" else await _state_before(call, quote)
    values = {
        "quote_id": quote_id,
        "to": to,
        "now": call.now,
        "valid_until": valid_until,
        "text": text,
        "text_sha256": rules.text_hash(text),
        "token_hash": token_hash,
        "ticket_state": before,
    }
    await call.connection.execute(SQL["send_quote"], values)
    quote = await get_quote(call, quote_id)
    await _note(call, quote, "quote_sent")
    if ticket_rules.may_move(ticket["state"], "waiting_customer"):
        await move_ticket(call, quote["ticket_id"], "waiting_customer", detail={"quote_id": quote_id})
    await _announce(call, quote, "quote.sent", rules.sent_message(quote, LINK + token))
    return quote


async def new_link(call: Call, quote_id: int) -> dict[str, Any]:
    """Make another link for the customer; the one before no longer works.

    Raises:
        Problem: 404; 409 when there is nothing to decide.
    """
    quote = await _lock(call, quote_id)
    if quote["state"] != "sent":
        raise Problem.conflict("quote-state", f"quote {quote_id} is {quote['state']}; a link is for a sent one")
    token, token_hash = _new_token()
    await call.connection.execute(SQL["set_token"], {"quote_id": quote_id, "token_hash": token_hash})
    return {"path": LINK + token, "valid_until": quote["valid_until"]}


async def quote_of_token(call: Call, token: str) -> DictRow:
    """The quote of a customer's link.

    Raises:
        Problem: 404.
    """
    key = {"token_hash": hashlib.sha256(token.encode()).digest()}
    row = await (await call.connection.execute(SQL["quote_of_token"], key)).fetchone()
    if row is None:
        raise Problem(404, "not-found", "this link is unknown, or a newer one has taken its place")
    return await get_quote(call, row["quote_id"])


async def accept(
    call: Call, quote_id: int, *, given_by: str, text_sha256: str, channel: Channel, how_obtained: str, ip: str
) -> DictRow:
    """Record a customer's yes; from now on up to its amount may be charged.

    Raises:
        Problem: 404; 409 when it cannot be accepted (any more), when another text was shown, or when more was charged
            by an older quote than this one allows.
    """
    quote = await _lock(call, quote_id)
    to = QUOTE.require(quote_id, quote["state"], "accept")
    await _require_valid(call, quote)
    if text_sha256 != quote["text_sha256"]:
        detail = f"quote {quote_id} has another text than the one agreed to; show it again"
        raise Problem.conflict("another-text", detail, text_sha256=quote["text_sha256"])
    await _supersede(call, quote["ticket_id"], "accepted", quote_id)
    try:
        async with call.connection.transaction():
            await _move(call, quote_id, to, "")
    except psycopg.errors.CheckViolation as violation:
        raise beyond_accepted(violation, quote["ticket_id"]) from violation
    said = {"given_by": given_by, "channel": channel, "how_obtained": how_obtained, "ip": ip, "reason": ""}
    return await _decided(call, quote_id, "accepted", said)


async def decline(
    call: Call, quote_id: int, *, reason: str, given_by: str, channel: Channel, how_obtained: str, ip: str
) -> DictRow:
    """Record a customer's no.

    Raises:
        Problem: 404; 409 when there is nothing to decide (any more).
    """
    quote = await _lock(call, quote_id)
    await _move(call, quote_id, QUOTE.require(quote_id, quote["state"], "decline"), reason)
    said = {"given_by": given_by, "channel": channel, "how_obtained": how_obtained, "ip": ip, "reason": reason}
    return await _decided(call, quote_id, "declined", said)


async def withdraw(call: Call, quote_id: int, reason: str) -> DictRow:
    """Take a quote back before the customer has decided.

    Raises:
        Problem: 404; 409 when it is decided.
    """
    quote = await _lock(call, quote_id)
    await _move(call, quote_id, QUOTE.require(quote_id, quote["state"], "withdraw"), reason)
    return await _over(call, quote_id, told=quote["state"] == "sent")


async def run_due(call: Call) -> int:
    """Let quotes expire that nobody has accepted in time."""
    due = await (await call.connection.execute(SQL["due_quotes"], {"now": call.now, "limit": BATCH})).fetchall()
    expired = 0
    for row in due:
        quote = await _lock(call, row["quote_id"])
        # Somebody may have decided while we waited for the lock.
        if quote["state"] == "sent":
            await _move(call, row["quote_id"], QUOTE.require(row["quote_id"], "sent", "expire"), "")
            await _over(call, row["quote_id"], told=True)
            expired += 1
    return expired


async def get_quote(call: Call, quote_id: int) -> DictRow:
    """One quote with its lines and the consent to it.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["get_quote"], {"quote_id": quote_id})).fetchone()
    if row is None:
        raise Problem.not_found("quote", quote_id)
    return row


async def ticket_to_quote(call: Call, ticket_id: int) -> DictRow:
    """A case with what decides its prices.

    Raises:
        Problem: 404.
    """
    row = await (await call.connection.execute(SQL["ticket_to_quote"], {"ticket_id": ticket_id})).fetchone()
    if row is None:
        raise Problem.not_found("ticket", ticket_id)
    return row


async def lock_ticket(call: Call, ticket_id: int) -> None:
    """Wait for whoever does something with the case's money.

    Raises:
        Problem: 404.
    """
    if await (await call.connection.execute(SQL["lock_ticket"], {"ticket_id": ticket_id})).fetchone() is None:
        raise Problem.not_found("ticket", ticket_id)


async def cover_of(
    call: Call, ticket: DictRow, on: date, component: str | None, cause: str | None
) -> tuple[Cover, dict[str, Any]]:
    """Who bears what of a case on a day, and what the warranty answered."""
    if ticket["serial"] is None:
        return NOTHING_COVERED, {"covered": False, "reasons": ["the case is about no machine"]}
    answer = await question(
        call,
        ticket["serial"],
        on=on,
        component=component or ticket["component"],
        cause=cause,
        ticket_id=ticket["ticket_id"],
    )
    # A fee is for the work as a whole: the customer pays none of it only where they pay for nothing else either.
    cover = Cover(answer.labour, answer.travel, answer.parts, fees=answer.extent == "yes")
    return cover, answer.model_dump(mode="json")


def _lines(lines: Sequence[NewLine]) -> list[Line]:
    return [Line(**line.model_dump()) for line in lines]


def _new_token() -> tuple[str, bytes]:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return token, hashlib.sha256(token.encode()).digest()


async def _lock(call: Call, quote_id: int) -> DictRow:
    quote = await get_quote(call, quote_id)
    await lock_ticket(call, quote["ticket_id"])
    await call.connection.execute(SQL["lock_quote"], {"quote_id": quote_id})
    return await get_quote(call, quote_id)


async def _require_valid(call: Call, quote: DictRow) -> None:
    if quote["valid_until"] <= call.now:
        detail = f"quote {quote['quote_id']} was valid until {rules.moment(quote['valid_until'])}; ask for a new one"
        raise Problem.conflict("quote-expired", detail)


async def _supersede(call: Call, ticket_id: int, state: str, quote_id: int) -> None:
    """A newer quote takes the place of what is in that state."""
    key = {"ticket_id": ticket_id, "state": state, "quote_id": quote_id}
    for row in await (await call.connection.execute(SQL["quotes_in_state"], key)).fetchall():
        await _move(call, row["quote_id"], QUOTE.require(row["quote_id"], row["state"], "supersede"), "")


async def _state_before(call: Call, quote: DictRow) -> str | None:
    parameters = {"ticket_id": quote["ticket_id"], "after_id": 0, "fetch": BATCH}
    rows = await (await call.connection.execute(SQL["list_quotes_of_ticket"], parameters)).fetchall()
    return next((row["ticket_state"] for row in reversed(rows) if row["ticket_state"]), None)


async def _move(call: Call, quote_id: int, to: str, reason: str) -> None:
    await call.connection.execute(
        SQL["move_quote"], {"quote_id": quote_id, "to": to, "reason": reason, "now": call.now}
    )


async def _decided(call: Call, quote_id: int, decision: str, said: dict[str, str]) -> DictRow:
    values = {"quote_id": quote_id, "decision": decision, "now": call.now, "actor": call.principal.name, **said}
    await call.connection.execute(SQL["insert_consent"], values)
    return await _over(call, quote_id, told=True)


async def _over(call: Call, quote_id: int, *, told: bool) -> DictRow:
    """What follows when there is nothing to decide any more."""
    quote = await get_quote(call, quote_id)
    await _note(call, quote, f"quote_{quote['state']}")
    ticket = await ticket_to_quote(call, quote["ticket_id"])
    back = quote["ticket_state"] or "open"
    if ticket["state"] == "waiting_customer" and ticket_rules.may_move("waiting_customer", back):
        await move_ticket(call, quote["ticket_id"], back, detail={"quote_id": quote_id, "quote": quote["state"]})
    for follow in FOLLOWERS:
        await follow(call, quote)
    if told:
        await _announce(call, quote, f"quote.{quote['state']}", rules.decided_message(quote))
    return quote


async def _note(call: Call, quote: DictRow, kind: str) -> None:
    detail = {name: quote[name] for name in ("quote_id", "revision", "gross_minor", "currency", "text_sha256")}
    await append_event(call, quote["ticket_id"], kind, detail)


async def _announce(call: Call, quote: DictRow, topic: str, message: rules.Message) -> None:
    ticket = await ticket_to_quote(call, quote["ticket_id"])
    await announce(
        call,
        topic=topic,
        cause=f"quote:{quote['quote_id']}:{quote['state']}",
        asset_id=ticket["asset_id"],
        subject=message.subject,
        body=message.body,
        payload=Quote(**quote).model_dump(mode="json", exclude={"text", "consent"}),
    )


def beyond_accepted(violation: psycopg.errors.CheckViolation, ticket_id: int) -> Problem:
    """The database's refusal of money, as a problem."""
    name = violation.diag.constraint_name
    detail = {
        "within_accepted": f"of ticket {ticket_id} more would be charged than was accepted",
        "within_agreed": "that is more than the fee that was agreed",
        "account_currency": f"ticket {ticket_id} is accounted in another currency",
        "charge_of_accepted": f"for ticket {ticket_id} nothing was accepted in this currency",
    }.get(name or "")
    if detail is None:
        raise violation
    return Problem.conflict("beyond-accepted", detail, constraint=name)
