"""Which sources a timeline joins, in which order, and where a page of it ends. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

Kind = Literal[
    "asset", "owner", "firmware", "warranty", "claim", "ticket", "job", "visit", "part", "failure", "replacement",
    "repair", "quote", "document", "event", "milestone", "offline",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)

# Each source's statement, by the kind of its entries. Those of telemetry are planned anew for each asset.
SERVICE_SOURCES: Mapping[Kind, tuple[str, ...]] = {
    "asset": ("asset_facts",),
    "owner": ("owners",),
    "firmware": ("firmware",),
    "warranty": ("warranty_terms", "warranty_purchases", "warranty_extensions", "warranty_denials"),
    "claim": ("supplier_claims",),
    "ticket": ("tickets", "ticket_states"),
    "job": ("jobs",),
    "visit": ("visits",),
    "part": ("parts_of_jobs", "parts_of_visits"),
    "failure": ("failures",),
    "replacement": ("replacements",),
    "repair": ("repairs", "repair_nodes"),
    "quote": ("quotes",),
    "document": ("documents",),
}
TELEMETRY_SOURCES: Mapping[Kind, tuple[str, ...]] = {
    "event": ("machine_events",),
    "milestone": ("first_reading", "running_hours"),
    "offline": ("silences", "agent_offline"),
}

FIRST = datetime(1, 1, 1, tzinfo=UTC)
# A milestone every so many hours of a metric that only grows.
HOURS_STEP = 500
METERS = ("running_hours", "operating_hours")


@dataclass(frozen=True)
class Place:
    """A place in the timeline: entries are in descending order of time, rank of the source, number.

    Attributes:
        at: Time.
        rank: Of the source; -1 is after everything of that instant.
        number: Of the entry in its source.
    """

    at: datetime
    rank: int = -1
    number: int = 0

    def __str__(self) -> str:
        return f"{self.at.astimezone(UTC).isoformat()}|{self.rank}|{self.number}"


def parse_place(cursor: str) -> Place:
    """The place that a page ended at.

    Raises:
        ValueError: It is none.
    """
    text, _, rest = cursor.partition("|")
    rank, _, number = rest.partition("|")
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or len(rank) > 4 or len(number) > 20:
        raise ValueError("is no place in a timeline")
    place = Place(at, int(rank), int(number))
    if not -1 <= place.rank <= 999 or not -(2**63) <= place.number < 2**63:
        raise ValueError("is no place in a timeline")
    return place


def place_of(row: Mapping[str, Any]) -> Place:
    """The place of an entry."""
    return Place(row["at"], row["rank"], row["number"])


def newest(batches: Iterable[Sequence[Mapping[str, Any]]], most: int) -> list[Mapping[str, Any]]:
    """The newest entries of several lists, each in order."""
    rows = [row for batch in batches for row in batch]
    return sorted(rows, key=lambda row: (row["at"], row["rank"], row["number"]), reverse=True)[:most]
