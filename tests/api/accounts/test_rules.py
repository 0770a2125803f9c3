"""Who bears, what a claim earns, and what pieces have cost: pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.accounts.rules import Lot, handling_minor, net_pieces, share_of, take, verdict_of


@pytest.mark.parametrize(
    ("parts", "extent", "bearer", "first"),
    [
        (True, "yes", "maker", "covered"),
        (True, "partly", "maker", "shared"),
        (False, "partly", "customer", "shared"),
        (False, "no", "customer", "ended"),
    ],
)
def test_what_is_shared_is_judged_by_the_parts_share(parts, extent, bearer, first) -> None:
    reasons = [{"code": "ended" if extent == "no" else "covered", "text": "…", "term_id": 1}]
    verdict = verdict_of(parts=parts, extent=extent, reasons=reasons)
    assert (verdict.bearer, verdict.reasons[0]["code"]) == (bearer, first)


def test_the_partner_is_credited_for_its_own_stock_only_and_charged_for_the_makers_only() -> None:
    cells = [(bearer, of) for bearer in ("maker", "customer", "partner") for of in ("partner", "maker")]
    assert {cell: share_of(*cell) for cell in cells} == {
        ("maker", "partner"): 1, ("customer", "partner"): 0, ("partner", "partner"): 0,
        ("maker", "maker"): 0, ("customer", "maker"): 0, ("partner", "maker"): -1,
    }  # fmt: skip


def test_handling_rounds_half_a_unit_up() -> None:
    assert handling_minor(10_000, 2, per_piece_minor=100, rate_bp=250) == 450
    assert [handling_minor(minor, 1, per_piece_minor=0, rate_bp=5000) for minor in (1, 2, 3)] == [1, 1, 2]


@given(paid=st.integers(0, 10**9), takes=st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_pieces_of_a_lot_cost_together_what_was_paid_however_they_are_taken(paid, takes) -> None:
    pieces = left = sum(takes)
    worth = []
    for taken in takes:
        (some,), missing = take([Lot(1, 1, pieces, left, paid)], taken)
        assert (some.pieces, missing) == (taken, 0)
        worth.append(some.worth_minor)
        left -= taken
    assert sum(worth) == paid
    assert take([Lot(1, 1, pieces, left, paid)], 2) == ([], 2)


def entry(number, kind, part_id, quantity, reservation_id=None):
    names = ("visit_part_id", "kind", "part_id", "quantity", "reservation_id")
    return dict(zip(names, (number, kind, part_id, quantity, reservation_id), strict=True))


def test_what_was_used_last_came_back_first_and_what_was_never_used_comes_back_from_before() -> None:
    entries = [
        entry(1, "used", 7, 2), entry(2, "used", 8, 1), entry(3, "used", 7, 2), entry(4, "returned", 7, 3),
        entry(5, "returned", 7, 5, reservation_id=1), entry(6, "returned", 8, 3), entry(7, "used", 8, 1),
    ]  # fmt: skip
    assert net_pieces(entries) == ({1: 1, 2: 0, 3: 0, 7: 1}, {8: 2})
