"""Which lines of the ledger a piece's step needs: pure, every pair of the state machine."""

from datetime import UTC, datetime

from api.rotables.rules import PLACES, ROTABLE, Step, days_between, entries

HERE, THERE = 1, 2
IN_A_WAREHOUSE = {"in_stock", "issued", "quarantined"}


def test_every_step_leads_from_where_a_piece_is_to_where_it_is_then() -> None:
    for state, row in ROTABLE.moves.items():
        for action, to in row.items():
            step = Step(
                action, state, to, HERE, THERE if action in {"take_in", "release", "take_back", "find"} else HERE
            )
            lines = entries(7, step)
            if action == "relocate" or (PLACES[state] == "used" and to not in IN_A_WAREHOUSE):
                assert lines == [], (state, action)
                continue
            places = [(line.source.kind, line.source.warehouse_id) for line in lines]
            places.append((lines[-1].target.kind, lines[-1].target.warehouse_id))
            # One line begins where the one before has ended.
            ends = [(line.target.kind, line.target.warehouse_id) for line in lines]
            assert places[1:] == ends, (state, action)
            assert places[0] == (PLACES[state], HERE if state in IN_A_WAREHOUSE else None), (state, action)
            assert places[-1][0] == PLACES[to], (state, action)
            assert all(line.part_id == 7 and line.quantity == 1 for line in lines)
            # The ledger has a warehouse on one side of each line.
            assert all({line.source.warehouse_id, line.target.warehouse_id} != {None} for line in lines)


def test_a_piece_scrapped_out_at_repair_comes_back_on_paper_first() -> None:
    lines = entries(7, Step("scrap", "in_repair", "scrapped", HERE))
    assert [(line.kind, line.source.kind, line.target.kind) for line in lines] == [
        ("repair_in", "repair", "free"),
        ("scrap", "free", "scrapped"),
    ]


def test_days_in_a_machine_are_whole_ones() -> None:
    first, last = datetime(2026, 1, 1, 8, tzinfo=UTC), datetime(2026, 1, 3, 7, tzinfo=UTC)
    assert days_between(first, last) == 1
