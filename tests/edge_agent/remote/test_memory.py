"""What is on disk of a remote configuration, through every turn it can take."""

import pytest

from careloop.contract.remote import ConfigReport, DesiredConfig
from edge_agent.remote.memory import Interval, RemoteMemory

ONE, TWO = DesiredConfig(1, "h1", {"log_level": "DEBUG"}), DesiredConfig(2, "h2", {"log_level": "ERROR"})


def begun(memory: RemoteMemory, desired: DesiredConfig) -> RemoteMemory:
    return memory.begin(desired, could_publish=True)


def test_applied_proved_and_replaced() -> None:
    memory = begun(RemoteMemory(), ONE)
    assert (memory.in_force, memory.report) == (ONE, ConfigReport(1, "applied", "", "h1", proved=False))
    memory = memory.prove()
    assert (memory.in_force, memory.proved, memory.candidate) == (ONE, ONE, None)
    assert memory.report == ConfigReport(1, "applied", "", "h1", proved=True)
    memory = begun(memory, TWO)
    assert (memory.in_force, memory.proved) == (TWO, ONE)


def test_rolled_back_to_what_was_proved() -> None:
    memory = begun(begun(RemoteMemory(), ONE).prove(), TWO).roll_back("too large")
    assert memory.in_force == ONE
    assert memory.report == ConfigReport(2, "rolled_back", "too large", "h1", proved=True)
    assert memory.has_seen(TWO)
    alone = begun(RemoteMemory(), ONE).roll_back("no")
    assert (alone.in_force, alone.report.hash) == (None, "")


def test_refused_leaves_what_is_in_force_and_may_be_judged_anew() -> None:
    memory = begun(RemoteMemory(), ONE).refuse(TWO, "rules.0: no")
    assert memory.in_force == ONE
    assert memory.report == ConfigReport(2, "refused", "rules.0: no", "h1", proved=False)
    assert not memory.has_seen(TWO)
    assert memory.prove().report == ConfigReport(2, "refused", "rules.0: no", "h1", proved=True)
    # The older one goes, and what is reported of the newer one stays.
    assert memory.roll_back("x").report.reason == "rules.0: no"


def test_a_new_platform_with_the_same_version_is_told_from_the_old_one() -> None:
    memory = begun(RemoteMemory(), ONE).prove()
    assert memory.has_seen(ONE)
    assert not memory.has_seen(DesiredConfig(1, "other", {}))


def test_crashes_are_counted_and_stops_are_not() -> None:
    memory = begun(RemoteMemory(), ONE)
    assert memory.crashed().crashed().candidate.crashes == 2
    assert memory.stopped().crashed().candidate.crashes == 0
    assert RemoteMemory().crashed() == RemoteMemory().stopped() == RemoteMemory()


def test_a_file_that_changed_drops_the_settings_and_says_so() -> None:
    memory = begun(RemoteMemory(), ONE).prove().drop("sources.plc: there is no such source")
    assert memory.in_force is None
    assert memory.report == ConfigReport(1, "refused", "sources.plc: there is no such source", "", proved=True)


@pytest.mark.parametrize(
    "memory",
    [
        RemoteMemory(),
        begun(RemoteMemory(), ONE),
        begun(begun(RemoteMemory(), ONE).prove(), TWO).crashed(),
        begun(RemoteMemory(), ONE).roll_back("x"),
        RemoteMemory(intervals={"plc": Interval(5.0, None), "line": Interval(1.0, 1e9)}),
    ],
)
def test_it_is_stored_and_read_again(memory) -> None:
    assert RemoteMemory.from_text(memory.to_text()) == memory


@pytest.mark.parametrize("text", [None, "", "{", "[]", '"x"', '{"candidate": 7}', '{"proved": {"version": 0}}'])
def test_what_cannot_be_read_is_an_empty_memory(text) -> None:
    assert RemoteMemory.from_text(text) == RemoteMemory()
