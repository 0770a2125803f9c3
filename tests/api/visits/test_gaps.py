"""Each gap of a completion on its own: from facts that lack nothing, one thing is taken away."""

from dataclasses import replace

import pytest

from api.visits.gaps import Facts, gaps_of
from api.visits.report_models import ReportContent

REPORT = ReportContent.model_validate(
    {
        "serial_found": "HD5-1",
        "diagnosis": {"symptom": "S", "fault": "F", "cause": "C", "remedy": "R"},
        "work_done": "Pump changed.",
        "in_warranty": False,
        "replaced": [{"component": "pump", "reason": "failure"}],
        "signed_by_name": "Wang Wei",
        "signature_file_id": 1,
        "solved": True,
        "outcome": "confirmed",
    }
)
WHOLE = Facts(
    serial="HD5-1",
    ticket_kind="repair",
    checked_in=True,
    work_began=True,
    checked_out=True,
    report=REPORT,
    parts_used=["pump"],
    levels_known=frozenset({"symptom", "fault", "cause", "remedy"}),
    covered=False,
    currency="EUR",
    work_minor=10_000,
    charged_minor=12_000,
    accepted_minor=12_000,
)
OPEN = {"solved": False, "outcome": None, "next_step": "follow_up_visit"}
NOTED = {"note": "Frame is bent."}
NEXT_STEPS = [
    ("mail_in", {**OPEN, "next_step": "mail_in", "follow_up": NOTED}),
    ("escalation", {**OPEN, "next_step": "escalation", "follow_up": NOTED}),
    ("part_order", {**OPEN, "next_step": "part_order", "follow_up": {"sku": "PUMP"}}),
    ("follow_up_visit", OPEN),
]

GAPS = [
    ("check_in", {"checked_in": False}, {}),
    ("begin_work", {"work_began": False}, {}),
    ("check_out", {"checked_out": False}, {}),
    ("tip", {"open_tips": ["power"]}, {}),
    ("check", {"open_checks": [("voltage", "190 V is below 207 V")]}, {}),
    ("step", {"open_steps": [("drain", "is not done")]}, {}),
    ("part", {"parts_kept": ["PUMP"]}, {}),
    ("old_part", {"old_parts_without_serial": ["PUMP"]}, {}),
    ("report", {"report": None}, None),
    ("serial", {}, {"serial_found": None}),
    ("other_serial", {}, {"serial_found": "HD5-2"}),
    ("work_done", {}, {"work_done": ""}),
    ("fault_code", {}, {"diagnosis": {"symptom": "S", "fault": "F", "cause": "C"}}),
    ("replaced", {}, {"replaced": []}),
    ("in_warranty", {}, {"in_warranty": None}),
    ("warranty_note", {"covered": True}, {}),
    ("fees_in_warranty", {"covered": True}, {"in_warranty": True}),
    ("not_accepted", {"accepted_minor": 11_999}, {}),
    ("unpriced", {"unpriced": "no price list fits"}, {}),
    ("entitlement", {"entitlements_short": [("annual_visit", "0 left")]}, {}),
    ("signature", {}, {"signature_file_id": None}),
    ("signer", {}, {"signed_by_name": None}),
    ("solved", {}, {"solved": None}),
    ("no_next_step", {}, {"next_step": "escalation"}),
    ("outcome", {}, {"outcome": None}),
    ("outcome_misfit", {"outcome_misfit": "a preventive case needs more than done"}, {}),
    ("next_step", {}, {**OPEN, "next_step": None}),
    ("next_part", {}, {**OPEN, "next_step": "part_order"}),
    ("next_times", {}, {**OPEN, "follow_up": {"starts_at": "2026-07-09T08:00:00Z"}}),
    ("next_case", {"ticket_kind": None}, {**OPEN, "next_step": "mail_in", "follow_up": NOTED}),
    ("next_mode", {"can_be_mailed": False}, {**OPEN, "next_step": "mail_in", "follow_up": NOTED}),
    ("next_note", {}, {**OPEN, "next_step": "escalation"}),
]


def facts(changes: dict, report: dict | None) -> Facts:
    content = None if report is None else ReportContent.model_validate({**REPORT.model_dump(), **report})
    return replace(WHOLE, **{"report": content, **changes})


@pytest.mark.parametrize(("code", "changes", "report"), GAPS, ids=[gap[0] for gap in GAPS])
def test_each_gap_alone_is_named_alone(code, changes, report) -> None:
    (gap,) = gaps_of(facts(changes, report))
    assert gap.code == code
    assert gap.field
    assert gap.message


def test_all_gaps_are_named_at_once() -> None:
    """Nobody should have to try again to learn of the next thing that is missing."""
    bare = Facts(
        serial="HD5-1", ticket_kind="repair", checked_in=False, work_began=False, checked_out=False, report=None
    )
    report = ReportContent()
    codes = {gap.code for gap in gaps_of(replace(bare, report=report, levels_known=WHOLE.levels_known))}
    assert codes >= {"check_in", "begin_work", "check_out", "serial", "work_done", "fault_code", "in_warranty"}
    assert codes >= {"signature", "solved"}
    assert {gap.code for gap in gaps_of(bare)} == {"check_in", "begin_work", "check_out", "report"}


@pytest.mark.parametrize(("step", "report"), NEXT_STEPS, ids=[step for step, _ in NEXT_STEPS])
def test_what_is_not_solved_needs_only_its_next_step(step, report) -> None:
    assert gaps_of(facts({}, report)) == []


def test_what_need_not_be_told_is_no_gap() -> None:
    assert gaps_of(WHOLE) == []
    # Without a signature, the reason for it will do.
    assert gaps_of(facts({}, {"signature_file_id": None, "no_signature_reason": "nobody there"})) == []
    # Another machine than expected, and said why; against the warranty's answer, and said why.
    assert gaps_of(facts({}, {"serial_found": "HD5-2", "findings": "Plates were swapped."})) == []
    assert gaps_of(facts({"covered": True}, {"warranty_note": "Misuse."})) == []
    # The maker bears some of it, the customer the rest.
    assert gaps_of(facts({"covered": True, "partly": True}, {"in_warranty": True})) == []
    # A machine that is not mended has no remedy, and maintenance no diagnosis.
    without_remedy = {"diagnosis": {"symptom": "S", "fault": "F", "cause": "C"}}
    assert gaps_of(facts({}, {**OPEN, **without_remedy})) == []
    assert gaps_of(facts({"ticket_kind": "preventive"}, {"diagnosis": {}})) == []
    assert gaps_of(facts({"levels_known": frozenset()}, {"diagnosis": {}})) == []
