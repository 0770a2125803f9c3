"""Every state machine: its table walked pair by pair, and its picture in the documentation."""

from pathlib import Path

import pytest

from api.conventions.problems import Problem
from api.conventions.states import StateMachine
from api.state_diagrams import machines, page

# A machine that went out of service may come back, as a part may; a clock runs again when its case is opened again, and
# an audit may be opened again.
WITHOUT_END = {"asset", "clock", "completion check", "part"}
MACHINES = {name: machine for name, (_, machine) in machines().items()}


@pytest.mark.parametrize("name", MACHINES)
def test_every_pair_of_state_and_action_is_as_the_table_says(name):
    machine = MACHINES[name]
    for state in machine.states:
        for action in machine.actions:
            to = machine.moves[state].get(action)
            assert machine.next_state(state, action) == to
            if to is not None:
                assert machine.require(7, state, action) == to
                continue
            with pytest.raises(Problem) as refusal:
                machine.require(7, state, action)
            assert refusal.value.status == 409
            assert refusal.value.members == {"state": state, "allowed": machine.actions_of(state)}
            assert action in refusal.value.detail


@pytest.mark.parametrize("name", MACHINES)
def test_every_state_can_be_reached_and_left_or_is_final(name):
    machine = MACHINES[name]
    reached, ahead = {machine.initial}, [machine.initial]
    while ahead:
        for to in machine.moves[ahead.pop()].values():
            if to not in reached:
                reached.add(to)
                ahead.append(to)
    assert reached == set(machine.states)
    assert machine.final or name in WITHOUT_END, "nothing ever ends"


def test_a_table_that_leads_nowhere_is_refused():
    with pytest.raises(ValueError, match="which has no row"):
        StateMachine("kettle", "cold", {"cold": {"heat": "hot"}})
    with pytest.raises(ValueError, match="initial state"):
        StateMachine("kettle", "cold", {"hot": {}})


def test_the_pictures_are_those_of_the_tables():
    shown = (Path(__file__).resolve().parents[2] / "docs" / "states.md").read_text(encoding="utf-8")
    assert shown == page(), "run: python -m api.state_diagrams"
