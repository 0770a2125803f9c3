"""Many hands on one visit: real threads against the real server and database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier


def at_once(desk, requests) -> list:
    """Send all requests at the same moment; the answers in order."""
    gate = Barrier(len(requests))

    def send(request):
        gate.wait(30)
        return desk.send(*request)

    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(send, requests))


def test_a_visit_is_completed_once_and_nothing_is_doubled(desk) -> None:
    """Completions, the job's own completion, its cancelling and the parts' telling, all at the same moment."""
    visit = desk.visit(24)
    path = f"/v1/visits/{visit['visit_id']}"
    desk.on_site(visit)
    used = desk.use_pump(visit)
    desk.now += timedelta(hours=1)
    desk.post("technician", f"{path}/check-out")
    desk.call("technician", "PUT", f"{path}/report", desk.report())
    entries = desk.entries()
    part = {"kind": "used", "sku": "PUMP", "warehouse": "VAN-1", "entry_id": used["parts"][0]["entry_id"]}
    answers = at_once(
        desk,
        [
            *[("technician", "POST", f"{path}/complete", {})] * 4,
            *[("technician", "POST", f"{path}/entries", entries)] * 3,
            *[("technician", "POST", f"{path}/parts", part)] * 3,
            ("dispatcher", "POST", f"/v1/jobs/{visit['job_id']}/cancel", {"reason": "sold"}),
            ("service", "POST", f"/v1/jobs/{visit['job_id']}/complete", {"outcome": "confirmed"}),
        ],
    )
    codes = [answer.status_code for answer in answers]
    assert max(codes) < 500, codes
    ended = [*codes[:4], *codes[-2:]]
    assert ended.count(200) == 1, ended
    assert all(
        answer.json()["type"] in {"/problems/visit-state", "/problems/job-state", "/problems/visit-owes-report"}
        for answer in answers
        if answer.status_code == 409
    )
    (counts,) = desk.rows(
        """
        SELECT (SELECT count(*) FROM service.visit_entry WHERE kind = 'tip') AS tips,
               (SELECT count(*) FROM service.file WHERE media_type = 'application/pdf') AS papers,
               (SELECT count(*) FROM service.replacement) AS replacements,
               (SELECT count(*) FROM service.visit_part) AS parts,
               (SELECT count(*) FROM service.visit_report WHERE frozen_at IS NOT NULL) AS frozen
        """
    )
    by_report = 200 in codes[:4]
    assert counts == {"tips": 2, "papers": by_report, "replacements": by_report, "parts": 1, "frozen": by_report}
    assert desk.stock() == (8, 0)
    assert desk.get("agent", path)["state"] == "completed"


def test_moves_of_one_appointment_come_one_after_another(desk) -> None:
    """Of those who have seen the same version one moves it; whatever comes first, a visit is in one place."""
    visit = desk.visit(24, 48)
    path, tag = f"/v1/visits/{visit['visit_id']}", {"If-Match": '"1"'}
    slot = visit["slots"][1]["slot_id"]
    later = {**desk.slot(72), "reason": "planning_error", "caused_by": "maker"}

    def reschedule():
        return desk.send("agent", "POST", f"{path}/reschedule", later, **tag)

    gate = Barrier(6)

    def work(what):
        gate.wait(30)
        return what()

    confirm = ("customer", "POST", f"{path}/confirm", {"slot_id": slot})
    off = ("agent", "POST", f"{path}/cancel", {"reason": "sold"})
    calls = [reschedule, reschedule, lambda: desk.send(*confirm), lambda: desk.send(*confirm)]
    calls += [lambda: desk.send(*off), lambda: desk.send(*off)]
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(work, calls))
    codes = [answer.status_code for answer in answers]
    assert max(codes) < 500, codes
    assert codes[:2].count(200) <= 1
    assert codes[4:].count(200) == 1, codes
    after = desk.get("agent", path)
    assert after["state"] == "cancelled"
    assert len([change for change in after["changes"] if change["kind"] == "reschedule"]) == codes[:2].count(200)
    assert desk.get("agent", f"/v1/jobs/{visit['job_id']}")["state"] == "waiting"
