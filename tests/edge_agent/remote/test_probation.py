"""What new settings are to blame for, and what not."""

import pytest

from edge_agent.remote.probation import Evidence, Verdict, judge_probation


def judged(could_publish: bool = True, batch_s: float = 1.0, **happened) -> Verdict:
    return judge_probation(Evidence(**happened), could_publish=could_publish, probation_s=120, batch_s=batch_s)


@pytest.mark.parametrize(
    ("happened", "blame"),
    [
        ({"never_taken": 2, "formed": 3, "taken": 1}, "will never take 2"),
        ({"link_s": 130, "formed": 3, "unanswered_s": 120}, "without an answer for 120 s"),
        ({"link_s": 3, "formed": 3, "connections": 5}, "came up 5 times and broke"),
        ({"link_s": 120, "formed": 3, "taken": 3, "polls": {"plc": 3}, "errors": {"plc": "no"}},
         "sources.plc.interval_s: it could be read before, and failed 3 times: no"),
    ],
)  # fmt: skip
def test_blamed(happened, blame) -> None:
    verdict = judged(**happened)
    assert blame in verdict.blame
    assert not verdict.proved


@pytest.mark.parametrize(
    "happened",
    [
        {"link_s": 0, "formed": 99},  # the broker is away
        {"link_s": 119, "formed": 3, "taken": 3},  # not yet
        {"link_s": 130, "formed": 0},  # nothing to send
        {"link_s": 130, "formed": 3, "unanswered_s": 10},  # formed a moment ago
        {"link_s": 500, "formed": 3, "unanswered_s": 500, "could_publish": False},  # it took none before either
        {"link_s": 130, "formed": 3, "taken": 3, "batch_s": 100},  # no two batches yet
        {"link_s": 30, "formed": 9, "taken": 1, "connections": 9},  # a bad link that lets something through
    ],
)
def test_neither_proved_nor_blamed(happened) -> None:
    assert judged(**happened) == Verdict()


def test_a_source_that_answers_once_is_no_failure_and_one_that_brings_nothing_says_nothing() -> None:
    evidence = Evidence(link_s=120, formed=1, taken=1, polls={"plc": 0})
    for error in ("x", "y", "z", ""):
        evidence.note_poll("plc", 0, error)
        evidence.note_poll("other", 0, "not watched")
    assert judge_probation(evidence, could_publish=True, probation_s=120, batch_s=1).blame.endswith("3 times: z")
    evidence.note_poll("plc", 1, "")
    for _ in range(9):
        evidence.note_poll("plc", 0, "later")
    assert judge_probation(evidence, could_publish=True, probation_s=120, batch_s=1).proved
