"""Finding tickets: by lists, saved ones, counts and words."""

from datetime import UTC, datetime

import pytest

from api.tickets.filters import SCAN
from api.tickets.models import FoundTicket, Ticket
from api.tickets.words import words_of
from careloop.client import ProblemError
from careloop.database.engine import connect

NOW = datetime(2026, 1, 10, 6, tzinfo=UTC)


@pytest.fixture
def sql(api):
    with connect(api.database_url) as connection:
        yield connection


def ids(client, **query):
    return [ticket["ticket_id"] for ticket in client.pages("/v1/tickets", now=NOW, **query)]


def found(client, question, **query):
    answer = client.get("/v1/tickets/search", now=NOW, q=question, **query)
    assert all(set(ticket) == set(FoundTicket.model_fields) for ticket in answer["items"])
    return [ticket["ticket_id"] for ticket in answer["items"]]


def refused(call, *given, **named):
    with pytest.raises(ProblemError) as problem:
        call(*given, **named)
    errors = problem.value.problem.get("errors")
    return problem.value.status, errors[0]["field"] if errors else problem.value.type


def open_many(desk, *wishes):
    base = {"kind": "repair", "serial": "HD5-1", "title": "Leaks"}
    return [desk.open_ticket({**base, **wish}, now=NOW)["ticket_id"] for wish in wishes]


@pytest.fixture
def five(desk, log_in):
    """A user, and five tickets: of the first the user is the owner, the fourth waits, the fifth is resolved."""
    anna = log_in("agent")
    a, b, c, d, e = open_many(
        desk,
        {"priority": "urgent", "queue": "north", "tags": ["vip"]},
        {"due_by": "2026-01-09T00:00:00Z", "queue": "north", "service_mode": "mail_in"},
        {"kind": "complaint", "due_by": "2026-01-08T00:00:00Z", "queue": "south"},
        {"serial": "HD5-2", "component": "pump", "due_by": "2026-02-01T00:00:00Z"},
        {"kind": "consultation"},
    )
    anna.post(f"/v1/tickets/{a}/claim", {}, now=NOW)
    desk.post(f"/v1/tickets/{e}/transitions", {"to": "resolved"}, now=NOW)
    desk.post(f"/v1/tickets/{d}/transitions", {"to": "waiting_customer"}, now=NOW)
    return anna, (a, b, c, d, e)


def test_lists_by_any_wish(desk, five) -> None:
    anna, (a, b, c, d, e) = five
    for wish, expected in (
        ({}, [a, b, c, d, e]),
        ({"order": "newest"}, [e, d, c, b, a]),
        ({"order": "due"}, [c, b, d]),
        ({"filter": "to_do"}, [a, b, c]),
        ({"filter": "to_claim"}, [b, c]),
        ({"filter": "to_claim", "queue": "north"}, [b]),
        ({"filter": "to_review"}, [e]),
        ({"filter": "overdue"}, [c, b]),
        ({"filter": "overdue", "order": "oldest"}, [b, c]),
        ({"filter": "waiting_customer"}, [d]),
        ({"filter": "mine"}, []),
        ({"owner": anna.user_id}, [a]),
        ({"owner": anna.user_id, "state": "open,scheduled"}, [a]),
        ({"owner": "nobody", "state": "open", "kind": "complaint"}, [c]),
        ({"tag": "vip"}, [a]),
        ({"tag": "vip", "state": "closed"}, []),
        ({"queue": "north"}, [a, b]),
        ({"queue": "north", "service_mode": "mail_in", "overdue": True}, [b]),
        ({"kind": "repair", "state": "open"}, [a, b]),
        ({"kind": "repair,complaint", "priority": "normal"}, [b, c, d]),
        ({"state": "resolved,closed"}, [e]),
        ({"serial": "HD5-2", "component": "pump"}, [d]),
        ({"needs_job": True}, [a]),
        ({"needs_job": False}, [b, c, d, e]),
        ({"reopened": True}, []),
        ({"reopened": False, "kind": "consultation"}, [e]),
    ):
        assert ids(desk, **wish) == expected, wish
    assert ids(anna, filter="mine") == [a]
    assert ids(desk, filter="mine", owner=anna.user_id) == [a], "the query's own field holds"


