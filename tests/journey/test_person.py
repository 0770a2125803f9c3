"""A customer written down twice becomes one, has a machine repaired, complains, and is forgotten: over HTTP only."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from careloop.client import CareloopClient, ProblemError

MONDAY = datetime(2026, 7, 6, 8, tzinfo=UTC)
DAY = timedelta(days=1)
NAME, PHONE, MAIL, STREET = "Marta Beispiel", "+4915123456789", "marta.beispiel@example.com", "Lindenweg 7"
TRACES = (NAME, "Beispiel", "Marta", "15123456789", MAIL, "Lindenweg", "marta_wx", "marta-login")
PASSWORD = "ein recht langes Wort 77"
PDF = b"%PDF-1.4\n% Rechnung an Marta Beispiel, Lindenweg 7\n1 0 obj << >> endobj\ntrailer << >>\n%%EOF\n"
PRICES = {
    "name": "Consumers in Germany", "country": "DE", "customer_kind": "consumer", "currency": "EUR",
    "valid_from": "2026-01-01", "labour_hour_minor": 6_000, "part_factor_bp": 16_000, "tax_rate_bp": 1_900,
}  # fmt: skip


@pytest.fixture
def desk(api) -> Iterator[CareloopClient]:
    with api.client("admin") as admin, api.client("desk_lead") as lead:
        admin.post("/v1/price-lists", PRICES, now=MONDAY)
        admin.post("/v1/alert-targets", {"name": "log", "kind": "apprise", "url": "careloop-log://", "topics": ["*"]})
        lead.post("/v1/parts", {"sku": "MOTOR", "name": "Motor", "cost_minor": 9_000})
        model = {"code": "K5", "name": "K 5", "kind": "pressure_washer", "components": [{"name": "motor"}]}
        lead.post("/v1/product-models", model)
        yield lead


def _refused(call, *args, **options) -> dict:
    with pytest.raises(ProblemError) as refused:
        call(*args, **options)
    return dict(refused.value.problem)


def _written_down_twice(api, desk) -> int:
    """Once by the shop, once at the phone; the desk finds it out and makes them one."""
    by_shop = desk.post(
        "/v1/customers",
        {
            "name": NAME,
            "country": "DE",
            "channel": "online_shop",
            "contacts": [{"name": NAME, "email": MAIL, "phone": PHONE}],
        },
    )
    by_phone = desk.post(
        "/v1/customers",
        {
            "name": "M. Beispiel", "country": "DE", "note": f"{NAME} prefers the phone",
            "contacts": [{"name": NAME, "phone": "0151 23456789", "wechat": "marta_wx"}],
            "sites": [{"name": f"{NAME}, home", "street": STREET, "postal_code": "10115", "city": "Berlin"}],
        },
    )  # fmt: skip
    one, two = by_shop["customer_id"], by_phone["customer_id"]
    machine = {"serial": "K5-0001", "model": "K5", "installed_at": "2020-05-01T00:00:00Z"}
    desk.post("/v1/assets", {**machine, "site_id": by_phone["sites"][0]["site_id"]})
    doubles = desk.get(f"/v1/customers/{one}/duplicates")["items"]
    assert [(double["customer_id"], double["reasons"][0]["reason"]) for double in doubles] == [(two, "phone")]
    merged = httpx.post(
        f"{api.url}/v1/customers/{two}/merge",
        json={"into": one, "into_version": 1},
        headers={"Authorization": f"Bearer {api.keys['desk_lead']}", "If-Match": '"1"'},
    )
    assert merged.status_code == 200, merged.text
    assert desk.get("/v1/assets/K5-0001")["customer_id"] == one
    return one


def _user(desk, customer_id) -> CareloopClient:
    """A login of her own."""
    user = {"login": "marta-login", "name": NAME, "role": "customer", "email": MAIL, "customer_id": customer_id}
    user_id = desk.post("/v1/users", user)["user_id"]
    url, headers = str(desk._http.base_url), dict(desk._http.headers)
    kept = httpx.put(f"{url}/v1/users/{user_id}/password", json={"new_password": PASSWORD}, headers=headers)
    assert kept.is_success, kept.text
    token = httpx.post(f"{url}/v1/login", json={"login": "marta-login", "password": PASSWORD}).json()["token"]
    return CareloopClient(url, token)


def _repaired(api, desk, marta) -> str:
    """The machine comes in, is quoted; she declines, owes the diagnosis, and says this and that with a paper."""
    case = {
        "kind": "repair", "serial": "K5-0001", "service_mode": "mail_in", "component": "motor",
        "title": f"{NAME}: does not run", "description": f"Ring at {STREET}, or call 0151 / 234 567 89 ({MAIL})",
    }  # fmt: skip
    ticket = desk.post("/v1/tickets", case, now=MONDAY)
    path = f"/v1/tickets/{ticket['ticket_id']}"
    fee = {
        "kind": "diagnosis", "amount_minor": 2_380, "tax_rate_bp": 1_900, "currency": "EUR", "given_by": NAME,
        "text": f"I, {NAME}, pay 23.80 EUR for the diagnosis.", "channel": "phone", "how_obtained": f"call of {PHONE}",
    }  # fmt: skip
    desk.post(f"{path}/agreed-fees", fee, now=MONDAY)
    uploaded = httpx.post(
        f"{api.url}/v1/files?name=Rechnung Beispiel.pdf", content=PDF, headers=dict(marta._http.headers), timeout=30
    )
    assert uploaded.status_code == 201, uploaded.text
    said = {"body": f"Here is the invoice of {NAME}, {STREET}", "file_ids": [uploaded.json()["file_id"]]}
    marta.post(f"{path}/messages", said, now=MONDAY)
    desk.post(f"{path}/notes", {"body": f"Mrs Beispiel was angry, call {PHONE} back"}, now=MONDAY)
    repair = desk.post("/v1/repairs", {"ticket_id": ticket["ticket_id"]}, now=MONDAY)
    at = f"/v1/repairs/{repair['repair_id']}"
    parcel = {"serial": "K5-0001", "condition": f"with a letter of {NAME}", "accessories": []}
    desk.post(f"{at}/receive", parcel, now=MONDAY + 2 * DAY)
    found = {"diagnosis": f"Motor burnt out, as {NAME} said", "fault_code": "M-01", "component": "motor"}
    desk.post(f"{at}/diagnose", found, now=MONDAY + 3 * DAY)
    lines = [{"kind": "labour", "quantity": 60, "description": f"work for {NAME}"}, {"kind": "part", "code": "MOTOR"}]
    quoted = desk.post(f"{at}/quote", {"lines": lines}, now=MONDAY + 3 * DAY)
    no = {"reason": f"{NAME} buys a new one", "given_by": NAME}
    marta.post(f"/v1/quotes/{quoted['quote_id']}/decline", no, now=MONDAY + 4 * DAY)
    back = {"carrier": "Post", "tracking_number": "P-77", "reason": "quote declined"}
    desk.post(f"{at}/return", back, now=MONDAY + 7 * DAY)
    desk.post(f"{at}/close", {}, now=MONDAY + 9 * DAY)
    return path


def test_a_customer_is_made_one_served_asked_and_forgotten(api, desk, places_of) -> None:
    customer_id = _written_down_twice(api, desk)
    marta = _user(desk, customer_id)
    ticket = _repaired(api, desk, marta)
    erase = f"/v1/customers/{customer_id}/erase"
    obstacles = _refused(desk.post, erase, {"reason": "letter"}, now=MONDAY + 9 * DAY)["obstacles"]
    assert [obstacle["what"] for obstacle in obstacles] == ["unpaid"]
    paid = {"provider": "till", "external_reference": "t-1", "amount_minor": 2_380, "currency": "EUR"}
    desk.post(f"{ticket}/payments", {**paid, "state": "captured"}, now=MONDAY + 9 * DAY)

    # She is asked, is not satisfied, and the desk looks into it.
    with api.client("admin") as admin:
        admin.post("/v1/duties/run", {}, now=MONDAY + 9 * DAY)
    (asked,) = desk.pages("/v1/alerts", topic="satisfaction.asked")
    link = f"{api.url}{asked['payload']['path']}"
    bad = {"score": 1, "comment": f"{NAME} is not amused"}
    at = {"Careloop-Now": (MONDAY + 11 * DAY).isoformat()}
    assert httpx.post(link, json=bad, headers=at).status_code == 200
    (answer,) = desk.pages("/v1/satisfaction")
    follow_up = f"/v1/tickets/{answer['follow_up_ticket_id']}"
    obstacles = _refused(desk.post, erase, {"reason": "letter"}, now=MONDAY + 11 * DAY)["obstacles"]
    assert [obstacle["what"] for obstacle in obstacles] == ["open ticket"]
    desk.post(f"{follow_up}/transitions", {"to": "resolved", "reason": f"called {NAME}"}, now=MONDAY + 12 * DAY)

    everywhere = places_of(*TRACES)
    assert len(everywhere) >= 20, sorted(everywhere)
    export = desk.get(f"/v1/customers/{customer_id}/export", files=True)
    assert len(export["tables"]) > 20
    assert any(file["name"] == "Rechnung Beispiel.pdf" and file["content_base64"] for file in export["files"])
    assert "password_hash" not in str(export)

    desk.post(erase, {"reason": f"letter of {NAME}"}, now=MONDAY + 13 * DAY)
    left = places_of(*TRACES)
    assert left == {}, sorted(left)
    assert httpx.get(link, headers=at).status_code == 404
    with pytest.raises(ProblemError) as refused:
        marta.get("/v1/tickets")
    assert refused.value.status == 401
    # What was done, when, and what it cost is there; who it was for is not.
    case = desk.get(ticket)
    assert (case["kind"], case["component"], case["serial"], case["state"]) == ("repair", "motor", "K5-0001", "closed")
    assert desk.get(f"{ticket}/receipt")["gross_minor"] == 2_380
    states = [event["detail"]["to"] for event in desk.pages(f"{ticket}/events") if event["kind"] == "state"]
    assert states[-1] == "closed"
    assert desk.get("/v1/satisfaction/summary", by="technician")["items"] == []
    assert desk.get(f"/v1/satisfaction/{answer['satisfaction_id']}")["score"] == 1
