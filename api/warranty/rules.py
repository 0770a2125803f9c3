"""Whether a machine is covered on a day, for which component and cause, and why; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

from api.conventions.states import StateMachine

Source = Literal["manual", "policy", "contract", "extension"]
HumanDamage = Literal["free", "customer_pays", "once_free"]
Extent = Literal["yes", "partly", "no"]
Bearer = Literal["maker", "shared", "customer"]
Code = Literal[
    "covered", "free-human-damage", "meter-unknown", "denied", "no-terms", "not-started", "ended", "transferred",
    "customer-kind", "country", "meter-exceeded", "wear-part", "excluded-cause", "human-damage", "human-damage-used",
    "other-component", "component-term-decides",
]  # fmt: skip

HUMAN_DAMAGE = "human_damage"
# What no warranty bears unless its policy says so; terms given by hand have no policy.
STANDARD_EXCLUSIONS = frozenset({"misuse", "unauthorised_repair", "commercial_use"})
ASPECTS = ("parts", "labour", "travel")
_DAY = timedelta(days=1)

PURCHASE_MACHINE = StateMachine(
    name="warranty purchase",
    initial="submitted",
    moves={
        "submitted": {"accept": "accepted", "reject": "rejected"},
        "accepted": {"reject": "rejected", "replace": "replaced"},
        "rejected": {},
        "replaced": {},
    },
    notes="An accepted proof of purchase fixes the warranty's start; accepting another one replaces it.",
)


@dataclass(frozen=True)
class Conditions:
    """What a term was promised under, frozen from its policy or product.

    Attributes:
        excluded_causes: Causes it does not bear.
        excluded_components: Wear parts.
        human_damage: Who bears what people broke.
        customer_kinds: Of owners; empty for all.
        countries: Where the machine stands, ISO 3166 codes; empty for all.
        transferable: Whether it goes on for the next owner.
    """

    excluded_causes: frozenset[str] = STANDARD_EXCLUSIONS
    excluded_components: frozenset[str] = frozenset()
    human_damage: HumanDamage = "customer_pays"
    customer_kinds: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()
    transferable: bool = True


@dataclass(frozen=True)
class Term:
    """A span of days, both included, in which something is borne.

    Attributes:
        component: The one it is for; None for the whole machine.
        meter_metric: The meter that ends it too, with `meter_limit`, the largest value still covered.
        policy_id: The policy's version it was derived from; a policy's line for a component stands for its line for the
            whole machine.
    """

    term_id: int
    name: str
    starts_on: date
    ends_on: date
    source: Source = "manual"
    component: str | None = None
    meter_metric: str | None = None
    meter_limit: float | None = None
    parts: bool = True
    labour: bool = True
    travel: bool = True
    policy_id: int | None = None
    conditions: Conditions = field(default_factory=Conditions)


@dataclass(frozen=True)
class Denial:
    """A refusal that stands."""

    denial_id: int
    text: str


@dataclass(frozen=True)
class Case:
    """What is asked, and what is known about it.

    Attributes:
        on: The day it broke.
        component: What broke; None for the machine as a whole.
        cause: Why, if known, e.g. `misuse`.
        meters: Values of the machine's meters that day; one that is missing or None is not known.
        customer_kind: Of the owner, if known.
        country: Where it stands, if known.
        transferred_on: When it last went to another owner, up to the day.
        human_damage_used: Whether the one free human damage was used up before.
        denial: A refusal that stands for the case.
    """

    on: date
    component: str | None = None
    cause: str | None = None
    meters: Mapping[str, float | None] = field(default_factory=dict)
    customer_kind: str | None = None
    country: str | None = None
    transferred_on: date | None = None
    human_damage_used: bool = False
    denial: Denial | None = None


@dataclass(frozen=True)
class Reason:
    """One reason, for machines and for people."""

    code: Code
    text: str
    term_id: int | None = None


@dataclass(frozen=True)
class Judgement:
    """What is covered, by which term, and why; the first reason decides.

    Attributes:
        covered: Of parts, labour and travel those that are.
        term: The one that decides, in either direction; None without terms.
        until: Last day of the unbroken cover that the day lies in.
        reasons: All, the deciding first.
    """

    covered: frozenset[str]
    term: Term | None
    until: date | None
    reasons: tuple[Reason, ...]

    @property
    def extent(self) -> Extent:
        """Whether all, some or none of it is covered."""
        if not self.covered:
            return "no"
        return "yes" if len(self.covered) == len(ASPECTS) else "partly"

    @property
    def bearer(self) -> Bearer:
        """Who pays."""
        bearers: dict[Extent, Bearer] = {"yes": "maker", "partly": "shared", "no": "customer"}
        return bearers[self.extent]


def judge(terms: Sequence[Term], case: Case) -> Judgement:
    """Whether a case is covered by any of a machine's terms.

    A term bears it when the day, the meters, the owner, the place, the component and the cause all fit. Of several
    that do, the one that bears most and lasts longest decides, and what any of them bears is borne. Of those that do
    not, one in force decides before one that ended last, and that before one that has not started. A meter that nobody
    knows does not end a term. A refusal that stands decides before all.
    """
    fitting = [term for term in terms if term.component in {None, case.component}]
    special = {term.policy_id for term in fitting if term.component is not None and term.policy_id is not None}
    weighed: list[tuple[Term, list[Reason], list[Reason]]] = []
    for term in fitting:
        against, notes = _against(term, case), _notes(term, case)
        if term.component is None and term.policy_id in special:
            text = f"{term.name} has a line of its own for {case.component}"
            against = [Reason("component-term-decides", text, term.term_id)]
        weighed.append((term, against, notes))
    bearing = [(term, notes) for term, against, notes in weighed if not against]
    refused = sorted(((term, against) for term, against, _ in weighed if against), key=lambda one: _nearness(*one))
    reasons_against = [reason for _, against in refused for reason in against]
    if case.denial is not None:
        reason = Reason("denied", f"denial {case.denial.denial_id} stands: {case.denial.text}")
        return Judgement(frozenset(), None, None, (reason, *reasons_against))
    if bearing:
        bearing.sort(key=lambda one: (len(_borne([one[0]])), one[0].ends_on, one[0].term_id), reverse=True)
        until = _unbroken([term for term, _ in bearing], terms, case)
        reasons = [reason for term, notes in bearing for reason in (_bears(term), *notes)]
        covered = _borne(term for term, _ in bearing)
        return Judgement(covered, bearing[0][0], until, (*reasons, *reasons_against))
    if refused:
        return Judgement(frozenset(), refused[0][0], None, tuple(reasons_against))
    if terms:
        names = ", ".join(sorted({term.component or "" for term in terms}))
        text = f"the asset's terms are for other components only: {names}"
        return Judgement(frozenset(), None, None, (Reason("other-component", text),))
    return Judgement(frozenset(), None, None, (Reason("no-terms", "the asset has no warranty terms"),))


def _borne(terms: Iterable[Term]) -> frozenset[str]:
    return frozenset(aspect for term in terms for aspect in ASPECTS if getattr(term, aspect))


def _bears(term: Term) -> Reason:
    bounds = f"up to and including {term.ends_on}"
    if term.meter_metric is not None:
        bounds += f" or {term.meter_metric} {term.meter_limit:g}, whichever comes first"
    borne = [aspect for aspect in ASPECTS if getattr(term, aspect)]
    what = "it" if len(borne) == len(ASPECTS) else f"{' and '.join(borne)} of it"
    return Reason("covered", f"the warranty {term.name} covers {what} {bounds}", term.term_id)


def _against(term: Term, case: Case, *, days: bool = True) -> list[Reason]:
    """All that speaks against a term's bearing a case, the days first."""
    found = [
        *(_against_day(term, case) if days else ()),
        *_against_owner(term, case),
        *_against_meter(term, case),
        *_against_cause(term, case),
    ]
    return [Reason(code, text, term.term_id) for code, text in found]


