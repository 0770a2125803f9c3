"""Which warehouse a part comes from."""

from datetime import UTC, datetime, timedelta

import pytest

from api.conventions.positions import Position, great_circle_km
from api.reservations.rules import Candidate, Destination, available_at, best_warehouse, why_not

NOW = datetime(2026, 7, 1, tzinfo=UTC)
BERLIN = Position(52.52, 13.405)
MUNICH = Position(48.137, 11.575)
HAMBURG = Position(53.551, 9.994)
NORTH = Destination("north", None)


def candidate(code: str, **fields) -> Candidate:
    given = {"kind": "central", "territory": "north", "position": None, "transfer_days": 1, "available": 1, **fields}
    return Candidate(warehouse_id=1, code=code, **given)


def choose(*candidates: Candidate, place: Destination = NORTH, quantity: int = 1) -> str | None:
    best = best_warehouse(candidates, place, quantity)
    return best and best.code


def test_great_circle_distances_are_those_of_the_atlas() -> None:
    assert great_circle_km(BERLIN, MUNICH) == pytest.approx(504, abs=2)
    assert great_circle_km(BERLIN, BERLIN) == 0
    assert great_circle_km(Position(0, 0), Position(0, 180)) == pytest.approx(20015, abs=1)
    # Across the date line it is a short way.
    assert great_circle_km(Position(0, 179.5), Position(0, -179.5)) == pytest.approx(111.2, abs=0.1)


def test_in_the_territory_a_van_comes_before_a_partner_before_the_central_warehouse() -> None:
    central, partner, van = candidate("C"), candidate("P", kind="partner"), candidate("V", kind="van")
    assert choose(central, partner, van) == "V"
    assert choose(central, partner) == "P"


def test_the_territory_comes_before_everything_else() -> None:
    near = candidate("NEAR", kind="van", territory="south", position=BERLIN, transfer_days=0)
    assert choose(near, candidate("HOME"), place=Destination("north", BERLIN)) == "HOME"


def test_from_elsewhere_the_nearest_by_great_circle() -> None:
    munich = candidate("M", territory="south", position=MUNICH, transfer_days=0)
    hamburg = candidate("H", territory="west", position=HAMBURG, transfer_days=9)
    nowhere = candidate("N", territory="east", transfer_days=0)
    assert choose(nowhere, munich, hamburg, place=Destination("north", BERLIN)) == "H"


def test_without_positions_the_fewest_transfer_days() -> None:
    slow = candidate("S", territory="south", position=MUNICH, transfer_days=3)
    fast = candidate("F", territory="west", position=HAMBURG, transfer_days=2)
    assert choose(slow, fast, place=NORTH) == "F"


def test_a_warehouse_without_enough_is_no_choice() -> None:
    assert choose(candidate("A", available=1), candidate("B", available=2, kind="central"), quantity=2) == "B"
    assert choose(candidate("A", available=1), candidate("B", available=1), quantity=2) is None
    assert choose() is None


def test_equal_warehouses_are_told_apart_always_in_the_same_way() -> None:
    few, many, twin = candidate("A", available=1), candidate("C", available=5), candidate("B", available=5)
    assert choose(few, many, twin) == choose(twin, many, few) == "B"


def test_a_part_of_the_territory_is_there_now_another_after_its_transfer() -> None:
    assert available_at(candidate("A", transfer_days=3), NORTH, NOW) == NOW
    assert available_at(candidate("A", territory="south", transfer_days=3), NORTH, NOW) == NOW + timedelta(days=3)


def test_the_reason_says_what_is_missing() -> None:
    assert why_not(0, 0, 1) == "none on hand"
    assert why_not(2, 2, 1) == "all 2 on hand are reserved for other jobs"
    assert why_not(3, 1, 5) == "5 needed at once, 2 available (3 on hand, 1 reserved)"
