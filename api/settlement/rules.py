"""Months, which card holds, states of statements and disputes, and how amounts are written: pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from api.conventions.states import StateMachine

CardState = Literal["draft", "active", "withdrawn"]
StatementState = Literal["draft", "issued", "disputed", "agreed", "paid"]
DisputeState = Literal["open", "accepted", "rejected", "withdrawn"]
SettlementState = Literal["due", "blocked", "settled"]
LineKind = Literal[
    "labour", "travel", "parts", "subsidy", "reward", "penalty", "parts_charge", "parts_credit", "correction"
]
LineSource = Literal["visit", "parts_account", "adjustment"]

# Between two looks at what is blocked where nothing tells that it has changed, e.g. a rate card that is missing.
LOOK_AGAIN_EVERY = timedelta(hours=1)

RATE_CARD = StateMachine(
    name="rate card",
    initial="draft",
    moves={
        "draft": {"activate": "active", "withdraw": "withdrawn"},
        "active": {"withdraw": "withdrawn"},
        "withdrawn": {},
    },
    notes="What an active card says never changes; a new version takes its place from its first day on. Withdrawn: it "
    "prices nothing any more, what it has priced stays.",
)
STATEMENT = StateMachine(
    name="statement",
    initial="draft",
    moves={
        "draft": {"issue": "issued"},
        "issued": {"dispute": "disputed", "agree": "agreed"},
        "disputed": {"dispute": "disputed", "settle": "issued"},
        "agreed": {"pay": "paid"},
        "paid": {},
    },
    notes="A draft grows by itself as visits pass the completion audit. Closing the month issues its drafts and "
    "freezes its lines; agreeing and paying go on after that. `settle` happens by itself when the last open dispute "
    "ends.",
)
DISPUTE = StateMachine(
    name="dispute",
    initial="open",
    moves={
        "open": {"accept": "accepted", "reject": "rejected", "withdraw": "withdrawn"},
        "accepted": {},
        "rejected": {},
        "withdrawn": {},
    },
    notes="Of one line of a statement. Accepting it writes a correction as a new line: into the statement itself while "
    "it is not closed, else into the partner's open one.",
)
# When a day that is over in the west of all time zones is over, by UTC.
LAST_TO_END = time(12, tzinfo=UTC)

# States in which lines may still come; the database holds to the same.
GROWING = frozenset({"draft", "disputed"})

# ISO 4217: currencies whose minor unit is not a hundredth.
_DIGITS = {
    **dict.fromkeys(
        (
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ),
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


@dataclass(frozen=True)
class Holding:
    """For whom and when a rate card holds.

    Attributes:
        rate_card_id: Its number.
        provider_id: The one partner; None for any.
        level: Partners of this level; empty for any.
        country: Work in this country; empty for any.
        valid_from: Its first day.
        valid_until: Its last one; None until another version follows.
    """

    rate_card_id: int
    provider_id: int | None
    level: str
    country: str
    valid_from: date
    valid_until: date | None


def card_for(cards: Sequence[Holding], *, provider_id: int, level: str, country: str, on: date) -> Holding | None:
    """The card that holds for a partner's work on a day: the one that names most, and of its versions the latest.

    The partner counts more than its level, the level more than the country.
    """
    fitting = [
        card
        for card in cards
        if card.provider_id in {None, provider_id}
        and card.level in {"", level}
        and card.country in {"", country}
        and card.valid_from <= on
        and (card.valid_until is None or on <= card.valid_until)
    ]
    return max(fitting, key=_exactness, default=None)


def _exactness(card: Holding) -> tuple[bool, bool, bool, date, int]:
    return (card.provider_id is not None, card.level != "", card.country != "", card.valid_from, card.rate_card_id)


def month_of(day: date) -> date:
    """The first day of a day's month."""
    return day.replace(day=1)


def month_from(text: str) -> date:
    """The first day of a month that is written `2026-10`."""
    return date.fromisoformat(f"{text}-01")


def next_month(month: date) -> date:
    """The first day of the month after; of the last month that there is, that month."""
    if (month.year, month.month) == (date.max.year, date.max.month):
        return month
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1)


def month_to_fill(visit_month: date, closed_through: date | None, done: Collection[date]) -> date:
    """The month whose statement takes a line: the visit's own, else the first one after that still may.

    Args:
        visit_month: Of what the line is for.
        closed_through: The last month that is closed; None when none is.
        done: Months whose statement of this partner and currency takes no more lines.
    """
    month = visit_month if closed_through is None else max(visit_month, next_month(closed_through))
    while month in done:
        month = next_month(month)
    return month


def is_over(month: date, now: datetime) -> bool:
    """Whether a month has ended everywhere on earth."""
    return now >= datetime.combine(next_month(month), LAST_TO_END)


def major(amount_minor: int, currency: str) -> str:
    """An amount as people write it, e.g. `-12.50`; without a group sign, for programs read it too.

    >>> major(-1250, "EUR"), major(-5, "EUR"), major(1250, "JPY"), major(1250, "KWD")
    ('-12.50', '-0.05', '1250', '1.250')
    """
    digits = _DIGITS.get(currency, 2)
    if digits == 0:
        return str(amount_minor)
    whole, rest = divmod(abs(amount_minor), 10**digits)
    return f"{'-' if amount_minor < 0 else ''}{whole}.{rest:0{digits}d}"
