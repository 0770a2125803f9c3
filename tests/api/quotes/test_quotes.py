"""Quotes over HTTP: price lists, the warranty's share, consent, who may what, and every state with every action."""

import hashlib
from datetime import datetime, timedelta
from itertools import product

from api.quotes.rules import QUOTE

HOUR = timedelta(hours=1)
LINES = [
    {"kind": "labour", "quantity": 50},
    {"kind": "travel", "quantity": 10},
    {"kind": "part", "code": "PUMP"},
    {"kind": "value_added_sale", "code": "cleaner", "amount_minor": 990},
]


def test_price_lists_are_versions_and_the_most_exact_one_prices(till, refusal, now):
    base = {"currency": "EUR", "valid_from": "2026-01-01", "items": []}
    anybody = till.lead.post("/v1/price-lists", {**base, "name": "Anybody"}, now=now)
    taken = refusal(till.lead.post, "/v1/price-lists", {**base, "name": "Again"}, now=now)
    assert (taken.status, taken.type) == (409, "/problems/price-list-taken")
    for customer_kind, name in (("business", "Business"), ("consumer", "Consumer")):
        body = {**base, "name": name, "country": "DE", "customer_kind": customer_kind, "valid_from": "2026-02-01"}
        till.lead.post("/v1/price-lists", {**body, "tax_rate_bp": 700}, now=now)
    ticket_id = till.ticket()
    fee = {"kind": "fee", "code": "work", "amount_minor": 1_000}
    # The list for consumers in Germany is more exact than the one for Germany, and that than the one for anybody.
    assert till.draft(ticket_id, fee)["tax_minor"] == 70
    later = {**base, "name": "From August", "country": "DE", "customer_kind": "consumer", "valid_from": "2026-08-01"}
    till.lead.post("/v1/price-lists", {**later, "tax_rate_bp": 800}, now=now)
    assert till.draft(ticket_id, fee)["tax_minor"] == 70
    body = {"lines": [fee]}
    august = till.agent.post(f"/v1/tickets/{ticket_id}/quotes", body, now=now + timedelta(days=31))
    assert (august["tax_minor"], august["revision"]) == (80, 3)
    named = till.draft(ticket_id, fee, price_list_id=anybody["price_list_id"])
    assert named["price_list_id"] == anybody["price_list_id"]
    key = f"/v1/price-lists/{anybody['price_list_id']}"
    ended = till.lead.patch(key, {"valid_until": "2026-06-30"}, version=1, now=now)
    assert ended["valid_until"] == "2026-06-30"
    assert refusal(till.lead.patch, key, {"valid_until": "2025-06-30"}, version=2, now=now).status == 422
    assert refusal(till.lead.patch, key, {"valid_until": None}, version=1, now=now).status == 412
    none = refusal(till.draft, ticket_id, fee, currency="USD")
    assert (none.status, none.type) == (409, "/problems/no-price-list")
    unknown = refusal(till.draft, ticket_id, {"kind": "labour", "code": "welding"})
    assert unknown.problem["errors"][0]["field"] == "body.lines.0.code"
    assert [row["name"] for row in till.agent.pages("/v1/price-lists")][:2] == ["Germany", "Anybody"]
    assert refusal(till.customer.get, "/v1/price-lists").status == 403
    assert refusal(till.agent.post, "/v1/price-lists", {**base, "name": "x", "country": "XX"}).status == 403


