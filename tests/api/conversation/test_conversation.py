"""Messages, notes, read marks and canned replies over HTTP: who sees what, and what they set in motion."""

from datetime import UTC, datetime, timedelta

import pytest

from careloop.client import CareloopClient, ProblemError
from careloop.database.engine import connect

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def refused(call, *arguments, **named) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        call(*arguments, **named)
    return caught.value


class Case:
    """A repair for a customer, given to a service partner, and those who talk about it."""

    def __init__(self, api) -> None:
        self.api = api
        self.agent, self.lead = api.client("agent"), api.client("admin")
        customer = self.agent.post("/v1/customers", {"name": "Hotel Post", "language": "de"})
        other = self.agent.post("/v1/customers", {"name": "Other"})
        self.customer_id = customer["customer_id"]
        self.agent.post("/v1/product-models", {"code": "HD-5", "name": "HD 5", "kind": "washer", "components": []})
        self.agent.post("/v1/assets", {"serial": "HD5-1", "model": "HD-5", "installed_at": "2025-01-01T00:00:00Z"})
        with connect(api.database_url) as connection:
            connection.execute("UPDATE service.asset SET customer_id = %s", (customer["customer_id"],))
            provider = connection.execute(
                "INSERT INTO service.provider (code, name, created_at) VALUES ('p', 'Partner', now())"
                " RETURNING provider_id"
            ).fetchone()
        body = {"kind": "repair", "serial": "HD5-1", "title": "No pressure"}
        self.ticket_id = self.agent.post("/v1/tickets", body, now=NOW)["ticket_id"]
        with connect(api.database_url) as connection:
            connection.execute(
                "UPDATE service.ticket SET customer_id = %s, provider_id = %s",
                (customer["customer_id"], provider["provider_id"]),
            )
        self.customer = api.scoped_client("customer", customer_id=customer["customer_id"])
        self.stranger = api.scoped_client("customer", customer_id=other["customer_id"])
        self.partner = api.scoped_client("partner_manager", provider_id=provider["provider_id"])

    def path(self, rest: str = "messages") -> str:
        return f"/v1/tickets/{self.ticket_id}/{rest}"

    def say(self, who: CareloopClient, body: str, minute: float = 0, **more) -> dict:
        return who.post(self.path(), {"body": body, **more}, now=NOW + minute * MINUTE)

    def rows(self, query: str) -> list[dict]:
        with connect(self.api.database_url) as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def case(api) -> Case:
    with connect(api.database_url) as connection:
        connection.execute(
            "INSERT INTO service.alert_target (name, kind, url, topics, created_at)"
            " VALUES ('log', 'apprise', 'careloop-log://', '{*}', now())"
        )
    return Case(api)


def bodies(client: CareloopClient, path: str) -> list[str]:
    return [item["body"] for item in client.get(path)["items"]]


def test_a_conversation_and_the_notes_beside_it(case) -> None:
    asked = case.say(case.customer, "It drips.")
    assert (asked["direction"], asked["author_kind"]) == ("in", "customer")
    (waiting,) = case.agent.get("/v1/conversations")["items"]
    assert (waiting["ticket_id"], waiting["awaiting_since"]) == (case.ticket_id, "2026-07-01T08:00:00Z")
    case.agent.post(case.path("notes"), {"body": "Third time this year."}, now=NOW)
    case.agent.post(case.path("notes"), {"body": "Take a seal along.", "for_partner": True}, now=NOW)
    case.partner.post(case.path("notes"), {"body": "Seal is in the van."}, now=NOW)
    case.say(case.agent, "We come on Monday.", 5)
    # The customer sees what is said to it and nothing else; partners what is marked for them; strangers nothing.
    assert bodies(case.customer, case.path()) == ["It drips.", "We come on Monday."]
    assert refused(case.customer.get, case.path("notes")).status == 403
    assert bodies(case.partner, case.path("notes")) == ["Take a seal along.", "Seal is in the van."]
    assert bodies(case.agent, case.path("notes")) == [
        "Third time this year.",
        "Take a seal along.",
        "Seal is in the van.",
    ]
    assert refused(case.stranger.get, case.path()).status == 404
    assert refused(case.say, case.stranger, "hello").status == 404
    assert refused(case.customer.get, case.path("messages/2")).status == 404
    # Answered: nobody waits any more; what was said is told outside, what was noted is not.
    assert case.agent.get("/v1/conversations")["items"] == []
    alerts = case.rows(
        "SELECT topic, cause, subject FROM service.alert WHERE topic LIKE 'ticket.%message' ORDER BY alert_id"
    )
    assert [(alert["topic"], alert["cause"]) for alert in alerts] == [
        ("ticket.customer_message", "message:1"),
        ("ticket.message", "message:5"),
    ]
    assert alerts[1]["subject"] == f"Your case {case.ticket_id}: No pressure"
    # What one has not read: others' messages only, and for a customer no notes.
    assert case.customer.get(case.path("conversation"))["unread"] == 1
    assert case.agent.get(case.path("conversation"))["unread"] == 2
    read = case.agent.post(case.path("messages/read"), {"message_id": asked["message_id"]})
    assert (read["unread"], read["read_up_to"]) == (1, 1)
    assert refused(case.customer.post, case.path("messages/read"), {"message_id": 2}).status == 422
    history = [event["kind"] for event in case.agent.get(case.path("events"))["items"]]
    assert history.count("message") == 2


