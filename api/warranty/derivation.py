"""Which policy holds for a machine, since when, and which terms follow from it; pure."""

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

StartRule = Literal["installation", "production", "first_reading"]

# Wide enough for every machine, and narrow enough that no sum of days leaves the calendar.
EARLIEST, LATEST = date(1900, 1, 1), date(9000, 1, 1)


@dataclass(frozen=True)
class Machine:
    """What is known of a machine when its terms are derived.

    Attributes:
        installed_on: Where it stands, that day.
        produced_on: If known.
        first_reading_on: When it first said something.
        sold_on: As registered, without proof.
        purchased_on: By an accepted proof of purchase.
        customer_kind: Of its owner, if known.
        country: Where it stands, if known.
    """

    installed_on: date
    produced_on: date | None = None
    first_reading_on: date | None = None
    sold_on: date | None = None
    purchased_on: date | None = None
    customer_kind: str | None = None
    country: str | None = None


@dataclass(frozen=True)
class Policy:
    """A version of a policy, as far as choosing it and its start goes; `model_id`, `kind` None for any."""

    policy_id: int
    version: int
    model_id: int | None
    kind: str | None
    valid_from: date
    valid_to: date | None
    start_rule: StartRule
    start_delay_days: int
    customer_kinds: frozenset[str]
    countries: frozenset[str]


@dataclass(frozen=True)
class Start:
    """When a warranty starts; `awaited`: what should fix it is not known yet, so that it is to be asked again."""

    on: date
    awaited: bool


def start_of(policy: Policy, machine: Machine) -> Start:
    """When a machine's warranty starts: by proof of purchase, else by the policy's rule, else by its installation."""
    if machine.purchased_on is not None:
        return Start(_bounded(machine.purchased_on), awaited=False)
    fixed = {
        "installation": machine.installed_on,
        "production": machine.produced_on,
        "first_reading": machine.first_reading_on,
    }[policy.start_rule]
    delay = timedelta(days=policy.start_delay_days)
    if fixed is not None:
        return Start(_bounded(_bounded(fixed) + delay), awaited=False)
    # A production date does not come by itself; a first reading does.
    return Start(_bounded(_bounded(machine.installed_on) + delay), awaited=policy.start_rule == "first_reading")


def choose(policies: Sequence[Policy], machine: Machine) -> Policy | None:
    """The policy that holds: valid on the day of sale, for such an owner and country, and the most specific of those.

    The day of sale is that of the proof of purchase, else the one registered, else the start by the policy's own rule.
    """
    fitting = []
    for policy in policies:
        sold_on = machine.purchased_on or machine.sold_on or start_of(policy, machine).on
        if policy.valid_from <= sold_on and (policy.valid_to is None or sold_on <= policy.valid_to):
            kinds_fit = not policy.customer_kinds or machine.customer_kind in policy.customer_kinds
            if kinds_fit and (not policy.countries or machine.country in policy.countries):
                fitting.append(policy)
    return max(fitting, key=_specificity, default=None)


def _specificity(policy: Policy) -> tuple[bool, bool, bool, bool, int, int]:
    return (
        policy.model_id is not None,
        policy.kind is not None,
        bool(policy.customer_kinds),
        bool(policy.countries),
        policy.version,
        policy.policy_id,
    )


def last_day(starts_on: date, months: int) -> date:
    """The last day of so many months: the one before the day of the same number, or the month's last if it has none."""
    month = starts_on.month - 1 + months
    year, month = starts_on.year + month // 12, month % 12 + 1
    if year > LATEST.year:
        return LATEST
    length = monthrange(year, month)[1]
    if starts_on.day > length:
        return date(year, month, length)
    return date(year, month, starts_on.day) - timedelta(days=1)


def _bounded(day: date) -> date:
    return min(max(day, EARLIEST), LATEST)


@dataclass(frozen=True)
class Changes:
    """What is to be done to a machine's derived terms.

    Attributes:
        changed: (term_id, what it is now).
        added: New ones.
        withdrawn: Numbers of those that hold no more.
    """

    changed: list[tuple[int, Mapping[str, Any]]]
    added: list[Mapping[str, Any]]
    withdrawn: list[int]


COMPARED = ("policy_id", "starts_on", "ends_on", "meter_metric", "meter_limit", "parts", "labour", "travel")


def changes(derived: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]]) -> Changes:
    """How the terms that are there become those that are derived.

    A term whose end was announced by a ticket keeps what it says, so that the ticket stays true: it is withdrawn, and
    the new one is announced in its turn.

    Args:
        derived: What should be, one for each component, with the columns `COMPARED`.
        there: What is, with `term_id` and `ticket_id` besides.
    """
    wanted = {term["component"]: term for term in derived}
    changed, withdrawn = [], []
    for term in there:
        new = wanted.get(term["component"])
        if new is not None and all(new[name] == term[name] for name in COMPARED):
            del wanted[term["component"]]
        elif new is not None and term["ticket_id"] is None:
            changed.append((int(term["term_id"]), new))
            del wanted[term["component"]]
        else:
            withdrawn.append(int(term["term_id"]))
    return Changes(changed, list(wanted.values()), withdrawn)
