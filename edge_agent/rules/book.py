"""All rules together, by asset and metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from edge_agent.rules.dead_band import DeadBand
from edge_agent.rules.rate_of_change import RateOfChange
from edge_agent.rules.rule import Rule
from edge_agent.rules.running import Running
from edge_agent.rules.swinging_door import SwingingDoor
from edge_agent.rules.threshold import Threshold
from edge_agent.rules.window import Window

Thinning = DeadBand | RateOfChange | SwingingDoor
AnyRule = Annotated[DeadBand | RateOfChange | Running | SwingingDoor | Threshold | Window, Field(discriminator="kind")]


@dataclass(frozen=True)
class MetricRules:
    """The rules of one metric, in the order in which they are applied.

    Attributes:
        running: Counters, each with names of its own.
        thresholds: Any number, each with a code of its own.
        windows: Any number, each with a width of its own.
        thinning: At most one.
    """

    running: Sequence[Running] = ()
    thresholds: Sequence[Threshold] = ()
    windows: Sequence[Window] = ()
    thinning: Thinning | None = None


# By serial number and metric; the serial number None stands for every asset without rules of its own for the metric.
RuleBook = Mapping[tuple[str | None, str], MetricRules]


class RuleClashError(ValueError):
    """Two rules that cannot both hold.

    Attributes:
        index: The place of the second among all rules.
    """

    def __init__(self, index: int, text: str) -> None:
        super().__init__(text)
        self.index = index


def rule_book(rules: Sequence[AnyRule]) -> RuleBook:
    """The rules by asset and metric.

    Raises:
        RuleClashError: Two rules of one asset cannot both hold.
    """
    places: dict[tuple[str | None, str], list[int]] = {}
    for index, rule in enumerate(rules):
        here = places.setdefault((rule.serial, rule.metric), [])
        for other in (rules[place] for place in here):
            if isinstance(rule, Thinning) and isinstance(other, Thinning):
                raise RuleClashError(index, f"{rule.metric!r} has a {other.kind} already; only one can thin a metric")
            if other.key == rule.key:
                raise RuleClashError(index, f"{rule.metric!r} has such a {rule.kind} already")
        here.append(index)
    for serial in {serial for serial, _ in places}:
        _check_names(rules, places, serial)
    return {key: _ordered([rules[place] for place in here]) for key, here in places.items()}


def _check_names(
    rules: Sequence[AnyRule], places: Mapping[tuple[str | None, str], Sequence[int]], serial: str | None
) -> None:
    """Each metric that rules make for an asset is made once, and none of the asset's rules is about it."""
    own = {metric: here for (whose, metric), here in places.items() if whose == serial}
    holding = {metric: here for (whose, metric), here in places.items() if whose is None} | own
    made: set[str] = set()
    for place in sorted(place for here in holding.values() for place in here):
        for name in _makes(rules[place]):
            if name in made:
                raise RuleClashError(place, f"the metric {name!r} is made by another rule; give it another name")
            if name in holding:
                raise RuleClashError(holding[name][0], f"{name!r} is made by a rule, and those are not judged again")
            made.add(name)


def derived_units(book: RuleBook, serial: str, units: Mapping[str, str]) -> dict[str, str]:
    """Unit by metric of what rules make for an asset, given those of what they make it from.

    >>> derived_units(rule_book([Window(metric="pressure", every_s=60)]), "A", {"pressure": "bar"})
    {'pressure.min': 'bar', 'pressure.max': 'bar', 'pressure.mean': 'bar'}
    """
    derived: dict[str, str] = {}
    for rules in rules_of(book, serial).values():
        for window in rules.windows:
            unit = units.get(window.metric)
            derived |= {name: unit for statistic, name in window.names.items() if unit and statistic != "count"}
        for running in rules.running:
            derived[running.hours_metric] = "h"
    return derived


def rules_of(book: RuleBook, serial: str) -> dict[str, MetricRules]:
    """The rules that hold for an asset, by metric."""
    general = {metric: rules for (whose, metric), rules in book.items() if whose is None}
    return general | {metric: rules for (whose, metric), rules in book.items() if whose == serial}


def _makes(rule: Rule) -> list[str]:
    match rule:
        case Window():
            return list(rule.names.values())
        case Running():
            return [rule.hours_metric, rule.cycles_metric]
        case _:
            return []


def _ordered(rules: Sequence[AnyRule]) -> MetricRules:
    return MetricRules(
        [rule for rule in rules if isinstance(rule, Running)],
        [rule for rule in rules if isinstance(rule, Threshold)],
        [rule for rule in rules if isinstance(rule, Window)],
        next((rule for rule in rules if isinstance(rule, Thinning)), None),
    )
