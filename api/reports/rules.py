"""The reliability report. Pure: facts and times in, figures out."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from api.reports.estimates import ComponentLife, Estimate, component_life, mtbf, mttr
from api.reports.lives import HOUR, Asset, Failure, Life, Replacement, lives_of

METHODS: Mapping[str, str] = {
    "mtbf": (
        "Mean time between failures, operating time divided by failures. Operating time is calendar time from "
        "installation (or the start of the period) to the end of the period (or retirement), summed over assets. "
        "Bounds assume a constant failure rate observed for a fixed time: two-sided 95 % from the chi-square "
        "distribution with 2n+2 and 2n degrees of freedom (NIST/SEMATECH e-Handbook 8.4.5.1). Without a failure there "
        "is no estimate, only a one-sided 95 % lower bound."
    ),
    "failures": (
        "Failures recorded in the period, and replacements because of a failure that nobody recorded. A second report "
        "while the component is still down counts once."
    ),
    "mttr": (
        "Mean time to repair, the arithmetic mean from failure to restoration where both are known. "
        "Bounds assume lognormal repair times: two-sided 95 % by the modified Cox method (Olsson 2005), from three "
        "repairs on, widened where needed to hold the mean; times under a minute count as a minute."
    ),
    "life": (
        "Product-limit (Kaplan-Meier) estimate of the share still working at an age, age counted from "
        "installation or the renewal before. A failure ends a life; preventive and scheduled replacement, retirement "
        "and the end of the period censor it. A repair counts as good as new. Band: pointwise 95 %, log-log Greenwood. "
        "Median: the age by which half have failed; its bounds are where the band crosses one half. Components older "
        "than the start of the period enter at their age then."
    ),
    "prevention": (
        "Preventive tickets opened in the period, by what became of them. A failure is caught when a preventive ticket "
        "of its asset and component was opened before it and still open at it, each ticket for the first failure after "
        "it; a ticket with outcome prevented saw its "
        "component replaced before it failed. Lead time: from the ticket to that failure, or to the ticket's end."
    ),
    "inspected": (
        "Parts taken out in the period that came back and were inspected before its end, by what they turned out to "
        "be; of several inspections of a part the last counts. They change no other figure: a failure whose part was "
        "in order, or misused, stays a failure."
    ),
}


@dataclass(frozen=True)
class Inspection:
    """What a part turned out to be that was taken out and came back."""

    asset_id: int
    component: str
    taken_out_at: datetime
    finding: str
    failure_mode: str | None


@dataclass(frozen=True)
class PreventiveTicket:
    """A preventive ticket, as it stood at the end of the period."""

    asset_id: int
    component: str | None
    opened_at: datetime
    closed_at: datetime | None
    outcome: str | None


@dataclass(frozen=True)
class Facts:
    """What the report is computed from; all facts strictly before the end of the period."""

    assets: Sequence[Asset]
    components: Sequence[tuple[str, str]]
    failures: Sequence[Failure]
    replacements: Sequence[Replacement]
    tickets: Sequence[PreventiveTicket]
    inspections: Sequence[Inspection] = ()


@dataclass(frozen=True)
class Period:
    """The period reported on.

    Attributes:
        since: Its start; None for the installation of each asset.
        until: Its end, not included.
    """

    since: datetime | None
    until: datetime

    def holds(self, time: datetime) -> bool:
        """Whether a time is in it."""
        return (self.since is None or time >= self.since) and time < self.until


@dataclass(frozen=True)
class Inspected:
    """What parts taken out turned out to be.

    Attributes:
        parts: How many were inspected.
        by_finding: Of them, e.g. confirmed, no_fault_found, misuse.
        by_failure_mode: Of them, those with one.
    """

    parts: int
    by_finding: Mapping[str, int]
    by_failure_mode: Mapping[str, int]


@dataclass(frozen=True)
class Group:
    """The figures of one component of one product model."""

    model: str
    component: str
    assets: int
    exposure_hours: float
    failures: int
    mtbf_hours: Estimate
    repairs: int
    mttr_hours: Estimate
    life: ComponentLife
    inspected: Inspected


@dataclass(frozen=True)
class Prevention:
    """What preventive tickets did.

    Attributes:
        tickets: Opened in the period.
        by_outcome: Of them, by outcome; `open` while it has none, `cancelled` when ended without.
        failures: Failures in the period.
        failures_caught: Of them, with an open preventive ticket.
        replaced_before_failing: Tickets whose outcome is prevented.
        median_lead_hours: Of failures caught and components replaced before failing.
    """

    tickets: int
    by_outcome: Mapping[str, int]
    failures: int
    failures_caught: int
    replaced_before_failing: int
    median_lead_hours: float | None


@dataclass(frozen=True)
class Report:
    """The whole reliability report."""

    period: Period
    assets: int
    exposure_hours: float
    prevention: Prevention
    groups: tuple[Group, ...]


def report_of(facts: Facts, period: Period) -> Report:
    """Everything, for each product model and component that is declared or has a fact."""
    assets = {asset.asset_id: asset for asset in facts.assets}
    by_model: dict[str, list[Asset]] = defaultdict(list)
    for asset in facts.assets:
        by_model[asset.model].append(asset)
    failures: dict[tuple[int, str], list[Failure]] = defaultdict(list)
    for failure in facts.failures:
        failures[failure.asset_id, failure.component].append(failure)
    replacements: dict[tuple[int, str], list[Replacement]] = defaultdict(list)
    for replacement in facts.replacements:
        replacements[replacement.asset_id, replacement.component].append(replacement)
    inspections: dict[tuple[str, str], list[Inspection]] = defaultdict(list)
    for inspection in facts.inspections:
        if period.holds(inspection.taken_out_at):
            inspections[assets[inspection.asset_id].model, inspection.component].append(inspection)
    pairs = {
        *facts.components,
        *inspections,
        *((assets[asset_id].model, component) for asset_id, component in (*failures, *replacements)),
    }
    groups: list[Group] = []
    failed_at: dict[tuple[int, str], list[datetime]] = {}
    for model, component in sorted(pairs):
        lives: list[Life] = []
        repaired: list[float] = []
        for asset in by_model[model]:
            key = (asset.asset_id, component)
            its_lives = lives_of(asset, failures.get(key, ()), replacements.get(key, ()), period.until)
            lives += its_lives
            failed_at[key] = [life.ends_at for life in its_lives if life.failed]
            repaired += _repair_hours(failures.get(key, ()), period)
        inspected = inspected_of(inspections.get((model, component), ()))
        groups.append(_group((model, component), by_model[model], lives, repaired, inspected, period))
    return Report(
        period,
        len(facts.assets),
        sum(_exposure_hours(asset, period) for asset in facts.assets),
        prevention_of(facts.tickets, failed_at, period),
        tuple(groups),
    )


def inspected_of(inspections: Sequence[Inspection]) -> Inspected:
    """Count what parts turned out to be, the most frequent first."""
    found = Counter(inspection.finding for inspection in inspections)
    modes = Counter(inspection.failure_mode for inspection in inspections if inspection.failure_mode is not None)
    return Inspected(len(inspections), dict(found.most_common()), dict(modes.most_common()))


def _group(  # noqa: PLR0917 - what a group's figures are made of
    pair: tuple[str, str],
    assets: Sequence[Asset],
    lives: Sequence[Life],
    repaired: Sequence[float],
    inspected: Inspected,
    period: Period,
) -> Group:
    exposure_hours = sum(_exposure_hours(asset, period) for asset in assets)
    failures = sum(life.failed and period.holds(life.ends_at) for life in lives)
    return Group(
        model=pair[0],
        component=pair[1],
        assets=len(assets),
        exposure_hours=exposure_hours,
        failures=failures,
        mtbf_hours=mtbf(exposure_hours, failures),
        repairs=len(repaired),
        mttr_hours=mttr(repaired),
        life=component_life(lives, period.since),
        inspected=inspected,
    )


def _exposure_hours(asset: Asset, period: Period) -> float:
    begin = max(asset.installed_at, period.since) if period.since else asset.installed_at
    end = min(asset.retired_at, period.until) if asset.retired_at else period.until
    return max(0.0, (end - begin) / HOUR)


def _repair_hours(failures: Sequence[Failure], period: Period) -> list[float]:
    return [
        (failure.restored_at - failure.failed_at) / HOUR
        for failure in failures
        if failure.restored_at is not None and period.holds(failure.failed_at)
    ]


def prevention_of(
    tickets: Sequence[PreventiveTicket], failed_at: Mapping[tuple[int, str], Sequence[datetime]], period: Period
) -> Prevention:
    """What preventive tickets did.

    Args:
        tickets: Preventive tickets opened before the end of the period.
        failed_at: Failures before the end of the period in order, by asset and component.
        period: The period.
    """
    raised = [ticket for ticket in tickets if period.holds(ticket.opened_at)]
    outcomes = Counter(ticket.outcome or ("open" if ticket.closed_at is None else "cancelled") for ticket in raised)
    lead_hours = [
        (ticket.closed_at - ticket.opened_at) / HOUR
        for ticket in raised
        if ticket.outcome == "prevented" and ticket.closed_at is not None
    ]
    # A ticket catches the first failure after it, and a failure is caught once, by the earliest of its tickets.
    caught: dict[tuple[int, str, datetime], datetime] = {}
    for ticket in tickets:
        if ticket.component is None:
            continue
        key = (ticket.asset_id, ticket.component)
        following = next((at for at in failed_at.get(key, ()) if at > ticket.opened_at), None)
        if following is None or not period.holds(following):
            continue
        if ticket.closed_at is None or ticket.closed_at >= following:
            caught[*key, following] = min(ticket.opened_at, caught.get((*key, following), ticket.opened_at))
    lead_hours += [(at - opened_at) / HOUR for (_, _, at), opened_at in caught.items()]
    return Prevention(
        tickets=len(raised),
        by_outcome=dict(sorted(outcomes.items())),
        failures=sum(period.holds(at) for times in failed_at.values() for at in times),
        failures_caught=len(caught),
        replaced_before_failing=outcomes["prevented"],
        median_lead_hours=median(lead_hours) if lead_hours else None,
    )