def test_a_waiting_case_goes_on_when_the_customer_writes(case) -> None:
    case.agent.post(case.path("transitions"), {"to": "waiting_customer"}, now=NOW)
    case.say(case.agent, "Which serial number?", 1)
    assert case.agent.get(f"/v1/tickets/{case.ticket_id}")["state"] == "waiting_customer"
    case.say(case.customer, "HD5-1", 2)
    assert case.agent.get(f"/v1/tickets/{case.ticket_id}")["state"] == "open"
    # Merged, it goes on in the other case, where all of it is read.
    body = {"kind": "repair", "serial": "HD5-1", "title": "The same again", "customer_id": case.customer_id}
    survivor = case.agent.post("/v1/tickets", body, now=NOW)["ticket_id"]
    case.agent.post(case.path("merge"), {"into": survivor}, now=NOW)
    gone = refused(case.say, case.customer, "hello?")
    assert (gone.type, gone.problem["merged_into"]) == ("/problems/conversation-over", survivor)
    case.ticket_id = survivor
    case.say(case.customer, "And it smells.", 3)
    assert bodies(case.customer, case.path()) == ["Which serial number?", "HD5-1", "And it smells."]
    assert case.agent.get(case.path("conversation"))["unread"] == 2
    case.agent.post(case.path("transitions"), {"to": "cancelled"}, now=NOW)
    assert case.agent.get("/v1/conversations")["items"] == []
    over = refused(case.say, case.customer, "One more thing")
    assert (over.status, over.type) == (409, "/problems/conversation-over")
    case.agent.post(case.path("notes"), {"body": "Called; all is well."})


def test_mail_comes_in_once_and_words_can_be_corrected_for_a_while(case) -> None:
    gateway = case.api.client("service")
    mail = {"direction": "in", "channel": "email", "external_id": "<1@example.com>"}
    first = case.say(gateway, "By mail", **mail)
    assert case.say(gateway, "By mail", **mail) == first
    assert refused(case.say, case.customer, "x", external_id="<2@example.com>").status == 422
    assert refused(case.say, case.customer, "x", direction="out").status == 422
    said = case.say(case.agent, "On Mondai")
    path = case.path(f"messages/{said['message_id']}")
    mended = case.agent.patch(path, {"body": "On Monday"}, version=1, now=NOW + 15 * MINUTE)
    assert (mended["body"], mended["version"], mended["edited_at"]) == ("On Monday", 2, "2026-07-01T08:15:00Z")
    assert refused(case.agent.patch, path, {"body": "x"}, version=1, now=NOW).status == 412
    assert refused(case.agent.patch, path, {"body": "x"}, version=2, now=NOW + 16 * MINUTE).type == "/problems/too-late"
    assert refused(case.lead.patch, path, {"body": "x"}, version=2, now=NOW).status == 403
    (kept,) = case.rows("SELECT before FROM service.audit WHERE table_name = 'message' AND action = 'update'")
    assert kept["before"]["body"] == "On Mondai"


def test_canned_replies(case) -> None:
    template = {"code": "photos", "name": "Photos", "body": "Dear $customer, photos of ${serial} please. $agent"}
    english = case.lead.post("/v1/reply-templates", template)
    case.lead.post(
        "/v1/reply-templates", {**template, "language": "de", "body": "Guten Tag $customer: Fotos von $serial"}
    )
    preview = case.agent.get(case.path("reply"), template="photos")
    assert (preview["language"], preview["body"]) == ("de", "Guten Tag Hotel Post: Fotos von HD5-1")
    sent = case.agent.post(case.path(), {"template": "photos", "language": "en"}, now=NOW)
    assert (sent["body"], sent["template"]) == ("Dear Hotel Post, photos of HD5-1 please. test-agent", "photos")
    assert (
        refused(case.agent.post, case.path(), {"template": "nothing"}).problem["errors"][0]["field"] == "body.template"
    )
    assert refused(case.agent.post, case.path(), {"template": "photos", "body": "x"}).status == 422
    assert refused(case.lead.post, "/v1/reply-templates", template).type == "/problems/code-taken"
    assert refused(case.lead.post, "/v1/reply-templates", {**template, "body": "${password}"}).status == 422
    path = f"/v1/reply-templates/{english['template_id']}"
    assert case.lead.patch(path, {"active": False}, version=1)["active"] is False


def test_files_come_with_messages_and_stay_out_of_sight_with_notes(case) -> None:
    import httpx

    def send(client_key: str, name: str) -> int:
        headers = {"Authorization": f"Bearer {client_key}"}
        answer = httpx.post(
            f"{case.api.url}/v1/files", params={"name": name}, content=b"text " + name.encode(), headers=headers
        )
        return answer.json()["file_id"]

    agent_key = case.api.keys["agent"]
    shown, hidden = send(agent_key, "shown.txt"), send(agent_key, "hidden.txt")
    case.agent.post(case.path("notes"), {"body": "Costs", "file_ids": [hidden]}, now=NOW)
    said = case.say(case.agent, "See the manual", file_ids=[shown])
    assert [file["name"] for file in said["files"]] == ["shown.txt"]
    assert refused(case.say, case.agent, "Oops", file_ids=[hidden]).problem["errors"][0]["field"] == "body.file_ids.0"
    assert [file["file_id"] for file in case.customer.get("/v1/files", ticket_id=case.ticket_id)["items"]] == [shown]
    assert refused(case.customer.get, f"/v1/files/{hidden}").status == 404
    assert refused(case.partner.get, f"/v1/files/{hidden}/content").status == 404
    assert refused(case.say, case.customer, "Mine", file_ids=[hidden]).status == 422
    assert (
        refused(
            case.customer.post, f"/v1/files/{shown}/attach", {"ticket_id": case.ticket_id, "audience": "staff"}
        ).status
        == 403
    )
    stranger_key = case.api.scoped_key(
        "customer", customer_id=case.rows("SELECT max(customer_id) AS n FROM service.customer")[0]["n"]
    )
    assert refused(case.say, case.customer, "Theirs", file_ids=[send(stranger_key, "theirs.txt")]).status == 422
