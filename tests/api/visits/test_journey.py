"""A visit from the first offer to the report, over HTTP only, each step by who does it."""

import io
from datetime import timedelta

from pypdf import PdfReader


def test_a_visit_goes_from_the_offer_to_the_report(desk) -> None:
    visit = desk.visit(24, 48)
    choose(desk, visit)
    travel(desk, visit)
    make_safe(desk, visit)
    work(desk, visit)
    use_parts(desk, visit)
    complete(desk, visit)
    look_back(desk, visit)


def choose(desk, visit) -> None:
    """The customer chooses the second time by the link in the message, without a login."""
    path = f"/v1/visits/{visit['visit_id']}"
    assert (visit["state"], [slot["state"] for slot in visit["slots"]]) == ("planned", ["offered", "offered"])
    link = desk.post("agent", f"{path}/links")
    offered = desk.get("nobody", link["path"])
    assert (offered["serial"], offered["technician"], len(offered["slots"])) == ("HD5-1", "Ada", 2)
    chosen = desk.post("nobody", f"{link['path']}/confirm", {"slot_id": offered["slots"][1]["slot_id"]})
    assert (chosen["state"], chosen["starts_at"]) == ("confirmed", "2026-07-03T08:00:00Z")
    assert desk.refused("nobody", "POST", f"{link['path']}/confirm")["type"] == "/problems/visit-state"
    assert desk.refused("nobody", "GET", "/v1/visits/by-token/" + "x" * 43)["status"] == 404


def travel(desk, visit) -> None:
    """The technician's day, everything for it in one call, and on the way."""
    path = f"/v1/visits/{visit['visit_id']}"
    (line,) = desk.get("technician", "/v1/visits?day=2026-07-03")["items"]
    assert (line["visit_id"], line["site"], line["time_zone"]) == (visit["visit_id"], "Main house", "Europe/Berlin")
    assert desk.get("technician", "/v1/visits?day=2026-07-02")["items"] == []
    assert desk.get("colleague", "/v1/visits?day=2026-07-03")["items"] == []
    pack = desk.get("technician", f"{path}/pack")
    assert (pack["sop"]["code"], pack["sop"]["version"], len(pack["fault_codes"])) == ("PUMP-CHANGE", 1, 4)
    assert (pack["customer"]["name"], pack["warranty"]["covered"], pack["stock"][0]["sku"]) == (
        "Hotel Berlin",
        True,
        "PUMP",
    )
    # What is written of the procedure from now on is for later visits.
    desk.post("engineer", "/v1/sops", {"code": "PUMP-CHANGE", "title": "Change the pump, differently"})
    desk.now += timedelta(days=2)
    desk.post("technician", f"{path}/contacts", {"channel": "phone", "result": "reached", "person": "Wang Wei"})
    desk.post("technician", f"{path}/depart", {})
    arrived = desk.post(
        "technician",
        f"{path}/check-in",
        {
            "latitude": 52.51,
            "longitude": 13.4,
            "accuracy_m": 50,
            "sent_at": (desk.now + timedelta(hours=1)).isoformat(),
        },
    )
    position = arrived["positions"][-1]
    assert (round(position["distance_m"]), position["warnings"]) == (1112, ["far", "clock"])
    assert desk.get("agent", f"/v1/jobs/{visit['job_id']}")["state"] == "in_progress"
    assert arrived["state"] == "started"


def make_safe(desk, visit) -> None:
    """Nothing begins before tips and checks; a value outside its limits is kept, and keeps the work from beginning."""
    path = f"/v1/visits/{visit['visit_id']}"
    refused = desk.refused("technician", "POST", f"{path}/begin-work")
    assert (refused["type"], refused["tips"]) == ("/problems/unsafe-to-begin", ["power"])
    low = desk.entry("voltage", result="pass", value=190)
    batch = desk.entries(checks=[low, desk.entry("space", result="pass"), desk.entry("unheard")], steps=[])
    answers = desk.post("technician", f"{path}/entries", batch)["items"]
    assert [(one["code"], one["outcome"], one["fit"]) for one in answers] == [
        ("power", "kept", True),
        ("voltage", "kept", False),
        ("space", "kept", True),
        ("unheard", "refused", None),
    ]
    assert answers[1]["message"] == "190 V is below 207 V"
    refused = desk.refused("technician", "POST", f"{path}/begin-work")
    assert refused["checks"] == [{"code": "voltage", "message": "Mains voltage: 190 V is below 207 V"}]
    desk.now += timedelta(minutes=5)
    again = {"checks": [low, desk.entry("voltage", result="pass", value=231)]}
    answers = desk.post("technician", f"{path}/entries", again)["items"]
    assert [one["outcome"] for one in answers] == ["known", "kept"]
    assert desk.post("technician", f"{path}/begin-work")["work_began_at"] is not None


def work(desk, visit) -> None:
    """Steps, one of them told late and out of order: the one made last counts."""
    path = f"/v1/visits/{visit['visit_id']}"
    photo = desk.photo()
    first = desk.entry("pressure", value=100)
    desk.now += timedelta(minutes=20)
    steps = [
        desk.entry("pressure", value=140),
        first,
        desk.entry("drain"),
        desk.entry("hose", choice="changed"),
        desk.entry("plate", photo_file_id=photo),
        desk.entry("plate", photo_file_id=999),
    ]
    answers = desk.post("technician", f"{path}/entries", {"steps": steps})["items"]
    assert [one["outcome"] for one in answers] == ["kept"] * 5 + ["refused"]
    progress = {one["code"]: one for one in desk.get("technician", path)["progress"]}
    assert (progress["pressure"]["value"], progress["plate"]["photo_file_id"]) == (140, photo)


