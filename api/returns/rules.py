"""What becomes of a part that was taken out, and by when; pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from api.conventions.states import StateMachine

Fate = Literal["return", "scrap_on_site", "none"]
Bearer = Literal["maker", "customer", "partner"]
Finding = Literal["confirmed", "no_fault_found", "misuse", "transport_damage", "wrong_part"]
State = Literal[
    "expected", "packed", "shipped", "received", "inspected", "at_repair", "scrapped", "written_off", "waived"
]  # fmt: skip

OLD_PART_MACHINE = StateMachine(
    name="old part",
    initial="expected",
    moves={
        "expected": {
            "pack": "packed",
            "receive": "received",
            "scrap": "scrapped",
            "write_off": "written_off",
            "waive": "waived",
        },
        "packed": {"unpack": "expected", "ship": "shipped", "receive": "received"},
        "shipped": {"receive": "received", "miss": "expected", "write_off": "written_off"},
        "received": {"inspect": "inspected"},
        "inspected": {"inspect": "inspected", "repair": "at_repair", "write_off": "written_off"},
        "at_repair": {},
        "scrapped": {},
        "written_off": {},
        "waived": {},
    },
    notes=(
        "While it is expected, packed or shipped beyond its time it holds back the settlement of its visit. `pack`, "
        "`ship` and `miss` happen with its return slip; `scrap` is for what is scrapped on site by rule."
    ),
)
SLIP_MACHINE = StateMachine(
    name="return slip",
    initial="open",
    moves={
        "open": {"ship": "shipped", "cancel": "cancelled"},
        "shipped": {"receive": "received"},
        "received": {},
        "cancelled": {},
    },
    notes="One parcel. A part that is not in it when it arrives is expected again.",
)

# Owed by a partner.
OWED: tuple[State, ...] = ("expected", "packed", "shipped")
DUE_DAYS = 30
# So long a parcel may be on its way before its parts count as missing.
TRANSIT = timedelta(days=14)


@dataclass(frozen=True)
class Rule:
    """A rule of the house, or of a maker's.

    Attributes:
        number: Which one.
        part_id: The part it is for; None for any, as of all that follow.
        model_id: The machine's model.
        manufacturer: The machine's maker.
        bearer: Who bears the part built in.
        fate: What becomes of the old one.
        due_days: By when it is back, or scrapped.
        evidence: Whether scrapping it is to be shown by photos.
        reason: Why, for people.
    """

    number: int
    part_id: int | None
    model_id: int | None
    manufacturer: str | None
    bearer: Bearer | None
    fate: Fate
    due_days: int
    evidence: bool
    reason: str


@dataclass(frozen=True)
class Used:
    """A part that was built in, of which the old one is asked.

    Attributes:
        part_id: Which part.
        model_id: Of the machine.
        manufacturer: Of the machine.
        bearer: Who bears it; None while nobody has decided.
        rotable: Whether such parts are repaired and used again.
        old_part_rule: The catalogue's own word.
        told: What the technician said: return_to_maker, scrap, left_with_customer, none.
    """

    part_id: int
    model_id: int
    manufacturer: str | None
    bearer: Bearer | None
    rotable: bool
    old_part_rule: Fate
    told: str


@dataclass(frozen=True)
class Expectation:
    """What is expected of an old part, and why."""

    fate: Fate
    due_days: int
    evidence: bool
    reason: str


def expectation_of(used: Used, rules: Iterable[Rule]) -> Expectation:
    """What becomes of an old part.

    The rule that says most decides: one for the part before one for the model, before one for the maker, before one for
    who bears it. Without a rule a rotable always goes back, and others by the catalogue's word where the maker or the
    partner bears the new one; what the customer paid for is the customer's. Whatever else is the rule, a part that the
    technician says goes back is expected back.
    """
    fitting = [rule for rule in rules if _fits(rule, used)]
    if fitting:
        best = max(fitting, key=lambda rule: (_weight(rule), rule.number))
        found = Expectation(best.fate, best.due_days, best.evidence, best.reason)
    elif used.rotable:
        found = Expectation("return", DUE_DAYS, evidence=False, reason="the part is repaired and used again")
    elif used.bearer == "customer":
        found = Expectation("none", DUE_DAYS, evidence=False, reason="the customer paid for it and keeps the old one")
    else:
        found = Expectation(used.old_part_rule, DUE_DAYS, evidence=False, reason="by the catalogue of parts")
    if used.told == "return_to_maker" and found.fate != "return":
        reason = "the technician said that it goes back to its maker"
        return Expectation("return", found.due_days, evidence=False, reason=reason)
    return found


def _fits(rule: Rule, used: Used) -> bool:
    return (
        rule.part_id in {None, used.part_id}
        and rule.model_id in {None, used.model_id}
        and rule.manufacturer in {None, used.manufacturer}
        and rule.bearer in {None, used.bearer}
    )


def _weight(rule: Rule) -> tuple[bool, bool, bool, bool]:
    named = (rule.part_id, rule.model_id, rule.manufacturer, rule.bearer)
    part, model, maker, bearer = (name is not None for name in named)
    return part, model, maker, bearer


def due_at(ended_at: datetime, due_days: int) -> datetime:
    """By when an old part is to be back, from the end of its visit."""
    return ended_at + timedelta(days=due_days)


def due_of_parcel(due_by: datetime | None, shipped_at: datetime) -> datetime:
    """By when a part is to arrive that was sent off: its way is not counted against it."""
    arrives = shipped_at + TRANSIT
    return arrives if due_by is None else max(due_by, arrives)


def claim_stands(finding: Finding) -> bool:
    """Whether what was claimed back for the new part stands by itself, after what the old one turned out to be.

    A part in which no fault was found was still replaced in good faith; one that was misused is the customer's, and one
    that is not the part reported proves nothing.
    """
    return finding not in {"misuse", "wrong_part"}


def misfit_of_finding(finding: Finding, failure_mode: str | None) -> str | None:
    """Why a failure mode does not go with a finding, if so."""
    if finding == "no_fault_found" and failure_mode:
        return "a part without a fault has no failure mode; leave it out"
    if finding == "wrong_part" and failure_mode:
        return "of a part that was not reported no failure mode is kept; leave it out"
    return None