def _against_day(term: Term, case: Case) -> Iterable[tuple[Code, str]]:
    if case.on < term.starts_on:
        yield "not-started", f"the warranty {term.name} only starts on {term.starts_on}"
    if case.on > term.ends_on:
        yield "ended", f"the warranty {term.name} ended on {term.ends_on}"


def _against_owner(term: Term, case: Case) -> Iterable[tuple[Code, str]]:
    conditions = term.conditions
    moved = case.transferred_on
    if not conditions.transferable and moved is not None and term.starts_on < moved <= case.on:
        yield "transferred", f"the warranty {term.name} ended when the machine changed its owner on {moved}"
    if conditions.customer_kinds and case.customer_kind not in {None, *conditions.customer_kinds}:
        kinds = ", ".join(sorted(conditions.customer_kinds))
        yield (
            "customer-kind",
            f"the warranty {term.name} is for {kinds} customers, and the owner is {case.customer_kind}",
        )
    if conditions.countries and case.country not in {None, *conditions.countries}:
        countries = ", ".join(sorted(conditions.countries))
        yield "country", f"the warranty {term.name} holds in {countries}, and the machine stands in {case.country}"


def _against_meter(term: Term, case: Case) -> Iterable[tuple[Code, str]]:
    if term.meter_metric is None or term.meter_limit is None:
        return
    value = case.meters.get(term.meter_metric)
    if value is not None and value > term.meter_limit:
        limit = f"{term.meter_metric} {term.meter_limit:g}"
        yield "meter-exceeded", f"the warranty {term.name} ended at {limit}; the meter shows {value:g}"


