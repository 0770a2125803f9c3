"""A person is told everything, and then forgotten, wherever in the database they were."""

import base64
import json

import pytest

from careloop.client import ProblemError

NAME, PHONE, MAIL, STREET = "Marta Beispiel", "+4915123456789", "marta.beispiel@example.com", "Lindenweg 7"
TRACES = (NAME, "Beispiel", PHONE, "15123456789", MAIL, STREET, "Erika Muster", "+4930999888")
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
MODEL = {"code": "HD-5", "name": "HD 5/15", "kind": "pressure_washer", "components": [{"name": "pump"}]}


@pytest.fixture
def desk(api):
    with api.client("desk_lead") as client:
        yield client


@pytest.fixture
def target(api):
    with api.client("admin") as admin:
        admin.post("/v1/alert-targets", {"name": "log", "kind": "apprise", "url": "careloop-log://", "topics": ["*"]})


def _customer(desk, **more):
    customer = desk.post(
        "/v1/customers",
        {
            "name": NAME,
            "country": "DE",
            "note": f"{NAME} likes to be called at {PHONE}",
            "contacts": [
                {"name": NAME, "phone": PHONE, "email": MAIL, "wechat": "marta_wx"},
                {"name": "Erika Muster", "phone": "+49 30 999888", "role": "site"},
            ],
            "sites": [
                {
                    "name": f"{NAME}, at home",
                    "street": STREET,
                    "postal_code": "10115",
                    "city": "Berlin",
                    "latitude": 52.5,
                }
            ],
            **more,
        },
    )
    path = f"/v1/customers/{customer['customer_id']}"
    consent = {"channel": "sms", "purpose": "marketing", "state": "given", "source": f"{NAME} said so on {PHONE}"}
    desk.post(f"{path}/consents", consent)
    return customer


def _machine(desk, customer, serial="HD5-1"):
    site_id = customer["sites"][0]["site_id"]
    body = {"serial": serial, "model": "HD-5", "installed_at": "2026-01-01T00:00:00Z", "site_id": site_id}
    desk.post("/v1/assets", {**body, "attributes": {"engraved": f"property of {NAME}", "power_w": 1500}})


def test_a_person_is_exported_and_forgotten(api, desk, target, places_of) -> None:
    desk.post("/v1/product-models", MODEL)
    customer = _customer(desk)
    customer_id = customer["customer_id"]
    path = f"/v1/customers/{customer_id}"
    # What a number was before it was corrected is somebody's, too.
    contact = customer["contacts"][1]["contact_id"]
    desk.patch(f"/v1/contacts/{contact}", {"phone": "+49 30 111222"}, version=1)
    _machine(desk, customer)
    ticket = desk.post(
        "/v1/tickets",
        {
            "kind": "repair",
            "serial": "HD5-1",
            "component": "pump",
            "title": f"Pump of {NAME} leaks",
            "description": f"Ring the bell at {STREET}; else call 0151 234-56789, or {MAIL.upper()}",
            "evidence": {"caller": NAME, "pressure_bar": 3.5},
        },
    )
    desk.patch(
        f"/v1/tickets/{ticket['ticket_id']}", {"description": f"{NAME} is at home now"}, version=ticket["version"]
    )
    other = desk.post("/v1/customers", {"name": "Otto Other", "contacts": [{"name": "Otto", "phone": "+49 40 555666"}]})

    export = desk.get(f"{path}/export", files=True)
    tables = export["tables"]
    assert {"service.customer", "service.contact", "service.site", "service.consent", "service.asset", "service.ticket",
            "service.ticket_event", "service.alert", "service.audit"} <= set(tables)  # fmt: skip
    assert tables["service.ticket"][0]["evidence"]["caller"] == NAME
    assert "Otto" not in json.dumps(export)

    with pytest.raises(ProblemError) as refused:
        desk.post(f"{path}/erase", {"reason": "asked by letter"})
    assert refused.value.type == "/problems/erasure-obstacles"
    assert refused.value.problem["obstacles"][0]["ticket_id"] == ticket["ticket_id"]
    assert places_of(NAME), "nothing was done"

    body = {"reason": f"{NAME} asked by letter", "force": "an order of the authority"}
    erasure = desk.post(f"{path}/erase", body)
    assert erasure["reason"] == "erased asked by letter"
    assert erasure["counts"]["contact"] == 2
    assert desk.post(f"{path}/erase", body)["erasure_id"] == erasure["erasure_id"]
    assert desk.get(f"{path}/erasure") == erasure
    assert places_of(*TRACES, "+4930111222") == {}

    kept = desk.get(f"/v1/tickets/{ticket['ticket_id']}")
    assert (kept["kind"], kept["component"], kept["serial"], kept["state"]) == ("repair", "pump", "HD5-1", "open")
    assert kept["evidence"] == {"caller": "erased", "pressure_bar": 3.5}
    assert desk.get(path)["state"] == "erased"
    assert desk.get(path)["contacts"][0]["phone"] is None
    assert desk.get(f"/v1/customers/{other['customer_id']}")["name"] == "Otto Other"
    with pytest.raises(ProblemError) as refused:
        desk.post(f"{path}/contacts", {"name": NAME})
    assert refused.value.type == "/problems/customer-erased"
