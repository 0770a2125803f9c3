"""Where a part for a job comes from, and when it can be at the site: pure."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.conventions.positions import Position, great_circle_km

# A van is at the door already; a partner is around the corner; the central warehouse is for everybody. From
# repair centres and quarantine nothing is given to a job.
NEARNESS_OF_KIND: dict[str, int] = {"van": 0, "partner": 1, "central": 2}


@dataclass(frozen=True)
class Destination:
    """Where a part is needed."""

    territory: str
    position: Position | None


@dataclass(frozen=True)
class Candidate:
    """A warehouse that stocks the part.

    Attributes:
        warehouse_id: Its number.
        code: Its name on labels.
        kind: `van`, `partner` or `central`.
        territory: Which it serves.
        position: If known.
        transfer_days: Until a part from here can be at a site of another territory.
        available: Pieces on hand and not reserved.
    """

    warehouse_id: int
    code: str
    kind: str
    territory: str
    position: Position | None
    transfer_days: int
    available: int


def best_warehouse(candidates: Iterable[Candidate], place: Destination, quantity: int) -> Candidate | None:
    """The warehouse to take a part from, or None when no single one has enough.

    One of the site's territory before any other; there a van before a partner before a central warehouse. From other
    territories the nearest by great circle where both positions are known, else the one with the fewest transfer days.
    Equal ones are told apart by distance, then by who has most, then by code, so that the choice is always the same.
    """
    enough = [candidate for candidate in candidates if candidate.available >= quantity]
    return min(enough, key=lambda candidate: _preference(candidate, place), default=None)


def _preference(candidate: Candidate, place: Destination) -> tuple[bool, tuple[float, ...], int, str]:
    away = candidate.territory != place.territory
    known = candidate.position is not None and place.position is not None
    distance_km = math.inf
    if candidate.position is not None and place.position is not None:
        distance_km = great_circle_km(candidate.position, place.position)
    kind = NEARNESS_OF_KIND[candidate.kind]
    # A warehouse of unknown position comes after all known ones: what is not known can't be called near.
    order = (distance_km if known else math.inf, candidate.transfer_days, kind) if away else (kind, distance_km)
    return away, order, -candidate.available, candidate.code


def available_at(candidate: Candidate, place: Destination, now: datetime) -> datetime:
    """When the part can be at the site: at once from the same territory, else after the transfer."""
    if candidate.territory == place.territory:
        return now
    return now + timedelta(days=candidate.transfer_days)


def why_not(on_hand: int, reserved: int, quantity: int, kind: str = "central") -> str:
    """Why a warehouse can't give a part, in words for a dispatcher."""
    if on_hand and kind not in NEARNESS_OF_KIND:
        return f"{on_hand} on hand, but a {kind.replace('_', ' ')} gives nothing to jobs; transfer them first"
    if on_hand == 0:
        return "none on hand"
    if reserved == on_hand:
        return f"all {on_hand} on hand are reserved for other jobs"
    free = on_hand - reserved
    return f"{quantity} needed at once, {free} available ({on_hand} on hand, {reserved} reserved)"