def test_lists_in_pages_in_every_order(desk, five) -> None:
    _, (a, b, c, d, e) = five
    for order, expected in (("oldest", [a, b, c, d, e]), ("newest", [e, d, c, b, a]), ("due", [c, b, d])):
        seen, after = [], None
        while True:
            page = desk.get("/v1/tickets", now=NOW, order=order, limit=1, after=after)
            assert len(page["items"]) <= 1
            assert all(set(ticket) == set(Ticket.model_fields) for ticket in page["items"])
            seen += [ticket["ticket_id"] for ticket in page["items"]]
            after = page["next"]
            if after is None:
                break
        assert seen == expected, order
    first = desk.get("/v1/tickets", limit=1)["next"]
    assert refused(desk.get, "/v1/tickets", order="due", after=first) == (422, "query.after")
    for query, field in (
        ({"filter": "unheard-of"}, "query.filter"),
        ({"owner": "him"}, "query.owner"),
        ({"owner": 2**63}, "query.owner"),
        ({"priority": "asap"}, "query.priority"),
        ({"tag": "a b"}, "query.tag"),
        ({"order": "up"}, "query.order"),
        ({"after": "MSAy"}, "query.after"),
    ):
        assert refused(desk.get, "/v1/tickets", **query) == (422, field), query


def test_what_a_clock_says_is_late_is_overdue(desk, five, sql) -> None:
    """A ticket stands once among the late ones, at the first date that has passed: its own or a running clock's."""
    anna, (a, b, c, d, e) = five
    clock = (
        "INSERT INTO service.ticket_clock (ticket_id, kind, policy_id, calendar_id, calendar_version, target_minutes,"
        " warn_percent, started_at, due_at, stopped_at) VALUES (%s, %s, 1, 1, 1, 60, 80, '2026-01-01Z', %s, %s)"
    )
    for ticket_id, kind, due_at, stopped_at in (
        (a, "first_response", "2026-01-09T12:00Z", None),
        (a, "solution", "2026-01-08T12:00Z", None),
        (b, "solution", "2026-01-09T00:00Z", None),
        (b, "appointment", "2026-01-07T00:00Z", "2026-01-07T01:00Z"),
        (c, "solution", "2026-01-09T00:00Z", None),
        (c, "first_response", None, None),
        (d, "solution", "2026-01-07T00:00Z", None),
        (d, "first_response", "2026-01-11T00:00Z", None),
        (e, "solution", "2026-01-07T00:00Z", None),
    ):
        sql.execute(clock, (ticket_id, kind, due_at, stopped_at))
    late = [d, c, a, b]
    assert ids(desk, filter="overdue") == late
    for limit in (1, 2, 3):
        assert [ticket["ticket_id"] for ticket in _pages(desk, filter="overdue", limit=limit)] == late
    assert ids(desk, filter="overdue", order="oldest") == sorted(late)
    assert ids(desk, filter="overdue", queue="north") == [a, b]
    assert ids(desk, overdue=True, queue="north", order="newest") == [b, a]
    assert ids(anna, overdue=True, owner="me") == [a]
    counts = {row["name"]: row["count"] for row in desk.get("/v1/tickets/counts", now=NOW)}
    assert counts["overdue"] == len(late)
    assert ids(desk, order="due") == [c, b, d], "the order of due dates alone asks no clocks"


def _pages(client, **query):
    after = None
    while True:
        page = client.get("/v1/tickets", now=NOW, after=after, **query)
        yield from page["items"]
        after = page["next"]
        if after is None:
            return


