"""The feed by cursor, and webhooks against a real receiver."""

import time

import psycopg
import pytest

from api.feed.delivery import FeedLimits
from careloop.client import ProblemError
from tests.api.feed.conftest import move, open_ticket, receiving, register


def types(events):
    return [event["type"].removeprefix("careloop.") for event in events]


def parked_of(admin, webhook_id, at_least):
    """What is parked; noted after the batch in which it was refused."""
    deadline = time.monotonic() + 30
    while True:
        parked = admin.get(f"/v1/webhooks/{webhook_id}/parked")["items"]
        if len(parked) >= at_least or time.monotonic() > deadline:
            return parked
        time.sleep(0.05)


def test_every_change_comes_once_in_order_and_nothing_appears_behind_a_cursor(api):
    with api.client("agent") as agent:
        register(agent)
        ticket_id = open_ticket(agent)
        first = agent.get("/v1/events", limit=2)
        assert types(first["items"]) == ["asset.active", "asset.active"]
        assert first["items"][0]["data"]["serial"] == "W1"

        # A transaction that drew its number early and commits late.
        late = psycopg.connect(api.database_url)
        late.execute("UPDATE service.asset SET state = 'retired' WHERE serial = 'W2'")
        move(agent, ticket_id, "in_progress")
        second = agent.get("/v1/events", after=first["next"])
        assert types(second["items"]) == ["ticket.open", "ticket.in_progress"]
        assert second["items"][1]["data"] | {"customer_id": 0} == {
            "thing": "ticket",
            "key": str(ticket_id),
            "from": "open",
            "to": "in_progress",
            "actor": "test-agent",
            "ticket_id": ticket_id,
            "serial": "W1",
            "customer_id": 0,
            "provider_id": None,
        }
        assert agent.get("/v1/events", after=second["next"])["items"] == []
        late.commit()
        late.close()
        for to in ("resolved", "closed"):
            move(agent, ticket_id, to)
        third = agent.get("/v1/events", after=second["next"])
        assert types(third["items"]) == ["asset.retired", "ticket.resolved", "ticket.closed"]
        assert agent.get("/v1/events", after=third["next"]) == {"items": [], "next": third["next"]}

        whole = agent.get("/v1/events", limit=500)["items"]
        assert [event["id"] for event in whole] == [
            event["id"] for part in (first, second, third) for event in part["items"]
        ]
        with pytest.raises(ProblemError, match="not a cursor"):
            agent.get("/v1/events", after="§")


def test_a_partner_hears_of_its_own_cases_only(api):
    with api.client("agent") as agent, psycopg.connect(api.database_url, autocommit=True) as connection:
        register(agent)
        ours, theirs = open_ticket(agent, "W1"), open_ticket(agent, "W2")
        one, other = (
            connection.execute(
                "INSERT INTO service.provider (code, name, created_at) VALUES (%s, %s, now()) RETURNING provider_id",
                (code, code),
            ).fetchone()[0]
            for code in ("north", "south")
        )
        for ticket_id, provider_id in ((ours, one), (theirs, other)):
            connection.execute(
                "UPDATE service.ticket SET provider_id = %s WHERE ticket_id = %s", (provider_id, ticket_id)
            )
        move(agent, ours, "in_progress")
        move(agent, theirs, "in_progress")
        with api.scoped_client("partner_manager", provider_id=one) as partner:
            events = partner.get("/v1/events")["items"]
        assert {event["data"]["ticket_id"] for event in events if event["data"]["thing"] == "ticket"} == {ours}
        assert types(events) == ["asset.active", "ticket.open", "ticket.in_progress"] or types(events) == [
            "ticket.open",
            "ticket.in_progress",
        ]