def test_a_quote_is_shown_agreed_to_and_kept(till, refusal, now):
    ticket_id = till.ticket()
    quote = till.draft(ticket_id, *LINES, {"kind": "discount", "percent_bp": 1_000, "reason": "waited long"})
    assert [(line["kind"], line["net_minor"], line["customer_minor"]) for line in quote["lines"]] == [
        ("labour", 8_000, 8_000),
        ("travel", 1_000, 1_000),
        ("part", 9_000, 9_000),
        ("value_added_sale", 990, 990),
        ("discount", -1_899, -1_899),
    ]
    assert (quote["net_minor"], quote["tax_minor"], quote["gross_minor"]) == (17_091, 3_247, 20_338)
    assert quote["warranty"]["covered"] is False
    assert refusal(till.customer.get, f"/v1/quotes/{quote['quote_id']}").status == 404, "a draft is ours alone"
    assert (
        refusal(till.act, quote, "accept", {"text_sha256": "0" * 64, "given_by": "A"}, client=till.customer).status
        == 404
    )

    sent = till.act(quote, "send")
    assert sent["text_sha256"] == hashlib.sha256(sent["text"].encode()).hexdigest()
    assert "You pay: 203.38 EUR" in sent["text"]
    assert "Valid until 2026-07-15 08:00 UTC." in sent["text"]
    assert till.agent.get(f"/v1/tickets/{ticket_id}")["state"] == "waiting_customer"
    yes = {"text_sha256": sent["text_sha256"], "given_by": "Ann"}
    another = refusal(till.act, sent, "accept", {**yes, "text_sha256": "0" * 64}, client=till.customer)
    assert another.type == "/problems/another-text"
    # Somebody else than the customer must say how they know.
    assert refusal(till.act, sent, "accept", yes).problem["errors"][0]["field"] == "body.channel"
    unsaid = refusal(till.act, sent, "accept", {**yes, "channel": "phone"})
    assert unsaid.problem["errors"][0]["field"] == "body.how_obtained"
    on_behalf = {**yes, "channel": "phone", "how_obtained": "call 4711 at 10:02"}
    accepted = till.act(sent, "accept", on_behalf, now=now + HOUR)
    consent = accepted["consent"]
    assert (consent["decision"], consent["given_by"], consent["recorded_by"]) == ("accepted", "Ann", "test-agent")
    assert (consent["channel"], consent["ip"], consent["text_sha256"]) == ("phone", "127.0.0.1", sent["text_sha256"])
    assert consent["at"].startswith("2026-07-01T09:00:00")
    assert till.agent.get(f"/v1/tickets/{ticket_id}")["state"] == "open"
    kinds = [event["kind"] for event in till.agent.pages(f"/v1/tickets/{ticket_id}/events")]
    assert [kind for kind in kinds if kind.startswith("quote")] == ["quote_drafted", "quote_sent", "quote_accepted"]
    topics = [row["topic"] for row in till.rows("SELECT topic FROM service.alert WHERE topic LIKE 'quote%' ORDER BY 1")]
    assert topics == ["quote.accepted", "quote.sent"]

    # A newer version leaves the accepted one standing until it is accepted itself.
    newer = till.sent(ticket_id, {"kind": "fee", "code": "more", "amount_minor": 30_000})
    assert till.customer.get(f"/v1/quotes/{sent['quote_id']}")["state"] == "accepted"
    again = {"text_sha256": newer["text_sha256"], "given_by": "Ann"}
    till.act(newer, "accept", again, client=till.customer)
    assert till.customer.get(f"/v1/quotes/{sent['quote_id']}")["state"] == "superseded"
    assert till.balance(ticket_id)["accepted_minor"] == 35_700


def test_the_warranty_takes_its_share_off(till, now):
    quote = till.sent(till.ticket("HD5-2"), *LINES)
    assert [line["bearer"] for line in quote["lines"]] == ["maker", "maker", "maker", ""]
    assert (quote["net_minor"], quote["borne_minor"]) == (990, 18_000)
    assert quote["warranty"]["covered"] is True
    assert "Pump: 0.00 EUR (90.00 EUR, borne by the maker)" in quote["text"]


def test_the_customers_link_needs_no_login(api, till, refusal, now):
    ticket_id = till.ticket()
    quote = till.sent(ticket_id)
    path = "SELECT body FROM service.alert WHERE topic = 'quote.sent'"
    first = till.rows(path)[0]["body"].split("/v1/quotes/by-token/")[1]
    made = till.act(quote, "link")
    assert refusal(till.agent.get, f"/v1/quotes/by-token/{first}", now=now).status == 404, "a newer link is there"
    link = made["path"]
    assert (
        till.rows("SELECT count(*) AS n FROM service.idempotency_key WHERE body::text LIKE '%by-token%'")[0]["n"] == 0
    )
    shown = till.agent.get(link, now=now)
    assert (shown["gross_minor"], shown["state"]) == (11_900, "sent")
    late = refusal(till.agent.post, f"{link}/accept", {"text_sha256": shown["text_sha256"], "given_by": "Ann"},
                   now=now + timedelta(days=14))  # fmt: skip
    assert late.type == "/problems/quote-expired"
    answer = till.agent.post(f"{link}/decline", {"reason": "too dear", "given_by": "Ann"}, now=now)
    assert answer["state"] == "declined"
    consent = till.agent.get(f"/v1/quotes/{quote['quote_id']}")["consent"]
    assert (consent["channel"], consent["recorded_by"], consent["reason"]) == ("link", "customer's link", "too dear")
    actor = "SELECT actor FROM service.change WHERE thing = 'quote' AND to_state = 'declined'"
    assert till.rows(actor)[0]["actor"] == f"link of quote {quote['quote_id']}"
    refused = refusal(till.agent.post, f"{link}/decline", {"reason": "r", "given_by": "Ann"}, now=now)
    assert refused.type == "/problems/quote-state"
    assert refusal(till.agent.get, "/v1/quotes/by-token/" + "x" * 43).status == 404


