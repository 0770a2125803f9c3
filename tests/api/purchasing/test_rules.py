"""How much is ordered, from whom, when it comes, and who gets what came."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.purchasing.rules import (
    ORDER,
    ORDER_STATES,
    PROMISE,
    PROMISE_STATES,
    Promised,
    Terms,
    best_terms,
    expected_at,
    most_accepted,
    order_quantity,
    share_out,
)
from api.sla.hours import ALWAYS_OPEN, Calendar

WEEKDAYS = Calendar(UTC, (*(((480, 960),),) * 5, (), ()))


@pytest.mark.parametrize(
    ("wanted", "minimum", "pack", "quantity"),
    [(1, 1, 1, 1), (1, 10, 1, 10), (1, 10, 4, 12), (13, 10, 4, 16), (12, 1, 12, 12)],
)
def test_whole_packs_and_the_minimum_at_least(wanted, minimum, pack, quantity) -> None:
    assert order_quantity(wanted, minimum, pack) == quantity


@given(st.integers(1, 10**6), st.integers(1, 1000), st.integers(1, 1000))
def test_never_fewer_than_wanted_and_no_pack_too_many(wanted, minimum, pack) -> None:
    quantity = order_quantity(wanted, minimum, pack)
    assert quantity % pack == 0
    assert max(wanted, minimum) <= quantity < max(wanted, minimum) + pack


@pytest.mark.parametrize(("quantity", "percent", "most"), [(10, 0, 10), (10, 10, 11), (9, 10, 9), (100, 5, 105)])
def test_a_part_of_a_piece_is_not_accepted(quantity, percent, most) -> None:
    assert most_accepted(quantity, percent) == most


def test_the_first_by_place_then_the_soonest() -> None:
    slow = Terms(1, "", 100, "EUR", 30, place=1)
    quick = Terms(2, "", 900, "CNY", 3, place=1)
    last = Terms(3, "", 1, "EUR", 1, place=2)
    assert best_terms([last, slow, quick]) is quick
    assert best_terms([]) is None


def test_what_the_supplier_said_counts_before_its_lead_time() -> None:
    friday = date(2026, 7, 3)
    assert expected_at(ALWAYS_OPEN, friday, 45, None) == datetime(2026, 8, 18, tzinfo=UTC)
    # Ten days later is a Monday, nine a Sunday: both are in on Monday at closing time.
    monday = datetime(2026, 7, 13, 16, tzinfo=UTC)
    assert [expected_at(WEEKDAYS, friday, days, None) for days in (9, 10)] == [monday, monday]
    assert expected_at(WEEKDAYS, friday, 1, date(2026, 7, 14)) == monday + timedelta(days=1)


@given(st.integers(0, 100), st.lists(st.integers(1, 20), max_size=8))
def test_the_first_promised_is_the_first_served(pieces, wanted) -> None:
    promises = [Promised(number, quantity) for number, quantity in enumerate(wanted)]
    shares = share_out(pieces, promises)
    assert sum(share.quantity for share in shares) == min(pieces, sum(wanted))
    assert [share.purchase_promise_id for share in shares] == list(range(len(shares)))
    assert all(share.quantity == wanted[share.purchase_promise_id] for share in shares[:-1])


def test_the_tables_have_the_database_states() -> None:
    assert ORDER.states == ORDER_STATES
    assert PROMISE.states == PROMISE_STATES
