"""The front line's right to extend a warranty, over HTTP."""

from datetime import UTC, datetime

import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect
from tests.api.cover.conftest import NOW

EXPIRED = datetime(2026, 4, 10, 9, tzinfo=UTC)
WISH = {"days": 20, "reason": "broke the day after"}


def refused(call):
    with pytest.raises(ProblemError) as problem:
        call()
    return problem.value


def test_an_agent_extends_within_right_and_budget(api, desk) -> None:
    path = "/v1/assets/HD5-1/warranty/extensions"
    (term,) = desk.pages("/v1/warranty-terms", serial="HD5-1")
    expiry = desk.open_ticket(
        {"kind": "warranty_expiry", "serial": "HD5-1", "title": "Ends", "term_id": term["term_id"]}, now=NOW
    )
    assert refused(lambda: desk.post(path, {**WISH, "days": 9}, now=EXPIRED)).problem["code"] == "too-short"
    assert refused(lambda: desk.post(path, {**WISH, "days": 61}, now=EXPIRED)).problem["code"] == "too-long"
    assert refused(lambda: desk.post(path, WISH, now=EXPIRED.replace(month=6))).problem["code"] == "too-late"
    assert refused(lambda: desk.post(path, {**WISH, "ticket_id": 99}, now=EXPIRED)).status == 422
    assert desk.get("/v1/assets/HD5-1/warranty", now=EXPIRED)["covered"] is False
    granted = desk.post(path, {**WISH, "ticket_id": expiry["ticket_id"]}, now=EXPIRED)
    assert (granted["state"], granted["starts_on"], granted["ends_on"]) == ("granted", "2026-04-01", "2026-04-20")
    answer = desk.get("/v1/assets/HD5-1/warranty", now=EXPIRED)
    assert (answer["covered"], answer["days_left"], answer["term"]["source"]) == (True, 10, "extension")
    # What the case announced did not happen.
    case = desk.get(f"/v1/tickets/{expiry['ticket_id']}")
    assert (case["state"], case["outcome"]) == ("resolved", "superseded")
    spent = desk.get("/v1/extension-budget", now=EXPIRED)
    assert (spent["count"], spent["spent_minor"], spent["minor_left"]) == (1, 4000, 96000)
    assert desk.get("/v1/extension-budget", now=EXPIRED.replace(month=5))["count"] == 0
    with connect(api.database_url) as connection:
        audited = connection.execute(
            "SELECT action FROM service.audit WHERE table_name = 'warranty_extension' AND actor = 'test-agent'"
        ).fetchall()
    assert [row["action"] for row in audited] == ["insert", "update"]


def test_two_at_once_cannot_overdraw_and_a_lead_may_go_beyond(api, desk, lead, at_once) -> None:

    # Of what is left of the budget two at once cannot have more than there is.
    rights = {right["role"]: right for right in desk.get("/v1/extension-rights")["items"]}
    path_of_right = "/v1/extension-rights/agent"
    assert refused(lambda: desk.patch(path_of_right, {"monthly_count": 99}, version=1)).status == 403
    cut = {"monthly_minor": 4500, "monthly_count": 2}
    lead.patch(path_of_right, cut, version=rights["agent"]["version"])
    assert refused(lambda: lead.patch(path_of_right, cut, version=rights["agent"]["version"])).status == 412
    for number in range(4):
        term = {"name": "maker", "starts_on": "2024-04-01", "ends_on": "2026-03-31"}
        asset = {"model": "HD-5", "installed_at": "2024-04-01T00:00:00Z", "warranty_terms": [term]}
        desk.post("/v1/assets", {**asset, "serial": f"AT-ONCE-{number}"})
    with api.client("agent") as agent:
        answers = at_once(
            lambda _, number: agent.post(f"/v1/assets/AT-ONCE-{number}/warranty/extensions", WISH, now=EXPIRED),
            range(4),
        )
    problems = [one for one in answers if isinstance(one, ProblemError)]
    assert (len(problems), {one.type for one in problems}) == (3, {"/problems/extension-budget"})
    assert {key: problems[0].problem[key] for key in ("count_left", "minor_left", "cost_minor")} == {
        "count_left": 1,
        "minor_left": 500,
        "cost_minor": 4000,
    }

    # Beyond it a desk lead decides.
    (free,) = (number for number, one in enumerate(answers) if one is problems[0])
    path = f"/v1/assets/AT-ONCE-{free}/warranty/extensions"
    asked = desk.post(path, {**WISH, "days": 100, "ask_lead": True}, now=EXPIRED)
    assert (asked["state"], asked["starts_on"]) == ("requested", None)
    assert desk.get(f"/v1/assets/AT-ONCE-{free}/warranty", now=EXPIRED)["covered"] is False
    assert [one["extension_id"] for one in lead.pages("/v1/warranty-extensions", state="requested")] == [
        asked["extension_id"]
    ]
    grant = f"/v1/warranty-extensions/{asked['extension_id']}"
    assert refused(lambda: desk.post(f"{grant}/grant", {}, now=EXPIRED)).status == 403
    assert refused(lambda: lead.post(f"{grant}/withdraw", {"reason": "no"}, now=EXPIRED)).type.endswith(
        "extension-state"
    )
    given = lead.post(f"{grant}/grant", {"reason": "loyal customer"}, now=EXPIRED)
    assert (given["state"], given["decision"], given["ends_on"]) == ("granted", "loyal customer", "2026-07-09")
    assert refused(lambda: lead.post(f"{grant}/grant", {}, now=EXPIRED)).status == 409
    assert lead.get("/v1/extension-budget", now=EXPIRED)["spent_minor"] == 20000
    withdrawn = lead.post(f"{grant}/withdraw", {"reason": "mistake"}, now=EXPIRED.replace(month=5))
    assert withdrawn["state"] == "withdrawn"
    ask = lambda day: desk.get(f"/v1/assets/AT-ONCE-{free}/warranty", on=day, now=EXPIRED)["covered"]  # noqa: E731
    assert (ask("2026-05-09"), ask("2026-05-10")) == (True, False)

    desk.post("/v1/assets", {"serial": "BARE", "model": "HD-5", "installed_at": "2024-04-01T00:00:00Z"})
    bare = refused(lambda: desk.post("/v1/assets/BARE/warranty/extensions", {**WISH, "ask_lead": True}, now=EXPIRED))
    assert bare.type == "/problems/no-warranty"
