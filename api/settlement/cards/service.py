"""What is done with rate cards, and what one would have paid."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import Any, Literal

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.etags import changed_meanwhile
from api.conventions.problems import Problem
from api.providers.service import provider_of_field
from api.settlement.cards.models import NewRateCard, NewRule, RateCardChange
from api.settlement.facts import Judged, cards_of, judge, lock
from api.settlement.rules import RATE_CARD, month_from, next_month
from careloop.database.queries import load_queries

SQL = load_queries("api.settlement.cards")

BATCH = 1000
MOST_VISITS = 50_000


async def create(call: Call, body: NewRateCard) -> DictRow:
    """Add a card as a draft.

    Raises:
        Problem: 422 for an unknown partner.
    """
    if body.provider_id is not None:
        await provider_of_field(call, body.provider_id, "body.provider_id")
    values = {**body.model_dump(exclude={"lines"}), "now": call.now, "actor": call.principal.name}
    made = await (await call.connection.execute(SQL["insert_card"], values)).fetchone()
    if made is None:
        raise LookupError("insert_card returned no row")
    await _write_rules(call, made["rate_card_id"], body.lines)
    return await get(call, made["rate_card_id"])


async def _write_rules(call: Call, rate_card_id: int, rules: Sequence[NewRule]) -> None:
    told = [rule.model_dump() for rule in rules]
    columns = {name: [rule[name] for rule in told] for name in NewRule.model_fields}
    await call.connection.execute(SQL["insert_rules"], {**columns, "rate_card_id": rate_card_id})


async def get(call: Call, rate_card_id: int) -> DictRow:
    """One card with its lines.

    Raises:
        Problem: 404.
    """
    key = {"rate_card_id": rate_card_id}
    row = await (await call.connection.execute(SQL["get_card"], key)).fetchone()
    if row is None:
        raise Problem.not_found("rate card", rate_card_id)
    return {**row, "lines": await (await call.connection.execute(SQL["get_rules"], key)).fetchall()}


async def list_cards(call: Call, wanted: Mapping[str, Any]) -> list[DictRow]:
    """Cards that fit, in ascending order of their number: `provider_id`, `state`, `after_id`, `fetch`."""
    return await (await call.connection.execute(SQL["list_cards"], wanted, prepare=False)).fetchall()


async def change(call: Call, rate_card_id: int, body: RateCardChange, version: int) -> DictRow:
    """Change a draft, or say which day is an active card's last.

    Raises:
        Problem: 404; 409 for what an active card keeps; 412 when somebody else was faster; 422 naming a field.
    """
    row = await _lock(call, rate_card_id)
    if row["version"] != version:
        raise changed_meanwhile("rate card", version)
    given = body.model_dump(exclude_unset=True, exclude={"lines"})
    if row["state"] != "draft" and (set(given) - {"valid_until"} or body.lines is not None):
        detail = f"rate card {rate_card_id} is {row['state']}: only valid_until may change; make another version"
        raise Problem.conflict("rate-card-state", detail, state=row["state"])
    values = {**row, **{name: value for name, value in given.items() if value is not None or name == "valid_until"}}
    if values["valid_until"] is not None and values["valid_until"] < values["valid_from"]:
        raise Problem.bad_field("body.valid_until", f"must not be before {values['valid_from']}, its first day")
    await call.connection.execute(SQL["change_card"], values)
    if body.lines is not None:
        await call.connection.execute(SQL["delete_rules"], {"rate_card_id": rate_card_id})
        await _write_rules(call, rate_card_id, body.lines)
    return await get(call, rate_card_id)


async def move(call: Call, rate_card_id: int, action: Literal["activate", "withdraw"]) -> DictRow:
    """Let a card hold, or hold no longer.

    Raises:
        Problem: 404; 409 when its state does not allow it, or another version begins on the same day.
    """
    await lock(call)
    row = await _lock(call, rate_card_id)
    to = RATE_CARD.require(rate_card_id, row["state"], action)
    if action == "activate":
        other = await (await call.connection.execute(SQL["same_version"], row)).fetchone()
        if other is not None:
            detail = (
                f"rate card {other['rate_card_id']} holds for the same partners from {row['valid_from']} on; "
                "withdraw it, or let this one begin on another day"
            )
            raise Problem.conflict("rate-card-taken", detail, rate_card_id=other["rate_card_id"])
    await call.connection.execute(SQL["move_card"], {"rate_card_id": rate_card_id, "to": to, "now": call.now})
    return await get(call, rate_card_id)


async def _lock(call: Call, rate_card_id: int) -> DictRow:
    row = await (await call.connection.execute(SQL["lock_card"], {"rate_card_id": rate_card_id})).fetchone()
    if row is None:
        raise Problem.not_found("rate card", rate_card_id)
    return row


# The trial ------------------------------------------------------------------------------------------


@dataclass
class _Tally:
    """What a trial adds up."""

    visits: int = 0
    amount_minor: int = 0
    lines: Counter[str] = field(default_factory=Counter)
    amounts: Counter[str] = field(default_factory=Counter)
    unpaid: dict[str, dict[str, Any]] = field(default_factory=dict)
    now_visits: int = 0
    now_minor: int = 0
    then_minor: int = 0

    def add(self, then: Judged, now: Judged) -> None:
        """Count a visit that the card would be the one for."""
        if not then.lines:
            told = {
                "reason": then.reason,
                "visits": 0,
                "example_visit_id": then.visit["visit_id"],
                "detail": then.detail,
            }
            self.unpaid.setdefault(then.reason, told)["visits"] += 1
            return
        self.visits += 1
        self.amount_minor += then.amount_minor
        for line in then.lines:
            self.lines[line.kind] += 1
            self.amounts[line.kind] += line.amount_minor
        if now.lines and now.card is not None and then.card is not None and now.card.currency == then.card.currency:
            self.now_visits += 1
            self.now_minor += now.amount_minor
            self.then_minor += then.amount_minor


async def try_on(call: Call, rate_card_id: int, month_text: str) -> dict[str, Any]:
    """What a card would pay for a month's visits, beside what today's cards pay for them; changes nothing.

    Visits that passed the completion audit count, whatever else stands in their way.

    Raises:
        Problem: 404; 409 when the month has more visits than are tried at once.
    """
    card = await get(call, rate_card_id)
    month = month_from(month_text)
    span = {
        "since": datetime.combine(month, time(), UTC),
        "until": datetime.combine(next_month(month), time(), UTC),
        "provider_id": card["provider_id"],
        "batch": BATCH,
    }
    tally, after_id, seen = _Tally(), 0, 0
    while rows := await (
        await call.connection.execute(SQL["visits_to_try"], {**span, "after_id": after_id})
    ).fetchall():
        seen += len(rows)
        if seen > MOST_VISITS:
            detail = f"{month_text} has more than {MOST_VISITS} visits; try a card of one partner"
            raise Problem.conflict("too-many-visits", detail)
        after_id = rows[-1]["visit_id"]
        await _try_batch(call, card, [row["visit_id"] for row in rows], tally)
    return {
        "rate_card_id": rate_card_id,
        "month": month_text,
        "currency": card["currency"],
        "visits": tally.visits,
        "amount_minor": tally.amount_minor,
        "sums": [
            {"kind": kind, "lines": tally.lines[kind], "amount_minor": tally.amounts[kind]} for kind in tally.lines
        ],
        "unpaid": list(tally.unpaid.values()),
        "now_visits": tally.now_visits,
        "now_minor": tally.now_minor,
        "then_minor": tally.then_minor,
    }


async def _try_batch(call: Call, card: DictRow, visit_ids: Sequence[int], tally: _Tally) -> None:
    number = card["rate_card_id"]
    providers = await _providers_of(call, visit_ids)
    cards = await cards_of(call, providers, also=number)
    # As if it were the only version that begins on its day.
    new = next(one for one in cards if one.holding.rate_card_id == number)
    scope = (new.holding.provider_id, new.holding.level, new.holding.country, new.holding.valid_from)
    others = [
        one
        for one in cards
        if one is not new
        and (one.holding.provider_id, one.holding.level, one.holding.country, one.holding.valid_from) != scope
    ]
    active = cards if card["state"] == "active" else [one for one in cards if one is not new]
    then = await judge(call, visit_ids, [*others, new])
    now = await judge(call, visit_ids, active)
    for one, other in zip(then, now, strict=True):
        if one.card is new:
            tally.add(one, other)


async def _providers_of(call: Call, visit_ids: Iterable[int]) -> list[int]:
    key = {"visit_ids": list(visit_ids)}
    rows = await (await call.connection.execute(SQL["providers_of_visits"], key)).fetchall()
    return [row["provider_id"] for row in rows]