def test_saved_lists(api, desk, five) -> None:
    anna, (a, b, *_) = five
    wish = {"queue": "north", "states": ["open"], "order": "newest"}
    own = anna.post("/v1/ticket-filters", {"name": "North", "wish": wish})
    assert (own["mine"], own["shared"], own["wish"]) == (True, False, wish)
    assert ids(anna, filter="North") == [b, a]
    assert refused(desk.get, "/v1/tickets", filter="North") == (422, "query.filter")
    assert refused(anna.post, "/v1/ticket-filters", {"name": "North", "wish": {}})[0] == 409
    assert refused(anna.post, "/v1/ticket-filters", {"name": "mine", "wish": {}})[0] == 409
    for bad, field in (
        ({"name": "x", "wish": {"colour": "red"}}, "body.wish.colour"),
        ({"name": "x", "wish": {"states": []}}, "body.wish.states"),
        ({"name": "x", "wish": {"owner": "1 OR 1=1"}}, "body.wish.owner.literal['me','nobody']"),
        ({"name": " ", "wish": {}}, "body.name"),
    ):
        assert refused(anna.post, "/v1/ticket-filters", bad) == (422, field), bad
    path = f"/v1/ticket-filters/{own['filter_id']}"
    shared = anna.patch(path, {"shared": True}, version=1)
    assert ids(desk, filter="North") == [b, a]
    assert refused(desk.patch, path, {"shared": False}, version=2) == (403, "/problems/not-yours")
    assert refused(anna.patch, path, {"wish": {}}, version=1)[0] == 412
    names = [row["name"] for row in desk.pages("/v1/ticket-filters")]
    assert names == ["to_do", "to_claim", "to_review", "overdue", "waiting_customer", "mine", "North"]
    counts = {row["name"]: row["count"] for row in anna.get("/v1/tickets/counts", now=NOW)}
    assert counts == {
        "to_do": 3, "to_claim": 2, "to_review": 1, "overdue": 2, "waiting_customer": 1, "mine": 1, "North": 2,
    }  # fmt: skip
    with api.client("desk_lead") as lead:
        assert lead.patch(path, {"shared": False}, version=shared["version"])["shared"] is False
        assert refused(lead.patch, path, {}, version=3)[0] == 404
    anna._call("DELETE", path, now=None)
    assert refused(anna.get, "/v1/tickets", filter="North") == (422, "query.filter")


def test_a_rare_wish_is_found_however_far_it_is(desk, sql) -> None:
    """A page gives up after so many rows, and says where to go on."""
    sql.execute(
        "INSERT INTO service.ticket (kind, state, priority, asset_id, title, raised_by, opened_at) "
        "SELECT 'repair', 'closed', CASE WHEN i = %s THEN 'urgent' ELSE 'low' END, 1, 'x', 'test', now() "
        "FROM generate_series(1, %s) AS i",
        (SCAN + 5, SCAN + 10),
    )
    page = desk.get("/v1/tickets", priority="urgent")
    assert page["items"] == []
    page = desk.get("/v1/tickets", priority="urgent", after=page["next"])
    assert [ticket["ticket_id"] for ticket in page["items"]] == [SCAN + 5]
    assert page["next"] is None
    assert ids(desk, priority="urgent", order="newest") == [SCAN + 5]
    assert {row["name"]: row["more"] for row in desk.get("/v1/tickets/counts")}["to_do"] is False


SAID = (
    "Pumpe UNDICHT, HD5-1!",
    "水泵漏水 nach dem Winter",
    "Größe ÄÖÜ 12.5bar don't",
    "テスト한국어 a\u00a0b　c",
    "ＦＵＬＬ１２ ﬁlter x²",
    "C:\\Temp\\'; DROP TABLE--",
    "e\u0301tait émigré naïve",
    "a" * 70,
    "…—„“ «»",
    "",
)


def test_words_are_the_same_here_and_there(database_url) -> None:
    """What a question asks for must be what the database keeps, with each word of a run of characters among them."""
    with connect(database_url) as connection:
        for text in SAID:
            kept = connection.execute("SELECT service.words_of(%s) AS words", (text,)).fetchone()["words"]
            assert len(kept) == len(set(kept)), text
            assert set(words_of(text)) <= set(kept), text
            if text.isascii():
                assert set(words_of(text)) == set(kept), text