def _against_cause(term: Term, case: Case) -> Iterable[tuple[Code, str]]:
    conditions = term.conditions
    if term.component is None and case.component in conditions.excluded_components:
        yield "wear-part", f"{case.component} is a wear part that the warranty {term.name} does not cover"
    if case.cause == HUMAN_DAMAGE:
        if conditions.human_damage == "customer_pays":
            yield "human-damage", f"the warranty {term.name} does not bear what people broke"
        elif conditions.human_damage == "once_free" and case.human_damage_used:
            yield "human-damage-used", f"the one human damage that the warranty {term.name} bears was used before"
    elif case.cause in conditions.excluded_causes:
        yield "excluded-cause", f"the warranty {term.name} does not bear the cause {case.cause}"


def _notes(term: Term, case: Case) -> list[Reason]:
    """What else should be known where a term bears a case."""
    notes: list[Reason] = []
    if case.cause == HUMAN_DAMAGE:
        text = f"the warranty {term.name} bears human damage"
        once = " once, and this would be it" if term.conditions.human_damage == "once_free" else ""
        notes.append(Reason("free-human-damage", text + once, term.term_id))
    if term.meter_metric is not None and case.meters.get(term.meter_metric) is None:
        text = f"{term.meter_metric} of that day is not known; read it from the machine and ask again with it"
        notes.append(Reason("meter-unknown", text, term.term_id))
    return notes


def _nearness(term: Term, against: Sequence[Reason]) -> tuple[int, int, int]:
    """Of terms that do not bear a case: in force first, then the last ended, then the next to start."""
    codes = {reason.code for reason in against}
    if "component-term-decides" in codes:
        return (3, 0, term.term_id)
    if "ended" in codes:
        return (1, -term.ends_on.toordinal(), -term.term_id)
    if "not-started" in codes:
        return (2, term.starts_on.toordinal(), term.term_id)
    return (0, -term.ends_on.toordinal(), -term.term_id)


def _unbroken(bearing: Sequence[Term], terms: Sequence[Term], case: Case) -> date:
    """The last day of the cover that goes on without a gap from the terms that bear the case."""
    until = max(term.ends_on for term in bearing)
    following = [
        term for term in terms if term.component in {None, case.component} and not _against(term, case, days=False)
    ]
    for term in sorted(following, key=lambda term: term.starts_on):
        if term.ends_on > until and term.starts_on.toordinal() <= until.toordinal() + 1:
            until = term.ends_on
    return until
