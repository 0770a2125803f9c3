"""Rule sets from the draft to retirement, and tried on past visits before that."""

from datetime import timedelta

from tests.api.completion_audit.conftest import AUDIT

SETS = f"{AUDIT}/rule-sets"
PHOTOS = {"code": "photos", "kind": "photos", "parameters": {"least": 2}, "verdict": "reject"}


def test_a_rule_set_is_drafted_tried_switched_on_and_followed(desk, completed, check_of) -> None:
    past(desk, completed, check_of)
    draft = drafted(desk)
    tried(desk, draft)
    switched_on(desk, draft, completed, check_of)
    followed(desk, draft)


def past(desk, completed, check_of) -> None:
    """Two visits under the rules that careloop comes with: one with two photos, one a rework without."""
    assert check_of(completed(24, photos=[desk.photo(), desk.photo(colour="green")]))["state"] == "passed"
    assert check_of(completed(48))["state"] == "manual"


def drafted(desk) -> dict:
    (house,) = desk.get("agent", SETS)["items"]
    assert (house["number"], house["state"], house["active_from"]) == (1, "active", "2000-01-01T00:00:00Z")
    kinds = {kind["name"]: kind for kind in desk.get("engineer", f"{AUDIT}/kinds")["items"]}
    assert "within_days" in kinds["rework"]["parameters"]["properties"]
    assert desk.refused("agent", "POST", SETS, {"name": "Mine", "rules": [PHOTOS]})["status"] == 403
    for wrong in ({"rules": [PHOTOS, PHOTOS]}, {"rules": [{**PHOTOS, "kind": "moon"}]}, {}, {"copy_of": 99}):
        assert desk.refused("engineer", "POST", SETS, {"name": "Wrong", **wrong})["status"] == 422
    copy = desk.post("engineer", SETS, {"name": "Spring", "copy_of": house["rule_set_id"]})
    assert (copy["number"], copy["state"], len(copy["rules"])) == (2, "draft", 23)
    path = f"{SETS}/{copy['rule_set_id']}"
    changed = desk.call("engineer", "PATCH", path, {"rules": [PHOTOS]}, **{"If-Match": '"1"'})
    assert changed["rules"][0]["if_unknown"] == "ignore"
    assert desk.refused("engineer", "PATCH", path, {"note": "late"}, **{"If-Match": '"1"'})["status"] == 412
    empty = desk.post("engineer", SETS, {"name": "Empty", "rules": []})
    empty_path = f"{SETS}/{empty['rule_set_id']}"
    assert desk.refused("desk_lead", "POST", f"{empty_path}/activate")["type"] == "/problems/no-rules"
    assert desk.post("engineer", f"{empty_path}/discard")["state"] == "discarded"
    return changed


def tried(desk, draft) -> None:
    """Both past visits under both sets; nothing of them changes."""
    path = f"{SETS}/{draft['rule_set_id']}/trials"
    before = desk.rows("SELECT state, runs, version FROM service.completion_check ORDER BY 1, 2")
    wanted = {"since": "2026-07-01T00:00:00Z", "until": "2026-07-10T00:00:00Z"}
    trial = desk.post("engineer", path, wanted)
    assert (trial["found"], trial["judged"], trial["against_id"]) == (2, 2, 1)
    outcome = trial["outcome"]
    assert outcome["tried"] == {"passed": 1, "rejected": 1, "manual": 0}
    assert outcome["against"] == {"passed": 1, "rejected": 0, "manual": 1}
    assert outcome["moves"] == {"manual>rejected": 1}
    (different,) = outcome["differences"]
    assert (different["state"], different["recorded"], different["tried_reasons"]) == ("manual", "manual", ["photos"])
    assert different["against_reasons"] == ["rework"]
    assert outcome["tried_rules"] == [{"rule": "photos", "visits": 1}]
    assert desk.rows("SELECT state, runs, version FROM service.completion_check ORDER BY 1, 2") == before
    assert desk.post("engineer", path, {**wanted, "sample": 1})["judged"] == 1
    assert desk.post("engineer", path, {**wanted, "provider_id": 1, "since": "2026-07-09T00:00:00Z"})["found"] == 0
    assert desk.refused("engineer", "POST", path, {**wanted, "provider_id": 9})["status"] == 422
    assert [one["judged"] for one in desk.get("agent", path)["items"]] == [2, 1, 0]
    assert desk.get("agent", f"{AUDIT}/trials/{trial['completion_trial_id']}")["outcome"] == outcome
    assert desk.refused("engineer", "POST", path, {**wanted, "until": wanted["since"]})["status"] == 422


def switched_on(desk, draft, completed, check_of) -> None:
    """From a day to come; until then, and for visits completed until then, the old set holds."""
    path = f"{SETS}/{draft['rule_set_id']}"
    start = desk.now + timedelta(hours=12)
    at = {"active_from": start.isoformat()}
    late = {"active_from": (desk.now - timedelta(hours=1)).isoformat()}
    assert desk.refused("desk_lead", "POST", f"{path}/activate", late)["errors"][0]["field"] == "body.active_from"
    assert desk.post("desk_lead", f"{path}/activate", at)["state"] == "planned"
    other = desk.post("engineer", SETS, {"name": "Other", "copy_of": 1})
    refused = desk.refused("desk_lead", "POST", f"{SETS}/{other['rule_set_id']}/activate")
    assert refused["type"] == "/problems/another-set-planned"
    assert desk.post("desk_lead", f"{path}/withdraw")["active_from"] is None
    assert desk.post("desk_lead", f"{path}/activate", at)["state"] == "planned"
    visit_id = completed(54)
    desk.now = start + timedelta(hours=1)
    assert check_of(visit_id)["rule_set_version"] == 1
    assert [one["state"] for one in desk.get("agent", SETS)["items"]] == ["retired", "active", "discarded", "draft"]
    after = check_of(completed(72))
    assert (after["rule_set_version"], after["state"]) == (2, "rejected")


def followed(desk, draft) -> None:
    """What was active never changes again, and its successor may begin at once."""
    path = f"{SETS}/{draft['rule_set_id']}"
    version = desk.get("agent", path)["version"]
    patched = desk.refused("engineer", "PATCH", path, {"note": "x"}, **{"If-Match": f'"{version}"'})
    assert patched["type"] == "/problems/rule-set-state"
    for action in ("activate", "withdraw", "discard"):
        assert desk.refused("desk_lead", "POST", f"{path}/{action}")["status"] == 409
    desk.now += timedelta(hours=1)
    successor = desk.post("desk_lead", f"{SETS}/4/activate")
    assert (successor["state"], desk.get("agent", path)["state"]) == ("active", "retired")
    # A rejected visit under the rules that hold now: no photo is wanted any more, but it is a rework.
    (rejected,) = desk.get("agent", f"{AUDIT}/checks?state=rejected")["items"]
    check = f"{AUDIT}/checks/{rejected['completion_check_id']}"
    assert desk.post("agent", f"{check}/recheck", {})["state"] == "rejected"
    again = desk.post("agent", f"{check}/recheck", {"rules": "now"})
    assert (again["state"], again["rule_set_version"], again["runs"]) == ("manual", 4, 3)
