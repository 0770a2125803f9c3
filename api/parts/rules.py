"""What takes a part's place, and whether a part fits a machine: pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from api.assets.rules import Validity
from api.conventions.states import StateMachine

PART = StateMachine(
    name="part",
    initial="active",
    moves={
        "active": {"supersede": "superseded", "discontinue": "discontinued"},
        "superseded": {"withdraw": "active"},
        "discontinued": {"supersede": "superseded", "reinstate": "active"},
    },
    notes="A part is superseded on the day on which another takes its place; what there is of it may be used up.",
)

Verdict = Literal["fits", "unsure", "no"]
PriceKind = Literal["customer", "partner", "internal"]
_BEST_FIRST: tuple[Verdict, ...] = ("fits", "unsure", "no")


# What takes its place -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Link:
    """One part takes another's place from a day on."""

    sku: str
    successor: str
    effective_on: date


class Chains:
    """Links that hang together, by either end.

    Args:
        links: One for each part at most, without a circle.
    """

    def __init__(self, links: Iterable[Link]) -> None:
        self._after: dict[str, Link] = {}
        self._before: dict[str, list[Link]] = {}
        for link in links:
            self.add(link)

    def add(self, link: Link) -> None:
        """Add a link that fits."""
        self._after[link.sku] = link
        self._before.setdefault(link.successor, []).append(link)

    def successor_of(self, sku: str) -> str | None:
        """What takes a part's place, if anything does, whenever."""
        link = self._after.get(sku)
        return link.successor if link else None

    def misfit(self, new: Link) -> tuple[str, str] | None:
        """Why a link cannot be added: the field, and what is wrong; None when it can."""
        way, at = [new.sku, new.successor], new.successor
        while at != new.sku and (link := self._after.get(at)) is not None:
            way.append(at := link.successor)
        if at == new.sku:
            return "successor", f"that would go round in a circle: {' → '.join(way)}"
        ahead = self._after.get(new.successor)
        if ahead is not None and ahead.effective_on < new.effective_on:
            said = f"{new.successor} itself gave way to {ahead.successor} on {ahead.effective_on}"
            return "effective_on", f"{said}; name {ahead.successor}, or a day until {ahead.effective_on}"
        late = max(self._before.get(new.sku, ()), key=lambda link: (link.effective_on, link.sku), default=None)
        if late is not None and late.effective_on > new.effective_on:
            said = f"{new.sku} takes the place of {late.sku} on {late.effective_on} only"
            return "effective_on", f"{said}; take a day from {late.effective_on} on"
        return None

    def current(self, sku: str, on: date) -> str:
        """The part to take on a day: the last one of the chain that has begun by then."""
        while (link := self._after.get(sku)) is not None and link.effective_on <= on:
            sku = link.successor
        return sku


_KINDS = ("successor", "predecessor", "alternative")


def why_substitute(step: Mapping[str, Any]) -> str:
    """Why something may be built in instead, in words.

    Args:
        step: `how` it was come to, `via` which part, since when (`effective_on`), and a `note`.
    """
    if step["how"] == "successor":
        said = f"took the place of {step['via']} on {step['effective_on']}"
    elif step["how"] == "predecessor":
        said = f"{step['via']} takes its place, and it may still be built in"
    else:
        said = f"alternative to {step['via']}"
    return f"{said}: {step['note']}" if step["note"] else said


def in_order(steps: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Substitutes with the best first: what took its place, what it took the place of, alternatives by their rank."""

    def preference(step: Mapping[str, Any]) -> tuple[int, int, int, str]:
        kind = _KINDS.index("alternative") if step["rank"] else _KINDS.index(step["how"])
        return step["rank"], kind, step["steps"], step["sku"]

    best: dict[int, Mapping[str, Any]] = {}
    for step in sorted(steps, key=preference):
        best.setdefault(step["part_id"], step)
    return list(best.values())


# What it fits -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Machine:
    """What is known of a machine, as far as parts depend on it; None is not known."""

    batch: str | None = None
    produced_on: date | None = None
    revision: str | None = None


@dataclass(frozen=True)
class Bounds:
    """Into which machines of a model a part goes; None is no bound."""

    revisions: Sequence[str] | None = None
    validity: Validity = field(default_factory=Validity)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Bounds":
        """Of a row with `from_batch` and the others; `revisions` where it has any."""
        spans = (row[name] for name in ("from_batch", "until_batch", "from_date", "until_date"))
        return cls(row.get("revisions"), Validity(*spans))

    def verdict(self, machine: Machine) -> tuple[Verdict, list[str]]:
        """Whether the part goes in, and what of the machine says otherwise, or would have to be known."""
        if not self.validity.holds(machine.batch, machine.produced_on):
            outside = "batch" if not self.validity.holds(machine.batch, None) else "produced_on"
            return "no", [outside]
        if self.revisions is not None and machine.revision is not None and machine.revision not in self.revisions:
            return "no", ["revision"]
        validity = self.validity
        asked = {
            "batch": (validity.from_batch or validity.until_batch) is not None and machine.batch is None,
            "produced_on": (validity.from_date or validity.until_date) is not None and machine.produced_on is None,
            "revision": self.revisions is not None and machine.revision is None,
        }
        missing = [name for name, is_missing in asked.items() if is_missing]
        return ("unsure" if missing else "fits"), missing


def built_in(rows: Iterable[Mapping[str, Any]], machine: Machine) -> list[tuple[Mapping[str, Any], Verdict, list[str]]]:
    """The items of a bill of materials that may be in a machine; what is in an assembly depends on that, too.

    Args:
        rows: With `bom_item_id` and `parent_id`, an assembly before what is in it.
        machine: What is known of it.

    Returns:
        Each with its verdict, what that depends on, and as `component` the one of the nearest assembly that names one.
    """
    held: dict[int, tuple[Mapping[str, Any], Verdict, list[str]]] = {}
    for row in rows:
        verdict, depends = Bounds.of(row).verdict(machine)
        named = row
        if row["parent_id"] is not None:
            above = held.get(row["parent_id"])
            if above is None:
                continue
            verdict = worst(verdict, above[1])
            depends = list(dict.fromkeys([*above[2], *depends]))
            named = {**row, "component": row["component"] or above[0]["component"]}
        if verdict != "no":
            held[row["bom_item_id"]] = (named, verdict, depends)
    return list(held.values())


def worst(*verdicts: Verdict) -> Verdict:
    """The least favourable of several."""
    return max(verdicts, key=_BEST_FIRST.index)


def best(*verdicts: Verdict) -> Verdict:
    """The most favourable of several."""
    return min(verdicts, key=_BEST_FIRST.index)


DEPENDS: Mapping[str, str] = {
    "batch": "its production batch",
    "produced_on": "its day of production",
    "revision": "its attribute `revision`",
}
