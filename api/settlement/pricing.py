"""What a rate card pays for a visit: pure, in integers of the minor unit.

The rounding rule stands in `api.quotes.pricing.rounded`: to the nearest minor unit, a half away from zero. It is
applied once to each line, `quantity × price / per`; sums are of rounded lines. The table of lines checks the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from api.quotes.pricing import BASIS_POINTS, MINUTES_PER_HOUR, rounded

RuleKind = Literal["labour", "travel", "parts", "subsidy", "reward", "penalty"]
Condition = Literal["", "first_time_fix", "repeat_visit", "sla_kept", "sla_breached"]
ClockKind = Literal["", "first_response", "appointment", "solution"]
Basis = Literal["visit", "standard_hour", "worked_hour", "kilometre", "piece", "percent_of_parts", "percent_of_labour"]
Unit = Literal["visit", "minute", "metre", "piece", "minor", "flat"]

METRES_PER_KM = 1000
# What each kind of rule may be counted by.
BASES: dict[RuleKind, frozenset[Basis]] = {
    "labour": frozenset({"visit", "standard_hour", "worked_hour"}),
    "travel": frozenset({"visit", "kilometre"}),
    "parts": frozenset({"piece", "percent_of_parts"}),
    "subsidy": frozenset({"visit", "percent_of_labour"}),
    "reward": frozenset({"visit", "percent_of_labour"}),
    "penalty": frozenset({"visit", "percent_of_labour"}),
}


class Unpriced(ValueError):  # noqa: N818 - it says what the visit is
    """A visit that a rate card cannot price.

    Attributes:
        reason: Why, as a code.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass(frozen=True)
class Rule:
    """A line of a rate card.

    Attributes:
        rate_card_line_id: Its number.
        kind: What it pays for.
        code: What it is called on statements.
        basis: What is counted.
        amount_minor: For one of what is counted; 0 for a share.
        percent_bp: The share in basis points; 0 for an amount.
        job_type: Kind of the ticket, or `plan`; empty for any.
        skill: What the job asked for; empty for any.
        territory: Where; empty for anywhere.
        in_warranty: Only work in warranty, only other work, or None for both.
        condition: What must be so besides.
        clock: Of a service level: which.
        from_km: Of travel: where its band begins.
    """

    rate_card_line_id: int
    kind: RuleKind
    code: str
    basis: Basis
    amount_minor: int = 0
    percent_bp: int = 0
    job_type: str = ""
    skill: str = ""
    territory: str = ""
    in_warranty: bool | None = None
    condition: Condition = ""
    clock: ClockKind = ""
    from_km: int = 0


@dataclass(frozen=True)
class UsedPart:
    """Pieces of a part that a visit used; the price of one is None where there is none in the card's currency."""

    sku: str
    quantity: int
    price_minor: int | None


@dataclass(frozen=True)
class Facts:
    """What a visit is paid by.

    Attributes:
        on_day: The day of the visit, where the machine stands.
        job_type: Kind of the ticket, or `plan`.
        skill: What the job asked for.
        territory: Of the site.
        in_warranty: As the report says; None when nobody said.
        standard_minutes: The time that the job was planned with.
        worked_minutes: From the beginning of work to leaving; None when not recorded.
        distance_m: From where the technician set out to the site; None when not recorded.
        parts: What was built in.
        solved: The case was solved.
        first_visit: No other visit for the case had been completed before.
        reopened: The case had been closed before and came back.
        clocks_kept: Clocks of the case that stopped in time.
        clocks_breached: Those that did not.
    """

    on_day: date
    job_type: str
    skill: str = "general"
    territory: str = "default"
    in_warranty: bool | None = None
    standard_minutes: int = 60
    worked_minutes: int | None = None
    distance_m: int | None = None
    parts: tuple[UsedPart, ...] = ()
    solved: bool = True
    first_visit: bool = True
    reopened: bool = False
    clocks_kept: frozenset[str] = frozenset()
    clocks_breached: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PricedLine:
    """A line of a statement: `amount_minor` is `quantity × price_minor / price_per`, rounded.

    Attributes:
        rate_card_line_id: The rule that made it.
        kind: What it pays for.
        code: What the rule is called.
        subject: Of parts: the SKU.
        description: For people.
        quantity: Of units; of a share, the minor units that it is a share of.
        unit: What is counted.
        price_minor: Of `price_per` units; of a share, the basis points. Negative for a penalty.
        price_per: 60 for an hour, 1000 for a kilometre, 10000 for a share, else 1.
        amount_minor: What is paid.
    """

    rate_card_line_id: int
    kind: RuleKind
    code: str
    subject: str
    description: str
    quantity: int
    unit: Unit
    price_minor: int
    price_per: int
    amount_minor: int