def test_webhooks_get_what_they_want_in_order_per_ticket_and_again_on_replay(serve_api, receiver):
    with serve_api(deliver_feed=FeedLimits(attempts=50, lease_s=20)) as api:
        admin, agent = api.client("admin"), api.client("agent")
        register(agent)
        made = admin.post("/v1/webhooks", {"name": "erp", "url": receiver.url, "types": ["ticket.*"]})
        receiver.secrets = [made["secret"]]
        with pytest.raises(ProblemError, match="already"):
            admin.post("/v1/webhooks", {"name": "erp", "url": receiver.url})
        with pytest.raises(ProblemError, match=r"body\.types"):
            admin.post("/v1/webhooks", {"name": "crm", "url": receiver.url, "types": ["Ticket"]})
        with pytest.raises(ProblemError, match="http"):
            admin.post("/v1/webhooks", {"name": "crm", "url": "ftp://example.com"})

        # One ticket's events are refused for a while: the other's go on, and its own wait in their order.
        stuck = open_ticket(agent, "W1")
        receiver.refuse = lambda event: event["data"]["ticket_id"] == stuck
        receiver.wait_for(lambda r: len(r.refused) == 1)
        move(agent, stuck, "in_progress")
        other = open_ticket(agent, "W2")
        move(agent, other, "in_progress")
        move(agent, stuck, "resolved")
        receiver.wait_for(lambda r: len(r.taken) == 2)
        assert [event["data"]["ticket_id"] for event in receiver.taken] == [other, other]
        parked = parked_of(admin, made["webhook_id"], 2)
        assert [event["type"] for event in parked][:2] == ["ticket.open", "ticket.in_progress"]
        assert "500" in parked[0]["last_error"]
        receiver.refuse = lambda event: False
        receiver.wait_for(lambda r: len(r.taken) == 5, 60)
        assert types(event for event in receiver.taken if event["data"]["ticket_id"] == stuck) == [
            "ticket.open",
            "ticket.in_progress",
            "ticket.resolved",
        ]

        # A new secret: both signatures hold. A replay tells all of it again under the same identities.
        first_time = [event["id"] for event in sorted(receiver.taken, key=lambda event: event["sequence"])]
        renewed = admin.post(f"/v1/webhooks/{made['webhook_id']}/rotate-secret", {})
        assert renewed["secret"] != made["secret"]
        receiver.taken.clear()
        admin.post(f"/v1/webhooks/{made['webhook_id']}/replay", {})
        receiver.wait_for(lambda r: len(r.taken) == 5)
        assert [event["id"] for event in receiver.taken] == first_time
        receiver.secrets = [renewed["secret"]]
        move(agent, stuck, "closed")
        receiver.wait_for(lambda r: len(r.taken) == 6)
        assert receiver.bad_signatures == 0

        # It rests, and goes on where it was.
        seen = admin.get(f"/v1/webhooks/{made['webhook_id']}")
        resting = admin.patch(f"/v1/webhooks/{made['webhook_id']}", {"active": False}, version=seen["version"])
        move(agent, other, "resolved")
        assert resting["active"] is False
        assert len(receiver.taken) == 6
        admin.patch(f"/v1/webhooks/{made['webhook_id']}", {"active": True}, version=resting["version"])
        receiver.wait_for(lambda r: len(r.taken) == 7)
        assert types(receiver.taken[-1:]) == ["ticket.resolved"]


def test_a_receiver_that_is_down_loses_nothing_and_parks_nothing(serve_api):
    with serve_api(deliver_feed=FeedLimits(attempts=50, lease_s=20)) as api, receiving() as receiver:
        admin, agent = api.client("admin"), api.client("agent")
        made = admin.post("/v1/webhooks", {"name": "erp", "url": receiver.url, "types": ["asset.*"]})
        receiver.secrets = [made["secret"]]
        receiver.refuse = lambda event: True
        register(agent, [f"M{number}" for number in range(8)])
        receiver.wait_for(lambda r: len(r.refused) >= 3)
        webhook = admin.get(f"/v1/webhooks/{made['webhook_id']}")
        assert webhook["parked"] < 8
        receiver.refuse = lambda event: False
        receiver.wait_for(lambda r: len({event["subject"] for event in r.taken}) == 8, 60)