def test_tickets_are_found_by_words(api, desk, log_in, sql) -> None:
    customers = [
        sql.execute("INSERT INTO service.customer (name) VALUES (%s) RETURNING customer_id", (name,)).fetchone()[
            "customer_id"
        ]
        for name in ("Familie Öztürk", "王伟")
    ]
    for serial, customer_id in zip(("HD5-1", "HD5-2"), customers, strict=True):
        sql.execute("UPDATE service.asset SET customer_id = %s WHERE serial = %s", (customer_id, serial))
    a, b, c = open_many(
        desk,
        {"title": "Pump leaks", "description": "since Winter"},
        {"serial": "HD5-2", "title": "水泵漏水", "description": "pump"},
        {"title": "Größe", "component": "seal"},
    )
    for question, expected in (
        ("pump", [a, b]),
        ("PUMP winter", [a]),
        ("pump winter summer", []),
        ("pum", []),
        ("水泵", [b]),
        ("漏", [b]),
        ("漏泵", []),
        ("HD5-2", [b]),
        ("größe", [c]),
        ("seal", [c]),
        ("öztürk", [c, a]),
        ("王伟", [b]),
        ("'; DROP TABLE service.ticket --", []),
    ):
        assert sorted(found(desk, question)) == sorted(expected), question
    assert found(desk, "pump") == [a, b], "a title says more than a description"
    for question in ("", " ", "!?", "\x00"):
        assert refused(desk.get, "/v1/tickets/search", q=question) == (422, "query.q"), repr(question)
    assert refused(desk.get, "/v1/tickets/search", q="x", after="MSAy") == (422, "query.after")

    # The customer's name is not for engineers and machines; a customer finds their own only.
    for role in ("engineer", "service"):
        with api.client(role) as client:
            assert (found(client, "öztürk"), found(client, "größe")) == ([], [c])
    with api.scoped_client("customer", customer_id=customers[0]) as client:
        assert (found(client, "pump"), found(client, "水泵")) == ([a], [])
    partner = sql.execute(
        "INSERT INTO service.provider (code, name, created_at) VALUES ('P', 'Partner', now()) RETURNING provider_id"
    ).fetchone()["provider_id"]
    with api.scoped_client("partner_manager", provider_id=partner) as client:
        assert found(client, "pump") == []
        desk.post(f"/v1/tickets/{b}/assign", {"provider_id": partner}, now=NOW)
        assert found(client, "pump") == [b]

    # What changes is found as it is now: the text, and the customer's name.
    desk.patch(f"/v1/tickets/{a}", {"title": "Hose bursts"}, version=1, now=NOW)
    sql.execute("UPDATE service.customer SET name = 'forgotten' WHERE customer_id = %s", (customers[0],))
    assert (found(desk, "hose"), found(desk, "pump"), found(desk, "öztürk")) == ([a], [b], [])
    assert sorted(found(desk, "forgotten")) == [a, c]


def test_a_search_goes_back_page_by_page(desk, sql) -> None:
    """Over several stretches of numbers: each ticket once, newer stretches first, however many a page has."""
    numbers = [1, 2, 3, 9000, 9001, 200_000, 400_000, 400_001, 400_002, 400_003]
    for number in numbers:
        sql.execute(
            "INSERT INTO service.ticket (ticket_id, kind, asset_id, title, raised_by, opened_at) "
            "OVERRIDING SYSTEM VALUE VALUES (%s, 'repair', 1, %s, 'test', now())",
            (number, "whirr whirr" if number % 2 else "whirr"),
        )
    for limit in (1, 3, 100):
        seen, after = [], None
        while True:
            page = desk.get("/v1/tickets/search", q="whirr", limit=limit, after=after)
            assert len(page["items"]) <= limit
            scores = [ticket["score"] for ticket in page["items"]]
            assert scores == sorted(scores, reverse=True)
            seen += [ticket["ticket_id"] for ticket in page["items"]]
            after = page["next"]
            if after is None:
                break
        assert sorted(seen) == numbers, limit
        assert seen[0] >= 400_000, "the newest first"