def use_parts(desk, visit) -> None:
    """Two pumps were kept: one is built in, one comes back; one more from the van, and back again."""
    path = f"/v1/visits/{visit['visit_id']}"
    used = desk.use_pump(visit, 1, old_part="return_to_maker")
    assert (used["parts"][0]["component"], desk.stock()) == ("pump", (9, 1))
    entry = {"entry_id": used["parts"][0]["entry_id"], "kind": "used", "sku": "PUMP", "warehouse": "VAN-1"}
    desk.post("technician", f"{path}/parts", entry)
    assert desk.stock() == (9, 1)
    van = {"kind": "used", "sku": "PUMP", "warehouse": "VAN-1", "entry_id": "00000000-0000-0000-0000-000000000001"}
    desk.post("technician", f"{path}/parts", van)
    back = {**van, "kind": "returned", "entry_id": "00000000-0000-0000-0000-000000000002"}
    desk.post("technician", f"{path}/parts", back)
    many = {**back, "quantity": 5, "entry_id": "00000000-0000-0000-0000-000000000003"}
    assert desk.refused("technician", "POST", f"{path}/parts", many)["type"] == "/problems/not-taken"
    assert desk.stock() == (9, 1)

    # All gaps at once.
    gaps = desk.refused("technician", "POST", f"{path}/complete")
    assert (gaps["status"], gaps["type"]) == (409, "/problems/completion-gaps")
    assert [gap["code"] for gap in gaps["gaps"]] == ["check_out", "part", "old_part", "report"]
    rest = {**back, "reservation_id": used["parts"][0]["reservation_id"], "warehouse": None}
    kept = desk.get("agent", f"/v1/jobs/{visit['job_id']}")["reservations"]
    rest["reservation_id"] = next(one["reservation_id"] for one in kept if one["state"] == "reserved")
    desk.post("technician", f"{path}/parts", {**rest, "entry_id": "00000000-0000-0000-0000-000000000004"})
    assert desk.stock() == (9, 0)


def complete(desk, visit) -> None:
    """Out, the report, and done."""
    path = f"/v1/visits/{visit['visit_id']}"
    used = desk.get("technician", path)
    desk.post("technician", f"{path}/check-out", {"latitude": 52.5, "longitude": 13.4})
    assert [gap["code"] for gap in desk.get("technician", f"{path}/completion-check")["gaps"]] == ["old_part", "report"]
    fate = {"old_part": "return_to_maker", "old_serial": "OLD-7"}
    desk.post("technician", f"{path}/parts/{used['parts'][0]['visit_part_id']}/old-part", fate)
    report = desk.report(correction={"firmware": "2.1", "location": "laundry"}, photos=[desk.photo(colour="green")])
    saved = desk.call("technician", "PUT", f"{path}/report", report)
    assert (saved["version"], saved["frozen_at"]) == (1, None)
    assert desk.refused("technician", "PUT", f"{path}/report", report)["status"] == 412
    assert desk.refused("customer", "GET", f"{path}/report")["status"] == 404
    check = desk.get("technician", f"{path}/completion-check")
    assert (check["gaps"], check["complete"], check["warranty"]["covered"]) == ([], True, True)
    done = desk.post("technician", f"{path}/complete")
    assert (done["state"], done["actions"]) == ("completed", [])


def look_back(desk, visit) -> None:
    """What follows: job, case, facts, machine, and the report for everybody concerned."""
    path = f"/v1/visits/{visit['visit_id']}"
    done = desk.get("agent", path)
    job = desk.get("agent", f"/v1/jobs/{visit['job_id']}")
    ticket = desk.get("agent", f"/v1/tickets/{visit['ticket_id']}")
    assert (job["state"], ticket["state"], ticket["outcome"]) == ("completed", "resolved", "confirmed")
    (failure,) = desk.get("agent", "/v1/failures?serial=HD5-1")["items"]
    (replacement,) = desk.get("agent", "/v1/replacements?serial=HD5-1")["items"]
    assert failure["restored_at"] == replacement["at"] == done["checked_out_at"]
    asset = desk.get("agent", "/v1/assets/HD5-1")
    assert (asset["attributes"]["location"], asset["firmware"]) == ("laundry", "2.1")
    shown = desk.get("customer", f"{path}/report")
    assert (shown["asset_after"], shown["bill"]) == ({"location": "laundry", "firmware": "2.1"}, None)
    pdf = desk.send("customer", "GET", f"/v1/files/{done['pdf_file_id']}/content")
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.content)).pages)
    for words in ("Service report", "HD5-1", "Hotel Berlin", "Pump worn", "140 bar", "Wang Wei", "Page 1 of"):
        assert words in text, words

    # Late entries are not lost, and change nothing any more.
    late = desk.post("technician", f"{path}/entries", {"steps": [desk.entry("drain", note="late")]})["items"]
    assert late[0]["outcome"] == "kept"
    assert any(one["late"] for one in desk.get("technician", path)["progress"])
    seen = desk.get("customer", path)
    assert (seen["positions"], seen["contacts"], seen["progress"]) == ([], [], [])
