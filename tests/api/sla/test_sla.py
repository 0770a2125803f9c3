"""Calendars, policies and the clocks of a case over HTTP."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect

# A Wednesday, in Shanghai 16:00.
NOW = datetime(2026, 2, 11, 8, tzinfo=UTC)
DAYS = ("mon", "tue", "wed", "thu", "fri")
OFFICE = [{"weekday": day, "opens": "09:00", "closes": "18:00"} for day in DAYS]
CHINA = {"code": "cn", "name": "China", "time_zone": "Asia/Shanghai", "hours": OFFICE, "country": "CN"}
ALWAYS = {
    "code": "always",
    "name": "Always",
    "hours": [{"weekday": day, "opens": "00:00", "closes": "24:00"} for day in (*DAYS, "sat", "sun")],
}


def refused(call, *arguments, **named) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        call(*arguments, **named)
    return caught.value


def after(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


class Desk:
    """A desk lead with a machine whose cases are timed."""

    def __init__(self, api) -> None:
        self.api, self.client = api, api.client("desk_lead")
        self.client.post("/v1/product-models", {"code": "HD-5", "name": "HD 5", "kind": "washer", "components": []})
        self.client.post("/v1/assets", {"serial": "HD5-1", "model": "HD-5", "installed_at": "2025-01-01T00:00:00Z"})
        self.client.post("/v1/calendars", ALWAYS, now=NOW)

    def promise(self, name: str, **more) -> dict:
        body = {"name": name, "calendar": "always", "first_response_minutes": 60, "solution_minutes": 1000, **more}
        return self.client.post("/v1/sla-policies", body, now=NOW)

    def open(self, kind: str = "repair", minute: float = 0, **more) -> int:
        body = {"kind": kind, "serial": "HD5-1", "title": "No pressure", **more}
        return self.client.post("/v1/tickets", body, now=after(minute))["ticket_id"]

    def move(self, ticket_id: int, to: str, minute: float) -> None:
        self.client.post(f"/v1/tickets/{ticket_id}/transitions", {"to": to}, now=after(minute))

    def clocks(self, ticket_id: int, minute: float = 0) -> dict[str, dict]:
        items = self.client.get(f"/v1/tickets/{ticket_id}/clocks", now=after(minute))["items"]
        return {clock["kind"]: clock for clock in items}

    def run(self, minute: float) -> dict[str, int]:
        with self.api.client("service") as service:
            return service.post("/v1/duties/run", {}, now=after(minute))

    def rows(self, query: str) -> list[dict]:
        with connect(self.api.database_url) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def desk(api) -> Desk:
    return Desk(api)


def at(time: str) -> datetime:
    return datetime.fromisoformat(time)


def test_a_calendar_keeps_its_holidays(desk) -> None:
    lead = desk.client
    calendar = lead.post("/v1/calendars", CHINA, now=NOW)
    assert (calendar["holidays_until"], calendar["hours"]) == (2028, OFFICE)
    assert lead.get("/v1/calendars/cn") == calendar
    days = {day["day"]: day for day in lead.get("/v1/calendars/cn/days", year=2026)["items"]}
    assert days["2026-02-17"]["hours"] == []
    assert days["2026-02-14"]["hours"] == [{"opens": "09:00", "closes": "18:00"}]
    # To 18:00, Thursday, Friday, and one hour of the worked Saturday.
    due = lead.get("/v1/calendars/cn/due", now=NOW, minutes=120 + 2 * 540 + 60)
    assert due == {"due_at": "2026-02-14T02:00:00Z"}
    # The house's own day holds against the library's, for days to come only.
    with httpx.Client(base_url=desk.api.url, headers={"Authorization": f"Bearer {desk.api.keys['desk_lead']}"}) as http:

        def put(day: str, hours: list) -> httpx.Response:
            body = {"name": "stocktaking", "hours": hours}
            return http.put(f"/v1/calendars/cn/days/{day}", json=body, headers={"Careloop-Now": NOW.isoformat()})

        assert put("2026-02-14", []).json()["source"] == "own"
        assert put("2026-02-10", []).json()["type"] == "/problems/day-past"
        assert lead.get("/v1/calendars/cn/due", now=NOW, minutes=1260) == {"due_at": "2026-02-24T02:00:00Z"}
        removed = http.delete("/v1/calendars/cn/days/2026-02-14", headers={"Careloop-Now": NOW.isoformat()})
        assert removed.status_code == 204
    # The library again: days from now on only, and never what is past.
    desk.rows("UPDATE service.calendar_day SET name = 'as it was' WHERE day = '2026-01-01' RETURNING day")
    desk.rows("UPDATE service.calendar_day SET name = 'moved' WHERE day = '2026-02-17' RETURNING day")
    fresh = lead.post("/v1/calendars/cn/holidays", {"first_year": 2026, "last_year": 2026}, now=NOW)
    assert (fresh["added"], fresh["removed"]) == (1, 1)
    days = {day["day"]: day["name"] for day in lead.get("/v1/calendars/cn/days", year=2026)["items"]}
    assert days["2026-01-01"] == "as it was"
    assert days["2026-02-17"] != "moved"
    # Years to come are taken by themselves.
    assert desk.run(60 * 24 * 365 * 2)["holidays"] == 1
    assert lead.get("/v1/calendars/cn")["holidays_until"] == 2030
    assert refused(lead.post, "/v1/calendars", CHINA, now=NOW).type == "/problems/code-taken"
    for field, value in (("time_zone", "Mars/Base"), ("country", "XX"), ("subdivision", "Atlantis")):
        problem = refused(lead.post, "/v1/calendars", {**CHINA, "code": "x", field: value}, now=NOW)
        assert problem.problem["errors"][0]["field"] == f"body.{field}"
    assert refused(lead.post, "/v1/calendars/always/holidays", {"first_year": 2026, "last_year": 2026}).status == 409
    assert refused(desk.api.client("agent").post, "/v1/calendars", CHINA).status == 403


def test_the_clocks_of_a_case_from_opening_to_reopening(desk) -> None:
    assert desk.clocks(desk.open()) == {}
    desk.promise("repairs", kinds=["repair"], appointment_minutes=240)
    case = desk.open()
    clocks = desk.clocks(case)
    assert {kind: clock["due_at"] for kind, clock in clocks.items()} == {
        "first_response": "2026-02-11T09:00:00Z",
        "appointment": "2026-02-11T12:00:00Z",
        "solution": "2026-02-12T00:40:00Z",
    }
    assert (clocks["solution"]["policy"], clocks["solution"]["state"]) == ("repairs", "running")
    # An answer stops the first; waiting for the customer does not count.
    desk.client.post(f"/v1/tickets/{case}/messages", {"body": "Which serial number?"}, now=after(10))
    desk.move(case, "waiting_customer", 10)
    clocks = desk.clocks(case, 500)
    assert [(clock["state"], clock["due_at"]) for clock in clocks.values()][1:] == [("paused", None)] * 2
    assert (clocks["first_response"]["state"], clocks["first_response"]["breached"]) == ("stopped", False)
    desk.move(case, "open", 510)
    assert at(desk.clocks(case)["appointment"]["due_at"]) == after(740)
    assert desk.clocks(case)["appointment"]["pauses"] == [
        {"since": "2026-02-11T08:10:00Z", "until": "2026-02-11T16:30:00Z"}
    ]
    # Another priority, another promise from the start on; none for what has stopped.
    desk.promise("urgent repairs", place=1, priorities=["urgent"], appointment_minutes=None, solution_minutes=600)
    version = desk.client.get(f"/v1/tickets/{case}")["version"]
    desk.client.patch(f"/v1/tickets/{case}", {"priority": "urgent"}, version=version, now=after(520))
    clocks = desk.clocks(case)
    assert set(clocks) == {"first_response", "solution"}
    assert (at(clocks["solution"]["due_at"]), clocks["solution"]["policy"]) == (after(1100), "urgent repairs")
    # Resolved late: breached, and told even though the clock has stopped. Reopened, it runs on.
    desk.move(case, "resolved", 1200)
    assert desk.clocks(case, 1200)["solution"]["breached"] is True
    assert desk.run(1201)["escalations"] == 2
    desk.client.post(f"/v1/tickets/{case}/transitions", {"to": "open", "reason": "it drips again"}, now=after(2000))
    assert desk.clocks(case, 2000)["solution"]["state"] == "running"
    assert at(desk.clocks(case, 2000)["solution"]["due_at"]) == after(1100)
    events = [event["kind"] for event in desk.client.get(f"/v1/tickets/{case}/events")["items"]]
    assert events.count("sla_breached") == 1


def test_what_is_due_stands_first_and_follows_its_calendar(desk) -> None:
    lead = desk.client
    lead.post("/v1/calendars", CHINA, now=NOW)
    desk.promise(
        "by office hours", kinds=["complaint"], calendar="cn", first_response_minutes=None, solution_minutes=180
    )
    desk.promise("others", place=200, first_response_minutes=None, solution_minutes=30)
    complaint, first, second = desk.open("complaint"), desk.open("repair"), desk.open("consultation", minute=5)
    assert lead.get(f"/v1/tickets/{complaint}/clocks")["items"][0]["due_at"] == "2026-02-12T02:00:00Z"
    page = lead.get("/v1/clocks", now=after(32), limit=2)
    assert [(item["ticket_id"], item["overdue"]) for item in page["items"]] == [(first, True), (second, False)]
    rest = lead.get("/v1/clocks", now=after(32), limit=2, after=page["next"])
    assert ([item["ticket_id"] for item in rest["items"]], rest["next"]) == ([complaint], None)
    assert [item["ticket_id"] for item in lead.get("/v1/clocks", now=after(32), overdue="true")["items"]] == [first]
    assert refused(lead.get, "/v1/clocks", after="bm9uc2Vuc2U").status == 422
    # Closed tomorrow after all: clocks that run follow.
    path = f"{desk.api.url}/v1/calendars/cn/days/2026-02-12"
    headers = {"Authorization": f"Bearer {desk.api.keys['admin']}", "Careloop-Now": NOW.isoformat()}
    assert httpx.put(path, json={"name": "typhoon"}, headers=headers).status_code == 200
    assert desk.run(1)["changed-calendars"] == 1
    assert desk.clocks(complaint)["solution"]["due_at"] == "2026-02-13T02:00:00Z"
    assert desk.run(1)["changed-calendars"] == 0
    # A policy that changes holds for cases to come.
    (policy,) = [item for item in lead.get("/v1/sla-policies")["items"] if item["name"] == "others"]
    path = f"/v1/sla-policies/{policy['policy_id']}"
    assert lead.patch(path, {"solution_minutes": 90}, version=1)["solution_minutes"] == 90
    assert refused(lead.patch, path, {"solution_minutes": None}, version=2).status == 422
    assert refused(lead.patch, path, {"name": "by office hours"}, version=2).type == "/problems/name-taken"
    assert refused(lead.patch, path, {"place": 1}, version=1).status == 412
    assert at(desk.clocks(desk.open("repair"))["solution"]["due_at"]) == after(90)
    assert at(desk.clocks(first)["solution"]["due_at"]) == after(30)
    assert refused(lead.get, "/v1/tickets/999/clocks").status == 404
    assert refused(desk.promise, "none", solution_minutes=None, first_response_minutes=None).status == 422
    assert refused(desk.promise, "x", calendar="nowhere").problem["errors"][0]["field"] == "body.calendar"
