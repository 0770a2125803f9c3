"""Bodies and answers of rate cards and their trials."""

from collections import Counter
from datetime import date, datetime
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from api.conventions.models import Answer, Body, Currency, Id, Minor, Name
from api.providers.models import Level
from api.settlement.pricing import BASES, Basis, ClockKind, Condition, RuleKind
from api.settlement.rules import CardState, LineKind

MOST_RULES = 500
Country = Annotated[str, Field(pattern=r"^([A-Z]{2})?$", description="ISO 3166-1; empty for any")]
Month = Annotated[str, Field(pattern=r"^2[0-9]{3}-(0[1-9]|1[0-2])$", description="e.g. 2026-10")]
Word = Annotated[str, Field(pattern=r"^[^\x00]{0,128}$")]


def _sensible(day: date) -> date:
    if not 2000 <= day.year <= 2999:
        raise ValueError("must be in the years 2000 to 2999")
    return day


Day = Annotated[date, AfterValidator(_sensible)]


class NewRule(Body):
    """A line of a rate card: what is paid, for which work, by what count."""

    kind: RuleKind
    code: Name = Field(description="what it is called on statements")
    basis: Basis
    amount_minor: Minor | None = Field(None, description="for one of what is counted; a penalty takes it off")
    percent_bp: Annotated[int, Field(ge=0, le=100_000)] | None = Field(None, description="of a share, basis points")
    job_type: Word = Field("", description="kind of the ticket, or `plan`; empty for any")
    skill: Word = Field("", description="what the job asks for; empty for any")
    territory: Word = Field("", description="of the site; empty for any")
    in_warranty: bool | None = Field(None, description="only work in warranty, or only other work")
    condition: Condition = ""
    clock: ClockKind = Field("", description="of a service level: which; the solution if left out")
    from_km: Annotated[int, Field(ge=0, le=100_000)] = Field(0, description="of travel: where its band begins")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.basis not in BASES[self.kind]:
            raise ValueError(f"{self.kind} is counted by one of: {', '.join(sorted(BASES[self.kind]))}")
        if self.basis.startswith("percent") != (self.percent_bp is not None) or (
            (self.amount_minor is None) == (self.percent_bp is None)
        ):
            raise ValueError("give percent_bp for a share, amount_minor for anything else, and not both")
        if self.kind in {"reward", "penalty"} and not self.condition:
            raise ValueError(f"a {self.kind} needs a condition")
        if self.kind in {"labour", "travel", "parts"} and self.condition:
            raise ValueError(f"{self.kind} takes no condition; make it a subsidy, reward or penalty")
        if self.from_km and self.kind != "travel":
            raise ValueError("from_km is for travel only")
        if self.condition.startswith("sla"):
            self.clock = self.clock or "solution"
        elif self.clock:
            raise ValueError("clock is for the conditions sla_kept and sla_breached only")
        return self


def _unambiguous(rules: list[NewRule]) -> list[NewRule]:
    """Refuse rules of which nobody could say which one pays, or which one a line is of."""
    scopes: Counter[tuple[object, ...]] = Counter(
        (rule.kind, rule.job_type, rule.skill, rule.territory, rule.in_warranty, rule.from_km)
        for rule in rules
        if rule.kind in {"labour", "travel", "parts"}
    )
    codes = Counter((rule.kind, rule.code) for rule in rules if rule.kind in {"subsidy", "reward", "penalty"})
    for scope, count in [*scopes.items(), *codes.items()]:
        if count > 1:
            raise ValueError(f"two lines of {scope[0]} are for the same; each pays something of its own")
    return rules


Rules = Annotated[list[NewRule], Field(min_length=1, max_length=MOST_RULES), AfterValidator(_unambiguous)]


class NewRateCard(Body):
    """What partners are paid from a day on; a draft until it is activated."""

    name: Name
    provider_id: Id | None = Field(None, description="the one partner that it is for")
    level: Level = Field("", description="else partners of this level; empty for any")
    country: Country = Field("", description="and work in this country; empty for any")
    currency: Currency
    valid_from: Day
    valid_until: Day | None = None
    lines: Rules

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.provider_id is not None and self.level:
            raise ValueError("a card is for one partner or for a level, and not both")
        if self.valid_until is not None and self.valid_until < self.valid_from:
            raise ValueError("valid_until must not be before valid_from")
        return self


class RateCardChange(Body):
    """What of a card changes; of an active one only its last day may. Lines are given whole."""

    name: Name | None = None
    currency: Currency | None = None
    valid_from: Day | None = None
    valid_until: Day | None = None
    lines: Rules | None = None


class Rule(Answer):
    """A line of a rate card."""

    rate_card_line_id: int
    kind: RuleKind
    code: str
    basis: Basis
    amount_minor: int | None
    percent_bp: int | None
    job_type: str
    skill: str
    territory: str
    in_warranty: bool | None
    condition: Condition
    clock: ClockKind
    from_km: int


class RateCardHead(Answer):
    """A rate card without its lines."""

    rate_card_id: int
    name: str
    provider_id: int | None
    level: str
    country: str
    currency: str
    valid_from: date
    valid_until: date | None
    state: CardState
    created_at: datetime
    created_by: str
    activated_at: datetime | None
    version: int


class RateCard(RateCardHead):
    """A rate card."""

    lines: list[Rule]


class TrialWish(Body):
    """Which month's visits a card is tried on."""

    month: Month


class TrialSum(Answer):
    """What a card would pay by a kind of rule."""

    kind: LineKind
    lines: int
    amount_minor: int


class TrialBlock(Answer):
    """Visits that it could not pay, and why."""

    reason: str
    visits: int
    example_visit_id: int
    detail: str


class Trial(Answer):
    """What a card would pay for a month's visits that it would be the one for."""

    rate_card_id: int
    month: str
    currency: str
    visits: int = Field(description="that it would pay")
    amount_minor: int
    sums: list[TrialSum]
    unpaid: list[TrialBlock]
    now_visits: int = Field(description="of the visits that it would pay: those that today's cards pay in its currency")
    now_minor: int = Field(description="what today's cards pay for these")
    then_minor: int = Field(description="what it would pay for these")
