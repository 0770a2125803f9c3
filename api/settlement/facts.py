"""What visits are paid by, gathered in sets, and what the cards that hold for them pay."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.settlement.pricing import Facts, PricedLine, Rule, Unpriced, UsedPart, price
from api.settlement.rules import Holding, card_for
from careloop.database.queries import load_queries

SQL = load_queries("api.settlement")

PAYABLE = frozenset({"passed", "accepted"})
_AUDIT = {
    "due": "the completion audit has not judged it yet",
    "manual": "it waits for somebody's decision in the completion audit",
    "rejected": "the completion audit rejected it; its check says why, correct the report or object",
}


@dataclass(frozen=True)
class Card:
    """A rate card with its rules.

    Attributes:
        holding: For whom and when it holds.
        currency: Of its amounts.
        rules: Its lines.
    """

    holding: Holding
    currency: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Judged:
    """What the settlement of a visit would be.

    Attributes:
        visit: The row of `visits_to_price`.
        card: The card that holds for it, if any.
        lines: What it pays.
        reason: Why it is not paid, as a code; empty where it is.
        detail: The same in words.
    """

    visit: DictRow
    card: Card | None
    lines: tuple[PricedLine, ...]
    reason: str = ""
    detail: str = ""

    @property
    def amount_minor(self) -> int:
        """The sum of the lines."""
        return sum(line.amount_minor for line in self.lines)


async def lock(call: Call) -> None:
    """Be the only one who writes lines, moves statements or lets cards hold, until the transaction ends."""
    await call.connection.execute(SQL["lock_settlement"])


async def cards_of(call: Call, provider_ids: Iterable[int], also: int | None = None) -> list[Card]:
    """The active cards that may hold for some partners' work, and perhaps one that is not active.

    Args:
        call: Whose connection is used.
        provider_ids: The partners.
        also: Number of a card to be among them, whatever its state.
    """
    wanted = {"provider_ids": sorted(set(provider_ids)), "also": also}
    rows = await (await call.connection.execute(SQL["cards_of_providers"], wanted)).fetchall()
    key = {"rate_card_ids": [row["rate_card_id"] for row in rows]}
    rules: dict[int, list[Rule]] = {row["rate_card_id"]: [] for row in rows}
    names = [field.name for field in fields(Rule)]
    for line in await (await call.connection.execute(SQL["rules_of_cards"], key)).fetchall():
        rules[line["rate_card_id"]].append(Rule(**{name: line[name] for name in names}))
    held = [field.name for field in fields(Holding)]
    return [
        Card(Holding(**{name: row[name] for name in held}), row["currency"], tuple(rules[row["rate_card_id"]]))
        for row in rows
    ]


async def judge(call: Call, visit_ids: Sequence[int], cards: Sequence[Card]) -> list[Judged]:
    """What cards pay for visits, and what stands in the way of paying.

    Args:
        call: Whose connection is used; sees everything.
        visit_ids: The visits.
        cards: Those that may hold for them.
    """
    wanted = {"visit_ids": list(visit_ids), "now": call.now}
    visits = await (await call.connection.execute(SQL["visits_to_price"], wanted)).fetchall()
    by_holding = {card.holding: card for card in cards}
    chosen: list[Card | None] = []
    for visit in visits:
        found = card_for(
            list(by_holding),
            provider_id=visit["provider_id"],
            level=visit["level"],
            country=visit["country"],
            on=visit["on_day"],
        )
        chosen.append(None if found is None else by_holding[found])
    prices = await _part_prices(call, visits, chosen)
    return [_judged(visit, card, prices) for visit, card in zip(visits, chosen, strict=True)]


Prices = Mapping[tuple[int, str, str, Any], int | None]


async def _part_prices(call: Call, visits: Sequence[DictRow], chosen: Sequence[Card | None]) -> Prices:
    """What the used parts cost partners, where a card pays a share of it."""
    wanted = sorted(
        {
            (part["part_id"], visit["level"], card.currency, visit["on_day"])
            for visit, card in zip(visits, chosen, strict=True)
            if card is not None and any(rule.basis == "percent_of_parts" for rule in card.rules)
            for part in visit["parts"]
        }
    )
    if not wanted:
        return {}
    values = {
        "part_ids": [one[0] for one in wanted],
        "levels": [one[1] for one in wanted],
        "currencies": [one[2] for one in wanted],
        "days": [one[3] for one in wanted],
    }
    rows = await (await call.connection.execute(SQL["part_prices"], values)).fetchall()
    return {(row["part_id"], row["level"], row["currency"], row["on_day"]): row["price_minor"] for row in rows}


def _judged(visit: DictRow, card: Card | None, prices: Prices) -> Judged:
    """Price a visit, and say what stands in the way: first what the partner can do something about."""
    hindrance = _hindrance(visit)
    if card is None:
        said = f"no rate card holds for this partner on {visit['on_day']}; POST /v1/settlement/rate-cards"
        return Judged(visit, None, (), *(hindrance or ("no-rate-card", said)))
    try:
        lines = price(_facts(visit, card, prices), card.rules)
    except Unpriced as unpriced:
        return Judged(visit, card, (), *(hindrance or (unpriced.reason, f"rate card {_name(card)}: {unpriced}")))
    return Judged(visit, card, lines, *(hindrance or ("", "")))


def _hindrance(visit: DictRow) -> tuple[str, str] | None:
    if visit["check_state"] not in PAYABLE:
        return f"audit-{visit['check_state']}", _AUDIT[visit["check_state"]]
    if visit["overdue_parts"]:
        said = f"{visit['overdue_parts']} old parts of it are overdue; send them back, or have them written off"
        return "old-parts-overdue", said
    return None


def _name(card: Card) -> int:
    return card.holding.rate_card_id


def _facts(visit: DictRow, card: Card, prices: Prices) -> Facts:
    given = {field.name: visit[field.name] for field in fields(Facts) if field.name in visit}
    parts = tuple(
        UsedPart(
            part["sku"],
            part["quantity"],
            prices.get((part["part_id"], visit["level"], card.currency, visit["on_day"])),
        )
        for part in visit["parts"]
    )
    kept, breached = frozenset(visit["clocks_kept"]), frozenset(visit["clocks_breached"])
    return replace(Facts(**{**given, "parts": ()}), parts=parts, clocks_kept=kept, clocks_breached=breached)
