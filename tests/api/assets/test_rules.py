"""The machine's life, batches as people read them, and what is built into which machine."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.assets.rules import MACHINE, Validity, batch_order, depth_of, misfits_of_siblings, tree
from api.conventions.problems import Problem


def test_the_machine_pair_by_pair() -> None:
    allowed = {("active", "retire"): "retired", ("retired", "return_to_service"): "active"}
    for state in MACHINE.states:
        for action in MACHINE.actions:
            if (state, action) in allowed:
                assert MACHINE.require("X", state, action) == allowed[state, action]
            else:
                with pytest.raises(Problem, match="does not allow"):
                    MACHINE.require("X", state, action)


def test_batches_follow_one_another_as_people_read_them() -> None:
    assert sorted(["B10", "B9", "A100", "B9a"], key=batch_order) == ["A100", "B9", "B9a", "B10"]


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_two_batches_can_be_compared(one: str, other: str) -> None:
    assert (batch_order(one) < batch_order(other)) is not (batch_order(one) >= batch_order(other))


@pytest.mark.parametrize(
    ("validity", "batch", "day", "holds"),
    [
        (Validity(), "B1", date(2026, 1, 1), True),
        (Validity(from_batch="B9"), "B10", None, True),
        (Validity(from_batch="B10"), "B9", None, False),
        (Validity(until_batch="B9"), "B10", None, False),
        (Validity(until_batch="B9"), "B9", None, True),
        (Validity(until_batch="B9"), None, None, True),
        (Validity(from_date=date(2026, 1, 1)), "B1", date(2025, 12, 31), False),
        (Validity(from_date=date(2026, 1, 1)), "B1", date(2026, 1, 1), True),
        (Validity(until_date=date(2026, 1, 1)), None, date(2026, 1, 2), False),
    ],
)
def test_whether_a_part_is_built_in(validity, batch, day, holds) -> None:
    assert validity.holds(batch, day) is holds


def test_a_part_and_its_successor_share_a_position_but_two_at_once_do_not() -> None:
    successor = [("1", Validity(until_batch="B9")), ("1", Validity(from_batch="B10"))]
    assert misfits_of_siblings(successor) == []
    both = [("1", Validity(until_batch="B10")), ("1", Validity(from_batch="B10")), ("2", Validity())]
    assert [index for index, _ in misfits_of_siblings(both)] == [1]
    reversed_bounds = [("1", Validity(from_batch="B10", until_batch="B9"))]
    assert misfits_of_siblings(reversed_bounds)[0][1].startswith("until_batch")


def test_a_tree_leaves_out_what_is_in_an_assembly_that_is_left_out() -> None:
    rows = [
        {"bom_item_id": 1, "parent_id": None},
        {"bom_item_id": 2, "parent_id": 1},
        {"bom_item_id": 4, "parent_id": 3},
        {"bom_item_id": 5, "parent_id": 4},
    ]
    (top,) = tree(rows)
    assert [item["bom_item_id"] for item in top["items"]] == [2]


def test_depth_stops_being_counted_past_the_bound() -> None:
    class Item:
        def __init__(self, depth: int) -> None:
            self.items = [Item(depth - 1)] if depth > 1 else []

    assert (depth_of([]), depth_of([Item(3)]), depth_of([Item(40)])) == (0, 3, 13)
