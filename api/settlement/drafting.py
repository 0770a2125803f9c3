"""Drafting: visits that may be paid, and entries of parts accounts, become lines of statements; each once, ever.

Whoever writes lines or moves statements holds one lock of the database, so that a line never goes into a statement that
somebody issues at the same moment; the tables' triggers hold to the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.settlement.facts import SQL, Judged, cards_of, judge, lock
from api.settlement.rules import LOOK_AGAIN_EVERY, month_of, month_to_fill

BATCH = 500
# What a slot of lines is: a partner, a currency, and the month of what they are for.
Slot = tuple[int, str, date]


@dataclass(frozen=True)
class Done:
    """What a batch did.

    Attributes:
        settled: Visits that became lines.
        blocked: Visits that something new stands in the way of.
        entries: Entries of parts accounts that became lines.
        more: Whether another batch has something to do.
    """

    settled: int = 0
    blocked: int = 0
    entries: int = 0
    more: bool = False

    def __add__(self, other: "Done") -> "Done":
        return Done(
            self.settled + other.settled, self.blocked + other.blocked, self.entries + other.entries, other.more
        )


async def run_due(call: Call) -> int:
    """Draft a batch of lines; tells how many visits and entries were dealt with."""
    done = await draft(call)
    return done.settled + done.blocked + done.entries


async def draft(call: Call) -> Done:
    """Draft a batch of lines: of visits that are to be looked at, and of entries of parts accounts."""
    await lock(call)
    due = await _rows(call, "due_visits", {"now": call.now, "batch": BATCH})
    visits = await _draft_visits(call, due) if due else Done()
    entries = await _draft_entries(call)
    return Done(visits.settled, visits.blocked, entries, more=len(due) == BATCH or entries == BATCH)


async def draft_all(call: Call) -> Done:
    """Draft all there is, in batches; whatever is blocked is looked at again."""
    await lock(call)
    await call.connection.execute(SQL["look_at_blocked"], {"now": call.now})
    done = await draft(call)
    while done.more:
        done += await draft(call)
    return done


# Visits ---------------------------------------------------------------------------------------------


async def _draft_visits(call: Call, due: Sequence[DictRow]) -> Done:
    cards = await cards_of(call, (row["provider_id"] for row in due))
    judged = await judge(call, [row["visit_id"] for row in due], cards)
    paid = [one for one in judged if not one.reason and one.card is not None]
    blocked = [one for one in judged if one.reason]
    if paid:
        await _write_lines(call, paid)
    if blocked:
        await _mark_blocked(call, blocked)
    news = sum(one.visit["state"] != "blocked" or one.visit["reason"] != one.reason for one in blocked)
    return Done(settled=len(paid), blocked=news)


async def _write_lines(call: Call, paid: Sequence[Judged]) -> None:
    slots = [_slot(one.visit["provider_id"], _currency(one), one.visit["on_day"]) for one in paid]
    drafts = await draft_of(call, slots)
    lines = [
        {
            **asdict(line),
            "statement_id": drafts[slot],
            "visit_id": one.visit["visit_id"],
            "ticket_id": one.visit["ticket_id"],
            "on_day": one.visit["on_day"],
            "rate_card_id": None if one.card is None else one.card.holding.rate_card_id,
        }
        for one, slot in zip(paid, slots, strict=True)
        for line in one.lines
    ]
    names = (
        "statement_id", "kind", "visit_id", "ticket_id", "on_day", "rate_card_id", "rate_card_line_id", "code",
        "subject", "description", "quantity", "unit", "price_minor", "price_per", "amount_minor",
    )  # fmt: skip
    await call.connection.execute(SQL["insert_lines"], _columns(call, names, lines))
    marks = {
        "visit_ids": [one.visit["visit_id"] for one in paid],
        "currencies": [_currency(one) for one in paid],
        "days": [one.visit["on_day"] for one in paid],
        "now": call.now,
    }
    await call.connection.execute(SQL["mark_settled"], marks)


def _currency(one: Judged) -> str:
    if one.card is None:
        raise LookupError(f"visit {one.visit['visit_id']} is paid without a rate card")
    return one.card.currency


async def _mark_blocked(call: Call, blocked: Sequence[Judged]) -> None:
    marks = {
        "visit_ids": [one.visit["visit_id"] for one in blocked],
        "reasons": [one.reason for one in blocked],
        "details": [one.detail for one in blocked],
        "currencies": [None if one.card is None else one.card.currency for one in blocked],
        "amounts": [one.amount_minor if one.lines else None for one in blocked],
        "days": [one.visit["on_day"] for one in blocked],
        "now": call.now,
        "next_at": call.now + LOOK_AGAIN_EVERY,
    }
    await call.connection.execute(SQL["mark_blocked"], marks)


# Parts accounts -------------------------------------------------------------------------------------


async def _draft_entries(call: Call) -> int:
    """Net a batch of entries: what the partner owes more is taken off, what it owes less is added."""
    entries = await _rows(call, "due_entries", {"batch": BATCH})
    if not entries:
        return 0
    slots = [_slot(row["provider_id"], row["currency"], row["on_day"]) for row in entries]
    drafts = await draft_of(call, slots)
    lines = [
        {
            "statement_id": drafts[slot],
            "kind": "parts_charge" if row["amount_minor"] > 0 else "parts_credit",
            "ticket_id": row["ticket_id"],
            "on_day": row["on_day"],
            "code": row["kind"],
            "subject": row["sku"] or "",
            "description": _entry_text(row),
            "amount_minor": -row["amount_minor"],
            "account_entry_id": row["partner_entry_id"],
        }
        for row, slot in zip(entries, slots, strict=True)
    ]
    await call.connection.execute(SQL["insert_entry_lines"], _columns(call, tuple(lines[0]), lines))
    settled = {"entry_ids": [row["partner_entry_id"] for row in entries]}
    await call.connection.execute(SQL["delete_settled_entries"], settled)
    return len(entries)


def _entry_text(row: DictRow) -> str:
    what = f", {row['quantity']} × {row['sku']}" if row["sku"] else ""
    said = row["text"] or f"{row['cause_kind']} {row['cause_key']}"
    return f"Parts account, {row['kind']}{what}: {said}"


# Statements -----------------------------------------------------------------------------------------


def _slot(provider_id: int, currency: str, on: date) -> Slot:
    return (provider_id, currency, month_of(on))


async def draft_of(call: Call, slots: Iterable[Slot]) -> Mapping[Slot, int]:
    """The draft that takes lines of each slot: of its own month, or of the first one after that is still open.

    Drafts that are not there yet are made. The caller holds the lock.
    """
    wanted = sorted(set(slots))
    closed = await (await call.connection.execute(SQL["closed_through"])).fetchone()
    closed_through = None if closed is None else closed["month"]
    key = {"provider_ids": sorted({slot[0] for slot in wanted})}
    done: dict[tuple[int, str], set[date]] = {}
    for row in await _rows(call, "full_statements", key):
        done.setdefault((row["provider_id"], row["currency"]), set()).add(row["month"])
    filled = {slot: (*slot[:2], month_to_fill(slot[2], closed_through, done.get(slot[:2], ()))) for slot in wanted}
    open_slots = sorted(set(filled.values()))
    values = {
        "provider_ids": [slot[0] for slot in open_slots],
        "currencies": [slot[1] for slot in open_slots],
        "months": [slot[2] for slot in open_slots],
    }
    await call.connection.execute(SQL["make_statements"], {**values, "now": call.now})
    numbers = {
        (row["provider_id"], row["currency"], row["month"]): row["statement_id"]
        for row in await _rows(call, "drafts", values)
    }
    return {slot: numbers[open_slot] for slot, open_slot in filled.items()}


def _columns(call: Call, names: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Lines as an array for each column."""
    return {**{name: [line[name] for line in lines] for name in names}, "now": call.now, "actor": call.principal.name}


async def _rows(call: Call, query: str, values: Mapping[str, Any]) -> list[DictRow]:
    return await (await call.connection.execute(SQL[query], values)).fetchall()
