"""What a receipt makes of the pieces on their way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.transfers.rules import OPEN_STATES, TRANSFER, TRANSFER_STATES, Delivery, delivery_of


@pytest.mark.parametrize(
    ("outstanding", "good", "damaged", "delivery"),
    [
        (5, None, 0, Delivery(5, 0, 0)),
        (5, None, 2, Delivery(3, 2, 0)),
        (5, 2, 1, Delivery(2, 1, 2)),
        (5, 0, 5, Delivery(0, 5, 0)),
        (5, 5, 1, None),
        (5, None, 6, None),
    ],
)
def test_what_came(outstanding, good, damaged, delivery) -> None:
    assert delivery_of(outstanding, good, damaged) == delivery


@given(st.integers(1, 50), st.none() | st.integers(0, 60), st.integers(0, 60))
def test_every_piece_is_somewhere(outstanding, good, damaged) -> None:
    delivery = delivery_of(outstanding, good, damaged)
    if delivery is None:
        assert (good or 0) + damaged > outstanding
    else:
        assert delivery.good + delivery.damaged + delivery.rest == outstanding
        assert delivery.action == ("receive_part" if delivery.rest else "receive")


def test_the_table_has_the_database_states() -> None:
    assert TRANSFER.states == TRANSFER_STATES
    assert set(TRANSFER.states) - TRANSFER.final == OPEN_STATES
