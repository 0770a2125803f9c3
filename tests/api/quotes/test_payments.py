"""Charges stay within what was accepted, whoever writes; payments are recorded once, refunds within what was taken."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count, product
from threading import Barrier

import httpx
import psycopg
import pytest
from standardwebhooks import Webhook

from api.quotes.rules import CHARGE, PAYMENT
from careloop.database.engine import connect

FEE = {
    "kind": "diagnosis",
    "amount_minor": 2_380,
    "tax_rate_bp": 1_900,
    "currency": "EUR",
    "text": "I agree to a diagnosis fee of 23.80 EUR if I decline the quote.",
    "given_by": "Ann",
    "channel": "phone",
    "how_obtained": "call 4711",
}


def test_a_charge_is_within_what_was_accepted(till, refusal):
    ticket_id = till.ticket()
    assert refusal(till.charge, ticket_id, 1).type == "/problems/beyond-accepted"
    quote = till.sent(ticket_id)
    assert refusal(till.charge, ticket_id, 1).type == "/problems/beyond-accepted", "sent is not accepted"
    yes = {"text_sha256": quote["text_sha256"], "given_by": "Ann"}
    till.act(quote, "accept", yes, client=till.customer)
    first = till.charge(ticket_id, 11_000)
    assert (first["tax_minor"], first["description"]) == (1_756, f"By quote {quote['quote_id']}")
    beyond = refusal(till.charge, ticket_id, 901)
    assert (beyond.status, beyond.problem["constraint"]) == (409, "within_accepted")
    assert refusal(till.charge, ticket_id, 1, currency="USD").problem["constraint"] == "charge_of_accepted"
    till.charge(ticket_id, 900)
    assert till.balance(ticket_id)["chargeable_minor"] == 0

    # An agreed fee stands beside the quote, once and no more than agreed.
    agreed = till.agent.post(f"/v1/tickets/{ticket_id}/agreed-fees", FEE)
    again = refusal(till.agent.post, f"/v1/tickets/{ticket_id}/agreed-fees", {**FEE, "amount_minor": 9_999})
    assert again.type == "/problems/fee-agreed"
    fee_id = agreed["agreed_fee_id"]
    till.charge(ticket_id, 2_000, agreed_fee_id=fee_id)
    assert refusal(till.charge, ticket_id, 381, agreed_fee_id=fee_id).problem["constraint"] == "within_agreed"
    other = till.ticket()
    assert refusal(till.charge, other, 1, agreed_fee_id=fee_id).status == 422
    assert till.balance(ticket_id)["fees_minor"] == 2_000

    # A newer quote below what is charged cannot take the accepted one's place.
    lower = till.sent(ticket_id, {"kind": "fee", "code": "less", "amount_minor": 100})
    below = {"text_sha256": lower["text_sha256"], "given_by": "Ann"}
    assert refusal(till.act, lower, "accept", below, client=till.customer).type == "/problems/beyond-accepted"
    assert till.customer.get(f"/v1/quotes/{quote['quote_id']}")["state"] == "accepted"

    # What is taken back can be charged again, but is not taken back twice.
    voided = till.agent.post(f"/v1/charges/{first['charge_id']}/void", {"reason": "wrong"})
    assert voided["state"] == "voided"
    twice = refusal(till.agent.post, f"/v1/charges/{first['charge_id']}/void", {"reason": "wrong"})
    assert twice.type == "/problems/charge-state"
    assert set(CHARGE.states) == {"charged", "voided"}
    assert till.balance(ticket_id)["chargeable_minor"] == 11_000

    receipt = till.customer.get(f"/v1/tickets/{ticket_id}/receipt")
    assert [charge["amount_minor"] for charge in receipt["charges"]] == [900, 2_000]
    assert (receipt["gross_minor"], receipt["tax_minor"]) == (2_900, 144 + 319)
    assert receipt["customer"] == "Ann"


def test_the_database_itself_refuses_more_than_was_accepted_however_many_write(till):
    ticket_id = till.ticket()
    quote = till.accepted(ticket_id)
    assert quote["gross_minor"] == 11_900
    insert = (
        "INSERT INTO service.charge (ticket_id, quote_id, amount_minor, tax_minor, tax_rate_bp, currency, description,"
        " charged_at, charged_by) VALUES (%s, %s, 1000, 0, 0, 'EUR', 'x', now(), 'somebody')"
    )
    writers = 24
    gate = Barrier(writers)

    def write(_):
        with psycopg.connect(till.database_url) as connection:
            gate.wait(30)
            try:
                connection.execute(insert, (ticket_id, quote["quote_id"]))
            except psycopg.errors.CheckViolation as violation:
                return violation.diag.constraint_name
        return "charged"

    with ThreadPoolExecutor(writers) as threads:
        outcomes = list(threads.map(write, range(writers)))
    assert (outcomes.count("charged"), outcomes.count("within_accepted")) == (11, 13)
    assert till.balance(ticket_id)["charged_minor"] == 11_000
    with connect(till.database_url) as connection:
        for forgery in (
            "UPDATE service.charge SET amount_minor = 1",
            "UPDATE service.quote SET gross_minor = 99999999, net_minor = 99999999 - tax_minor",
            "UPDATE service.quote SET text = 'something else'",
            "UPDATE service.quote_line SET customer_minor = 0",
            "DELETE FROM service.quote_line",
            "UPDATE service.ticket_account SET charged_minor = 11901",
        ):
            with pytest.raises(psycopg.errors.CheckViolation):
                connection.execute(forgery)
        for forgery in (
            "DELETE FROM service.charge",
            "UPDATE service.quote_consent SET given_by = 'Bob'",
            "DELETE FROM service.quote_consent",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forgery)


def _pay(till, ticket_id, reference, **fields):
    body = {"provider": "stripes", "external_reference": reference, "amount_minor": 5_000, "currency": "EUR", **fields}
    return till.agent.post(f"/v1/tickets/{ticket_id}/payments", body)


def test_a_payment_is_recorded_once_by_its_reference(till, refusal):
    ticket_id, other = till.ticket(), till.ticket()
    first = _pay(till, ticket_id, "pi_1")
    assert (first["state"], first["captured_minor"]) == ("authorised", 0)
    assert _pay(till, ticket_id, "pi_1")["payment_id"] == first["payment_id"]
    for differing in ({"amount_minor": 4_000}, {"currency": "USD"}):
        assert refusal(_pay, till, ticket_id, "pi_1", **differing).type == "/problems/payment-differs"
    assert refusal(_pay, till, other, "pi_1").type == "/problems/payment-differs"
    # The same reference brings it further; what comes late changes nothing.
    assert _pay(till, ticket_id, "pi_1", state="captured")["captured_minor"] == 5_000
    assert _pay(till, ticket_id, "pi_1", state="authorised")["state"] == "captured"

    path = f"/v1/payments/{first['payment_id']}/refunds"
    part = {"external_reference": "re_1", "amount_minor": 2_000}
    assert till.agent.post(path, part)["state"] == "partly_refunded"
    assert till.agent.post(path, part)["refunded_minor"] == 2_000, "the same refund"
    assert refusal(till.agent.post, path, {**part, "amount_minor": 1}).type == "/problems/payment-differs"
    beyond = refusal(till.agent.post, path, {"external_reference": "re_2", "amount_minor": 3_001})
    assert (beyond.type, beyond.problem["refundable_minor"]) == ("/problems/beyond-captured", 3_000)
    whole = till.agent.post(path, {"external_reference": "re_3", "amount_minor": 3_000})
    assert (whole["state"], len(whole["refunds"])) == ("refunded", 2)
    balance = till.balance(ticket_id)
    assert (balance["captured_minor"], balance["refunded_minor"], balance["balance_minor"]) == (5_000, 5_000, 0)


def test_every_action_on_a_payment_in_every_state(till, refusal):
    ticket_id = till.ticket()
    steps = {
        "authorised": [],
        "captured": ["capture"],
        "failed": ["fail"],
        "partly_refunded": ["capture", "refund_part"],
        "refunded": ["capture", "refund"],
    }
    assert set(steps) == set(PAYMENT.states)
    bodies = {"capture": {}, "fail": {"reason": "declined"}}
    references = count()

    def act(payment, action):
        path = f"/v1/payments/{payment['payment_id']}"
        if action in bodies:
            return till.agent.post(f"{path}/{action}", bodies[action])
        amount = 1_000 if action == "refund_part" else 5_000 - till.agent.get(path)["refunded_minor"] or 1
        reference = f"re_{next(references)}"
        return till.agent.post(f"{path}/refunds", {"external_reference": reference, "amount_minor": amount})

    for number, (state, action) in enumerate(product(steps, PAYMENT.actions)):
        payment = _pay(till, ticket_id, f"pi_{number}")
        for step in steps[state]:
            payment = act(payment, step)
        assert payment["state"] == state
        to = PAYMENT.next_state(state, action)
        if to is not None:
            assert act(payment, action)["state"] == to
        else:
            assert refusal(act, payment, action).type == "/problems/payment-state"
    more = _pay(till, ticket_id, "pi_more")
    captured = refusal(till.agent.post, f"/v1/payments/{more['payment_id']}/capture", {"amount_minor": 5_001})
    assert captured.problem["errors"][0]["field"] == "body.amount_minor"


def test_a_payment_provider_tells_by_signed_messages(api, till, refusal, now):
    with api.client("admin") as admin:
        made = admin.post("/v1/payment-providers", {"name": "stripes"})
    assert [row["name"] for row in till.agent.pages("/v1/payment-providers")] == ["stripes"]
    ticket_id = till.ticket()
    told = {"ticket_id": ticket_id, "external_reference": "pi_9", "amount_minor": 700, "currency": "EUR"}

    def tell(identity, *, secret=made["secret"], at=now, **fields):
        body = json.dumps({"type": "payment.authorised", **told, **fields})
        headers = {
            "webhook-id": identity,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": "v1,bm9uc2Vuc2U= " + Webhook(secret).sign(identity, at, body),
            "careloop-now": now.isoformat(),
            "content-type": "application/json",
        }
        return httpx.post(f"{api.url}/v1/payment-messages/stripes", content=body, headers=headers)

    assert tell("m1").status_code == 204
    assert tell("m1", type="payment.captured").status_code == 204, "the same message again changes nothing"
    (payment,) = till.agent.pages(f"/v1/tickets/{ticket_id}/payments")
    assert (payment["state"], payment["recorded_by"]) == ("authorised", "payment provider stripes")
    assert tell("m2", type="payment.captured").status_code == 204
    assert tell("m3", type="payment.refunded", amount_minor=200, refund_reference="re_1").status_code == 204
    assert tell("m4", type="payment.refunded", amount_minor=200, refund_reference="re_1").status_code == 204
    (payment,) = till.agent.pages(f"/v1/tickets/{ticket_id}/payments")
    assert (payment["state"], payment["captured_minor"], payment["refunded_minor"]) == ("partly_refunded", 700, 200)
    # A message about it that comes late, and a capture of which no authorisation was ever told.
    assert tell("m5", type="payment.authorised").status_code == 204
    assert tell("m6", type="payment.captured", external_reference="pi_10").status_code == 204
    assert till.balance(ticket_id)["captured_minor"] == 1_400
    for answer in (
        tell("m7", secret="whsec_" + "QUJD" * 8),
        tell("m8", at=now - timedelta(minutes=6)),
        tell("m9", at=now + timedelta(minutes=6)),
        httpx.post(f"{api.url}/v1/payment-messages/stripes", content=b"{}"),
        httpx.post(f"{api.url}/v1/payment-messages/nobody", content=b"{}"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/bad-signature")
    assert tell("m10", ticket_id=999_999_999).json()["errors"][0]["field"] == "body.ticket_id"
    assert tell("m11", currency="euro").json()["errors"][0]["field"] == "body.currency"
    differs = tell("m12", external_reference="pi_9", currency="USD")
    assert (differs.status_code, differs.json()["type"]) == (409, "/problems/payment-differs")
    # What was refused may be told again once it fits.
    assert tell("m10", external_reference="pi_11").status_code == 204


def test_a_person_is_erased_from_quotes_and_the_money_stays(api, till, refusal):
    ticket_id = till.ticket()
    quote = till.sent(ticket_id)
    said = {"given_by": "Ann Zimmermann", "channel": "phone", "how_obtained": "Ann Zimmermann said so in call 4711"}
    till.act(quote, "accept", {**said, "text_sha256": quote["text_sha256"]})
    till.charge(ticket_id, 11_900)
    _pay(till, ticket_id, "pi_1", amount_minor=11_900, state="captured")
    for state in ("resolved", "closed"):
        till.agent.post(f"/v1/tickets/{ticket_id}/transitions", {"to": state})
    till.lead.post(f"/v1/customers/{till.customer_id}/erase", {"reason": "asked for by letter"})
    consent = till.agent.get(f"/v1/quotes/{quote['quote_id']}")["consent"]
    assert "Zimmermann" not in json.dumps(consent)
    assert (consent["decision"], consent["text_sha256"]) == ("accepted", quote["text_sha256"])
    assert "Zimmermann" not in str(till.rows("SELECT before, after FROM service.audit"))
    receipt = till.agent.get(f"/v1/tickets/{ticket_id}/receipt")
    assert (receipt["gross_minor"], receipt["balance"]["balance_minor"]) == (11_900, 0)
