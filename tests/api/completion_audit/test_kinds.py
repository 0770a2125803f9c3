"""Each kind of rule: what it finds, what it lets pass, and when it cannot tell."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from api.completion_audit.facts import Facts
from api.completion_audit.judging import Judgement, ready
from api.completion_audit.judging import judge as judge_ready
from api.completion_audit.kinds.kind import Unknown
from api.completion_audit.kinds.registry import KINDS
from api.completion_audit.models import Rule
from api.completion_audit.rules import action_of, applies, verdict_of
from tests.api.completion_audit.conftest import AT


def judge(facts: Facts, rules: list[Rule]) -> Judgement:
    return judge_ready(facts, ready(rules))


NOT_COVERED = {
    "covered": False, "parts": False, "labour": False, "travel": False, "bearer": "customer", "reason": "ended",
}  # fmt: skip
LABOUR = {"kind": "labour", "code": "", "quantity": 60, "unit": "minute", "net_minor": 8000, "customer_minor": 8000}
TRAVEL = {"kind": "travel", "code": "", "quantity": 60, "unit": "km", "net_minor": 6000, "customer_minor": 6000}
PARTS = {"kind": "part", "code": "PUMP", "quantity": 3, "unit": "piece", "net_minor": 900, "customer_minor": 900}
CHARGED = {"currency": "EUR", "visit_minor": 9520, "agreed_minor": 0, "other_minor": 0}


def bill(*lines: dict) -> dict:
    return {"currency": "EUR", "gross_minor": sum(line["customer_minor"] for line in lines), "lines": list(lines)}


def earlier(**changes: object) -> dict:
    given = {
        "visit_id": 3, "completed_at": AT - timedelta(days=10), "same_day": False, "days": 10.0, "same_provider": True,
        "same_technician": True, "same_job": False, "job_kind": "repair", "component": "pump", "fault": "F1",
    }  # fmt: skip
    return {**given, **changes}


PART = {
    "sku": "SEAL", "used": 2, "used_by_job": 3, "moved": 2, "fits": False, "serialised": True, "serials": 1,
    "old_without_fate": 1,
}  # fmt: skip

# kind, parameters, what of the facts is otherwise, a piece of each message found (None: cannot tell).
CASES = [
    ("report", {}, {"report": None}, ["without a report"]),
    ("serial", {}, {"report__serial_found": None}, ["is missing"]),
    ("serial", {}, {"report__serial_found": "HD5-2"}, ["the plate says HD5-2"]),
    ("serial", {"must_match": False}, {"report__serial_found": "HD5-2"}, []),
    ("serial", {}, {"report": None}, None),
    ("fault_code", {"levels": ["fault", "remedy"]}, {"report__fault": None, "report__remedy": None}, ["fault, remedy"]),
    ("fault_code", {"levels": ["remedy"]}, {"report__remedy": None, "report__solved": False}, []),
    ("fault_code", {"if_not_solved": False}, {"report__fault": None, "report__solved": False}, []),
    ("fault_code", {}, {"report__fault": None, "levels_known": ["symptom"]}, []),
    ("photos", {"least": 3}, {}, ["2 of 3 photos"]),
    ("photo_reused", {}, {"reused": [{"file_id": 9, "asset_id": 4}]}, ["photo 9"]),
    ("signature", {}, {"report__signed": False}, ["signature is missing"]),
    ("signature", {}, {"report__signed": False, "report__unsigned_noted": True}, []),
    ("signature", {"reason_suffices": False}, {"report__signed": False, "report__unsigned_noted": True}, ["signature"]),
    ("charged_though_covered", {}, {"bill": bill(LABOUR), "charges": CHARGED}, ["80.00 EUR that maker bears"]),
    ("charged_though_covered", {"tolerance_minor": 8000}, {"bill": bill(LABOUR), "charges": CHARGED}, []),
    # Taken back meanwhile: nothing of what the visit charged is left.
    ("charged_though_covered", {}, {"bill": bill(LABOUR), "charges": {**CHARGED, "visit_minor": 0}}, []),
    ("charged_though_covered", {}, {"charges": {**CHARGED, "other_minor": 500}}, ["5.00 EUR"]),
    ("charged_though_covered", {}, {"charges": {**CHARGED, "agreed_minor": 500}}, []),
    ("charged_though_covered", {"with_agreed_fees": True}, {"charges": {**CHARGED, "agreed_minor": 500}}, ["5.00"]),
    ("charged_though_covered", {}, {"warranty__travel": False, "bill": bill(TRAVEL), "charges": CHARGED}, []),
    ("charged_though_covered", {}, {"warranty": None}, None),
    ("free_though_not_covered", {}, {"warranty": NOT_COVERED}, ["nothing was charged"]),
    ("free_though_not_covered", {}, {"warranty": NOT_COVERED, "bill": bill(LABOUR), "charges": CHARGED}, []),
    ("free_though_not_covered", {}, {"warranty": NOT_COVERED, "report__solved": False, "parts": []}, []),
    ("warranty_claim", {}, {"report__in_warranty": False}, ["out of warranty without a word", ]),
    ("warranty_claim", {}, {"warranty": None}, None),
    ("fee_range", {"line": "labour", "currency": "EUR", "most_minor": 7999}, {"bill": bill(LABOUR)}, ["above 79.99"]),
    ("fee_range", {"line": "total", "currency": "EUR", "least_minor": 15000}, {"bill": bill(LABOUR)}, ["below"]),
    ("fee_range", {"line": "labour", "currency": "EUR", "most_minor": 8000}, {"bill": bill(LABOUR, TRAVEL)}, []),
    ("fee_range", {"line": "fee", "currency": "EUR", "least_minor": 1}, {"bill": bill(LABOUR)}, []),
    ("fee_range", {"line": "total", "currency": "CNY", "most_minor": 1}, {"bill": bill(LABOUR)}, None),
    ("travel_distance", {}, {"bill": bill(TRAVEL)}, []),
    ("travel_distance", {"ways": 1}, {"bill": bill(TRAVEL)}, ["60 km of travel are billed, 33 km may be"]),
    ("travel_distance", {}, {"bill": bill(TRAVEL), "base": None}, None),
    ("travel_distance", {}, {"base": None}, []),
    ("travel_time", {}, {"report__travel_minutes": 90}, ["90 min of travel are told, 80 min may be"]),
    ("travel_time", {}, {"report__travel_minutes": None}, None),
    ("parts_against_stock", {}, {"parts": [PART]}, ["SEAL: 3 reported and 0 billed, 2 taken"]),
    ("parts_against_stock", {"tolerance": 1}, {"parts": [PART]}, []),
    ("parts_against_stock", {}, {"bill": bill(PARTS), "charges": CHARGED}, ["2 reported and 3 billed, 2 taken"]),
    ("parts_against_stock", {"billed_too": False}, {"bill": bill(PARTS), "charges": CHARGED}, []),
    ("part_does_not_fit", {}, {"parts": [PART]}, ["SEAL does not fit a HD-5"]),
    ("part_does_not_fit", {}, {"parts": [{**PART, "fits": None}]}, []),
    ("part_serial", {}, {"parts": [PART]}, ["1 of 2 fitted without"]),
    ("old_part", {}, {"parts": [PART]}, ["the old part is not told"]),
    ("replaced_without_part", {}, {"parts": []}, ["pump reported as replaced"]),
    ("time_order", {}, {"times__checked_out_at": AT - timedelta(hours=1)}, ["checked out"]),
    ("time_order", {}, {"times__completed_at": AT}, ["completed"]),
    ("time_order", {"tolerance_minutes": 60}, {"times__completed_at": AT}, []),
    ("time_order", {"past_appointment_hours": 2}, {"times__starts_at": AT + timedelta(hours=3)}, ["far from the"]),
    ("labour_minutes", {"least_minutes": 10, "most_minutes": 40}, {}, ["50 min on site; 10 to 40"]),
    ("labour_minutes", {"most_minutes": 55}, {"bill": bill(LABOUR), "charges": CHARGED}, ["60 min billed"]),
    ("labour_minutes", {"most_minutes": 40}, {"times__checked_out_at": None}, None),
    ("labour_beyond_presence", {}, {"bill": bill({**LABOUR, "quantity": 66}), "charges": CHARGED}, ["66 min of"]),
    ("labour_beyond_presence", {}, {"bill": bill(LABOUR), "charges": CHARGED}, []),
    ("far_from_site", {"most_km": 0.05}, {}, ["checked in 0.10 km"]),
    ("far_from_site", {}, {"devices__check_in_km": None}, None),
    ("clock_off", {"most_minutes": 1}, {"devices__clock_off_s": 61.0}, ["1 min off"]),
    ("clock_off", {}, {"devices__clock_off_s": None}, None),
    ("told_late", {"most_hours": 1, "after_the_end": 0},
     {"devices__told_late_s": 7200.0, "devices__after_the_end": 1}, ["2 h after", "1 entries"]),
    ("second_installation", {}, {"job_kind": "installation", "installed_by": 3}, ["by visit 3"]),
    ("second_installation", {}, {"installed_by": 3}, []),
    ("twice_a_day", {}, {"earlier": [earlier(same_day=True)]}, ["visit 3"]),
    ("twice_a_day", {}, {"earlier": [earlier(same_day=True, same_job=True)]}, []),
    ("twice_a_day", {"whose": "technician"}, {"earlier": [earlier(same_day=True, same_technician=False)]}, []),
    ("rework", {}, {"earlier": [earlier()]}, ["fault F1 again 10 days after visit 3"]),
    ("rework", {"within_days": 9}, {"earlier": [earlier()]}, []),
    ("rework", {}, {"earlier": [earlier(fault="F2")]}, ["component pump again"]),
    ("rework", {"same": "fault"}, {"earlier": [earlier(fault="F2")]}, []),
    ("rework", {}, {"earlier": [earlier(same_provider=False)]}, []),
    ("rework", {"same_provider": False}, {"earlier": [earlier(same_provider=False)]}, ["rework"]),
    ("many_visits", {}, {"report__solved": False, "earlier": [earlier(same_job=True)]}, ["2 visits for one job"]),
    ("many_visits", {}, {"report__solved": False}, []),
    ("sample", {"per_mille": 1000}, {}, ["1000 of 1000"]),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[3]}"[:60])
def test_each_kind_finds_what_it_looks_for(case, facts) -> None:
    name, parameters, changes, wanted = case
    kind = KINDS[name]
    answer = kind.look(facts(**changes), kind.parameters.model_validate(parameters))
    if wanted is None:
        assert isinstance(answer, Unknown)
        return
    assert not isinstance(answer, Unknown), answer
    assert len(answer) == len(wanted), answer
    for found, piece in zip(answer, wanted, strict=True):
        assert piece in found.message


def test_every_kind_has_a_case_that_finds_and_a_good_visit_has_no_finding(facts) -> None:
    assert {case[0] for case in CASES if case[3]} == set(KINDS)
    least = {"fee_range": {"line": "total", "currency": "EUR", "most_minor": 0}, "labour_minutes": {"most_minutes": 60}}
    for kind in KINDS.values():
        if kind.name != "sample":
            answer = kind.look(facts(), kind.parameters.model_validate(least.get(kind.name, {})))
            assert list(answer) == [], kind.name


def test_a_sample_takes_its_share_and_always_the_same(facts) -> None:
    kind = KINDS["sample"]
    visits = [facts(visit_id=number) for number in range(1, 2001)]
    for salt in ("", "spring"):
        parameters = kind.parameters.model_validate({"per_mille": 100, "salt": salt})
        taken = [bool(kind.look(one, parameters)) for one in visits]
        assert 150 < sum(taken) < 250
        assert taken == [bool(kind.look(one, parameters)) for one in visits]


def test_facts_survive_being_frozen(facts) -> None:
    there = facts(earlier=[earlier()], bill=bill(LABOUR))
    assert Facts.model_validate_json(there.model_dump_json()) == there


def test_a_visit_is_judged_by_the_gravest_finding_within_each_rules_scope(facts) -> None:
    few = {"kind": "photos", "parameters": {"least": 9}}
    note = Rule(code="a", verdict="note", **few)
    manual = Rule(code="b", verdict="manual", scope={"models": ["HD-5"], "job_kinds": ["repair"]}, **few)
    reject = Rule(code="c", verdict="reject", text="More photos, please.", **few)
    elsewhere = Rule(code="d", verdict="reject", scope={"countries": ["CN"]}, **few)
    unknown = Rule(code="e", kind="far_from_site", verdict="note", if_unknown="manual")
    blind = facts(devices__check_in_km=None)
    assert judge(blind, [note]).verdict == "passed"
    assert (judge(blind, [note, manual]).verdict, judge(blind, [note, manual]).reasons) == ("manual", ["b"])
    assert judge(blind, [manual, reject, elsewhere]).findings[1].message == "More photos, please."
    assert judge(blind, [manual, reject]).verdict == "rejected"
    assert judge(blind, [elsewhere]).findings == []
    (found,) = judge(blind, [unknown]).findings
    assert (found.verdict, found.unknown) == ("manual", True)
    assert judge(facts(), [unknown]).findings == []
    assert not applies({"countries": ["CN"]}, {"countries": None})
    assert verdict_of([]) == "passed"


def test_what_a_person_refused_the_rules_do_not_pass() -> None:
    assert action_of("rejected", "passed", refused_before=True) == "refer"
    assert action_of("rejected", "passed", refused_before=False) == "pass"
    assert action_of("rejected", "rejected", refused_before=True) == "reject"
    assert action_of("manual", "passed", refused_before=False) == "refer"
    assert action_of("due", "manual", refused_before=False) == "refer"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"kind": "moon", "parameters": {}}, "no kind moon"),
        ({"kind": "photos", "parameters": {"least": 0}}, "least: Input should be greater"),
        ({"kind": "photos", "parameters": {"most": 1}}, "most: Extra inputs"),
        ({"kind": "fee_range", "parameters": {"line": "labour", "currency": "EUR"}}, "least_minor, most_minor or both"),
        ({"kind": "labour_minutes", "parameters": {"least_minutes": 9, "most_minutes": 3}}, "must not be above"),
        ({"kind": "rework", "parameters": {"within_days": float("nan")}}, "within_days"),
        ({"kind": "sample", "parameters": {"per_mille": 1, "salt": "\x00"}}, "NUL"),
        ({"kind": "photos", "told": False, "verdict": "reject"}, "must be told why"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rule, words) -> None:
    with pytest.raises(ValidationError, match=words):
        Rule(**{"code": "x", "verdict": "manual", **rule})