def test_quotes_expire_by_duty_once(till, now):
    first, second = till.sent(till.ticket(), valid_days=2), till.sent(till.ticket(), valid_days=3)
    done = [till.service.post("/v1/duties/run", {}, now=now + timedelta(days=days)) for days in (1, 2, 2, 3)]
    assert [each["expired-quotes"] for each in done] == [0, 1, 0, 1]
    for quote in (first, second):
        assert till.agent.get(f"/v1/quotes/{quote['quote_id']}")["state"] == "expired"
        assert till.agent.get(f"/v1/tickets/{quote['ticket_id']}")["state"] == "open"


def test_of_many_answers_at_once_one_counts(till, at_once, now):
    ticket_id = till.ticket()
    quote = till.sent(ticket_id)
    said = {"given_by": "Ann", "channel": "phone", "how_obtained": "call"}
    bodies = [("accept", {**said, "text_sha256": quote["text_sha256"]}), ("decline", {**said, "reason": "dear"})] * 3

    def answer(client, wanted):
        return client.post(f"/v1/quotes/{quote['quote_id']}/{wanted[0]}", wanted[1], now=now)

    answers = at_once(answer, bodies)
    counted = [given for given in answers if isinstance(given, dict)]
    assert len(counted) == 1
    assert {given.type for given in answers if not isinstance(given, dict)} == {"/problems/quote-state"}
    accepted = 11_900 if counted[0]["state"] == "accepted" else 0
    assert till.balance(ticket_id)["accepted_minor"] == accepted
    assert till.rows("SELECT count(*) AS n FROM service.quote_consent")[0]["n"] == 1


def test_every_action_in_every_state(till, refusal):
    """The table pair by pair over HTTP; `expire` and `supersede` are done by the duty and by newer quotes."""
    actions = ("send", "accept", "decline", "withdraw")
    steps = {
        "draft": [],
        "sent": ["send"],
        "accepted": ["send", "accept"],
        "declined": ["send", "decline"],
        "withdrawn": ["withdraw"],
        "superseded": ["draft"],
        "expired": ["send", "expire"],
    }
    assert set(steps) == set(QUOTE.states)

    def act(quote, action):
        if action == "draft":
            till.draft(quote["ticket_id"])
        elif action == "expire":
            till.service.post("/v1/duties/run", {}, now=till_end)
        else:
            body = {"reason": "because", "given_by": "Ann", "channel": "phone", "how_obtained": "call"}
            if action == "accept":
                shown = till.agent.get(f"/v1/quotes/{quote['quote_id']}")
                body = {**body, "text_sha256": shown["text_sha256"] or "0" * 64}
                del body["reason"]
            wanted = {"send": {}, "withdraw": {"reason": "because"}}.get(action, body)
            return till.act(quote, action, wanted)
        return till.agent.get(f"/v1/quotes/{quote['quote_id']}")

    till_end = None
    for state, action in product(steps, actions):
        quote = till.draft(till.ticket())
        for step in steps[state]:
            till_end = quote["created_at"] and _after(quote)
            quote = act(quote, step)
        quote = till.agent.get(f"/v1/quotes/{quote['quote_id']}")
        assert quote["state"] == state
        to = QUOTE.next_state(state, action)
        if to is not None:
            assert act(quote, action)["state"] == to
        else:
            refused = refusal(act, quote, action)
            assert (refused.status, refused.type) == (409, "/problems/quote-state")
            assert till.agent.get(f"/v1/quotes/{quote['quote_id']}")["version"] == quote["version"]


def _after(quote):
    return datetime.fromisoformat(quote["created_at"]) + timedelta(days=400)
