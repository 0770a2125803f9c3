"""A machine's life, and which items of a bill of materials are built into which machine. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from api.conventions.states import StateMachine

MACHINE = StateMachine(
    name="asset",
    initial="active",
    moves={
        "active": {"retire": "retired"},
        "retired": {"return_to_service": "active"},
    },
    notes="A retired machine keeps its history, its owner and its papers; plans and the predictor leave it alone.",
)

# `/v1/assets/export` and the like are not machines; one of that serial number could never be read.
TAKEN_SERIALS = frozenset({"export", "import"})

DEEPEST_BOM = 12
MOST_BOM_ITEMS = 5000

_DIGITS = re.compile(r"(\d+)")


def batch_order(batch: str) -> tuple[tuple[int, int, str], ...]:
    """What batches are ordered by: as people read them, digits as numbers, so that B9 comes before B10."""
    pieces = _DIGITS.split(batch)
    return tuple((0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces if piece)


@dataclass(frozen=True)
class Validity:
    """In which machines a part is built in: by batch, by day of production, both ends included; None is no bound."""

    from_batch: str | None = None
    until_batch: str | None = None
    from_date: date | None = None
    until_date: date | None = None

    def holds(self, batch: str | None, produced_on: date | None) -> bool:
        """Whether it belongs to a machine; what is not known of the machine rules nothing out."""
        return not (
            (batch is not None and not _between(batch_order(batch), *self._batches()))
            or (produced_on is not None and not _between(produced_on, self.from_date, self.until_date))
        )

    def meets(self, other: "Validity") -> bool:
        """Whether some machine could have both."""
        apart_by_batch = _apart(self._batches(), other._batches())  # noqa: SLF001 - its own kind
        apart_by_date = _apart((self.from_date, self.until_date), (other.from_date, other.until_date))
        return not (apart_by_batch or apart_by_date)

    def misfit(self) -> str | None:
        """The bound that contradicts another one, or None."""
        first, last = self._batches()
        if first is not None and last is not None and last < first:
            return "until_batch"
        if self.from_date is not None and self.until_date is not None and self.until_date < self.from_date:
            return "until_date"
        return None

    def _batches(self) -> tuple[Any, Any]:
        return (
            None if self.from_batch is None else batch_order(self.from_batch),
            None if self.until_batch is None else batch_order(self.until_batch),
        )


def _between(value: Any, first: Any, last: Any) -> bool:
    return (first is None or first <= value) and (last is None or value <= last)


def _apart(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    (one_first, one_last), (other_first, other_last) = one, other
    return (one_last is not None and other_first is not None and one_last < other_first) or (
        other_last is not None and one_first is not None and other_last < one_first
    )


def misfits_of_siblings(items: Sequence[tuple[str, Validity]]) -> list[tuple[int, str]]:
    """Which items of one assembly contradict themselves or an earlier one: index and why.

    Two items may share a position when no machine has both: the part and its successor.
    """
    misfits: list[tuple[int, str]] = []
    earlier: dict[str, list[Validity]] = {}
    for index, (position, validity) in enumerate(items):
        wrong = validity.misfit()
        if wrong is not None:
            misfits.append((index, f"{wrong} is before the first one"))
        elif any(validity.meets(other) for other in earlier.get(position, ())):
            misfits.append((index, f"the position {position} is taken by an item of the same machines"))
        earlier.setdefault(position, []).append(validity)
    return misfits


def tree(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Items as a tree, each with its `items`; an item whose assembly is not among them is left out with it.

    Args:
        rows: With `bom_item_id` and `parent_id`, an assembly before what is in it.
    """
    top: list[dict[str, Any]] = []
    by_id: dict[int, dict[str, Any]] = {}
    for row in rows:
        item = {**row, "items": []}
        parent = by_id.get(row["parent_id"]) if row["parent_id"] is not None else None
        if row["parent_id"] is None:
            top.append(item)
        elif parent is None:
            continue
        else:
            parent["items"].append(item)
        by_id[row["bom_item_id"]] = item
    return top


def depth_of(items: Sequence[Any]) -> int:
    """How deep a tree of things with `items` is; 0 when it is empty. Deeper than `DEEPEST_BOM` is not looked at."""
    depth, level = 0, list(items)
    while level and depth <= DEEPEST_BOM:
        depth, level = depth + 1, [item for one in level for item in one.items]
    return depth