def price(facts: Facts, rules: Sequence[Rule]) -> tuple[PricedLine, ...]:
    """What a card's rules pay for a visit: labour, travel, handling of parts, then what is added or taken off.

    Args:
        facts: Of the visit.
        rules: Of the card.

    Raises:
        Unpriced: There is no rule for the labour, or one that needs something that was not recorded.
    """
    fitting = [rule for rule in rules if _fits(rule, facts)]
    labour = _labour(facts, fitting)
    lines = [labour, *_travel(facts, fitting), *_parts(facts, fitting)]
    lines += [
        _extra(rule, labour)
        for rule in fitting
        if rule.kind in {"subsidy", "reward", "penalty"} and _holds(rule, facts)
    ]
    return tuple(lines)


def _fits(rule: Rule, facts: Facts) -> bool:
    return (
        rule.job_type in {"", facts.job_type}
        and rule.skill in {"", facts.skill}
        and rule.territory in {"", facts.territory}
        and (rule.in_warranty is None or rule.in_warranty == bool(facts.in_warranty))
    )


def _most_exact(rules: Iterable[Rule]) -> Rule | None:
    """The rule that names most of the work: its job type before its skill, its territory, its warranty."""
    return max(rules, key=_exactness, default=None)


def _exactness(rule: Rule) -> tuple[bool, bool, bool, bool, int]:
    named = (rule.job_type != "", rule.skill != "", rule.territory != "", rule.in_warranty is not None)
    return (*named, -rule.rate_card_line_id)


def _holds(rule: Rule, facts: Facts) -> bool:
    if rule.condition == "first_time_fix":
        return facts.solved and facts.first_visit and not facts.reopened
    if rule.condition == "repeat_visit":
        return not facts.first_visit or facts.reopened
    if rule.condition == "sla_kept":
        return rule.clock in facts.clocks_kept
    if rule.condition == "sla_breached":
        return rule.clock in facts.clocks_breached
    return True


def _labour(facts: Facts, rules: Sequence[Rule]) -> PricedLine:
    rule = _most_exact(rule for rule in rules if rule.kind == "labour")
    if rule is None:
        raise Unpriced("no-labour-rate", f"the rate card has no labour for {facts.job_type} ({facts.skill})")
    said = f"Labour, {rule.code}"
    if rule.basis == "visit":
        return _counted(rule, said, 1, "visit", rule.amount_minor)
    minutes = facts.standard_minutes if rule.basis == "standard_hour" else facts.worked_minutes
    if minutes is None:
        raise Unpriced("no-work-time", f"{rule.code} is paid by the hour worked, and none were recorded")
    return _counted(rule, f"{said}, {minutes} min", minutes, "minute", rule.amount_minor, per=MINUTES_PER_HOUR)


def _travel(facts: Facts, rules: Sequence[Rule]) -> list[PricedLine]:
    """The band that the distance lies in; the nearest one where no distance was recorded."""
    bands = [rule for rule in rules if rule.kind == "travel"]
    metres = facts.distance_m or 0
    reached = [rule for rule in bands if rule.from_km * METRES_PER_KM <= metres]
    if not reached:
        return []
    best = max(reached, key=lambda rule: (_exactness(rule)[:4], rule.from_km))
    far = "distance not recorded" if facts.distance_m is None else f"{metres / METRES_PER_KM:.1f} km"
    said = f"Travel, {best.code}, {far}"
    if best.basis == "visit":
        return [_counted(best, said, 1, "visit", best.amount_minor)]
    return [_counted(best, said, metres, "metre", best.amount_minor, per=METRES_PER_KM)]


def _parts(facts: Facts, rules: Sequence[Rule]) -> list[PricedLine]:
    rule = _most_exact(rule for rule in rules if rule.kind == "parts")
    if rule is None:
        return []
    return [_handling(rule, part) for part in facts.parts]


def _handling(rule: Rule, part: UsedPart) -> PricedLine:
    said = f"Handling, {rule.code}, {part.quantity} × {part.sku}"
    if rule.basis == "piece":
        return _counted(rule, said, part.quantity, "piece", rule.amount_minor, subject=part.sku)
    if part.price_minor is None:
        raise Unpriced(
            "no-part-price", f"{part.sku} has no price in the card's currency; POST /v1/parts/{part.sku}/prices"
        )
    return _shared(rule, said, part.quantity * part.price_minor, subject=part.sku)


def _extra(rule: Rule, labour: PricedLine) -> PricedLine:
    said = f"{rule.kind.capitalize()}, {rule.code}"
    if rule.basis == "visit":
        return _counted(rule, said, 1, "visit", rule.amount_minor)
    return _shared(rule, said, labour.amount_minor)


def _counted(
    rule: Rule, said: str, quantity: int, unit: Unit, each: int, *, per: int = 1, subject: str = ""
) -> PricedLine:
    signed = -each if rule.kind == "penalty" else each
    amount = rounded(quantity * signed, per)
    return PricedLine(rule.rate_card_line_id, rule.kind, rule.code, subject, said, quantity, unit, signed, per, amount)


def _shared(rule: Rule, said: str, of_minor: int, *, subject: str = "") -> PricedLine:
    return _counted(rule, said, of_minor, "minor", rule.percent_bp, per=BASIS_POINTS, subject=subject)
