"""Customers, contacts, sites and consents over HTTP."""

import pytest

from careloop.client import ProblemError

MARTA = {
    "name": "Marta Beispiel",
    "language": "de",
    "country": "DE",
    "channel": "online_shop",
    "contacts": [{"name": "Marta Beispiel", "phone": "0151 23456789", "email": "Marta@Example.com"}],
    "sites": [{"name": "At home", "street": "Lindenweg 7", "postal_code": "10115", "city": "Berlin", "country": "DE"}],
}
HOTEL = {
    "name": "Hotel Größe & Söhne GmbH",
    "kind": "business",
    "tax_number": "DE 123.456.789",
    "contacts": [
        {"name": "王小明", "phone": "+86 138 0013 8000", "role": "technical"},
        {"name": "Erika Łukasz", "email": "erika@example.org", "role": "billing"},
    ],
}


def _refused(status, type_, call, *args, **options):
    with pytest.raises(ProblemError) as refused:
        call(*args, **options)
    assert (refused.value.status, refused.value.type) == (status, f"/problems/{type_}"), refused.value
    return refused.value.problem


def _found(agent, **query):
    return [customer["customer_id"] for customer in agent.pages("/v1/customers", **query)]


def test_a_customer_with_contacts_and_sites(agent, send) -> None:
    marta = agent.post("/v1/customers", MARTA)
    assert (marta["kind"], marta["state"], marta["contacts"][0]["phone"]) == ("consumer", "active", "+4915123456789")
    assert marta["contacts"][0]["email"] == "marta@example.com"
    assert marta["sites"][0]["city"] == "Berlin"
    path = f"/v1/customers/{marta['customer_id']}"
    changed = agent.patch(path, {"channel": "retailer", "note": "calls on Mondays"}, version=1)
    assert (changed["channel"], changed["name"], changed["version"]) == ("retailer", "Marta Beispiel", 2)
    _refused(412, "changed-meanwhile", agent.patch, path, {"note": ""}, version=1)
    assert _refused(422, "bad-field", agent.patch, path, {"tax_number": "1"}, version=2)["errors"][0]["field"] == (
        "body.tax_number"
    )
    business = agent.patch(path, {"kind": "business", "tax_number": "1-2"}, version=2)
    assert business["tax_number"] == "12"
    _refused(422, "bad-field", agent.patch, path, {"kind": "consumer"}, version=3)

    contact = agent.post(f"{path}/contacts", {"name": "Neighbour", "phone": "030 1234567", "role": "site"})
    assert contact["phone"] == "+49301234567"
    agent.patch(f"/v1/contacts/{contact['contact_id']}", {"active": False, "phone": None}, version=1)
    assert [one["name"] for one in agent.pages(f"{path}/contacts", active=True)] == ["Marta Beispiel"]
    assert len(list(agent.pages(f"{path}/contacts"))) == 2

    site = agent.post("/v1/sites", {"name": "Garden", "customer_id": marta["customer_id"]})
    moved = agent.patch(f"/v1/sites/{site['site_id']}", {"street": "Ufer 1", "country": "AT"}, version=1)
    assert (moved["street"], moved["name"], moved["version"]) == ("Ufer 1", "Garden", 2)
    assert len(list(agent.pages("/v1/sites", customer_id=marta["customer_id"]))) == 2

    asleep = send(path + "/deactivate", version=3)
    assert (asleep.status_code, asleep.json()["state"]) == (200, "inactive")
    assert send(path + "/deactivate", version=4).status_code == 409
    assert send(path + "/reactivate", version=3).status_code == 412
    assert send(path + "/reactivate").status_code == 428
    assert _found(agent, state="inactive") == [marta["customer_id"]]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"country": "EU"}, "body.country"),
        ({"tax_number": "12"}, "body.tax_number"),
        ({"name": ""}, "body.name"),
        ({"contacts": [{"name": "x", "phone": "12"}]}, "body.contacts.0.phone"),
        ({"contacts": [{"name": "x", "email": "nobody"}]}, "body.contacts.0.email"),
        ({"sites": [{"name": "x", "time_zone": "Mars"}]}, "body.sites.0.time_zone"),
    ],
)
def test_a_bad_field_is_named(agent, change, field) -> None:
    assert _refused(422, "bad-field", agent.post, "/v1/customers", {**MARTA, **change})["errors"][0]["field"] == field


def test_search_by_what_somebody_says_at_the_phone(agent, machine) -> None:
    marta, hotel = agent.post("/v1/customers", MARTA), agent.post("/v1/customers", HOTEL)
    one, two = marta["customer_id"], hotel["customer_id"]
    machine("HD5-77", hotel)
    for query, found in [
        ({"name": "beisp mar"}, [one]), ({"name": "GROSSE sohne"}, [two]), ({"name": "小明"}, [two]),
        ({"name": "erika"}, [two]), ({"name": "e"}, [two]), ({"name": "?!"}, []), ({"name": "eispiel"}, []),
        ({"phone": "+49 151 23456789"}, [one]), ({"phone": "0151/23456789"}, [one]), ({"phone": "0138000"}, [two]),
        ({"phone": "0151 23456789", "country": "DE"}, [one]), ({"phone": "+49 30 1234567"}, []),
        ({"email": "MARTA@example.com"}, [one]), ({"serial": "HD5-77"}, [two]), ({"serial": "HD5-7"}, []),
        ({"tax_number": "de123456789"}, [two]), ({"kind": "business"}, [two]), ({"channel": "online_shop"}, [one]),
        ({"kind": "consumer", "name": "hotel"}, []), ({}, [one, two]),
    ]:  # fmt: skip
        assert _found(agent, **query) == found, query
    assert _refused(422, "bad-field", agent.get, "/v1/customers", phone="123")["errors"][0]["field"] == "query.phone"


def test_consents_have_a_history_and_the_newest_holds(agent) -> None:
    path = f"/v1/customers/{agent.post('/v1/customers', MARTA)['customer_id']}/consents"

    def said(state, at, **more):
        body = {"channel": "email", "purpose": "marketing", "state": state, "source": "web form", **more}
        return agent.post(path, {**body, "at": at} if at else body)

    def holds(channel="email", purpose="marketing"):
        consents = {(one["channel"], one["purpose"]): one for one in agent.get(path)["consents"]}
        assert len(consents) == 12
        return consents[channel, purpose]["state"], consents[channel, purpose]["may_contact"]

    assert (holds(), holds(purpose="service")) == ((None, False), (None, True))
    said("given", "2026-02-01T00:00:00Z")
    assert holds() == ("given", True)
    said("withdrawn", None)
    assert holds() == ("withdrawn", False)
    # A paper of last month that comes in late does not undo what was said since.
    said("given", "2026-01-01T00:00:00Z")
    assert holds() == ("withdrawn", False)
    said("withdrawn", None, purpose="service", channel="sms")
    assert holds("sms", "service") == ("withdrawn", False)
    assert len(list(agent.pages(f"{path}/history"))) == 4
    assert _refused(422, "bad-field", said, "given", "2999-01-01T00:00:00Z")["errors"][0]["field"] == "body.at"


def test_a_customer_sees_and_changes_only_what_is_theirs(api, agent) -> None:
    marta, hotel = agent.post("/v1/customers", {**MARTA, "note": "difficult"}), agent.post("/v1/customers", HOTEL)
    with api.scoped_client("customer", customer_id=marta["customer_id"]) as self:
        assert _found(self) == [marta["customer_id"]]
        own, other = f"/v1/customers/{marta['customer_id']}", f"/v1/customers/{hotel['customer_id']}"
        assert self.get(own)["note"] == ""
        _refused(404, "not-found", self.get, other)
        _refused(404, "not-found", self.get, f"/v1/contacts/{hotel['contacts'][0]['contact_id']}")
        _refused(404, "not-found", self.post, f"{other}/contacts", {"name": "me"})
        consent = {"channel": "sms", "purpose": "service", "state": "withdrawn", "source": "own account"}
        _refused(404, "not-found", self.post, f"{other}/consents", consent)
        assert self.post(f"{own}/consents", consent)["recorded_by"] == "test-customer"
        assert self.post(f"{own}/contacts", {"name": "me", "phone": "0151 99999999"})["phone"] == "+4915199999999"
        _refused(403, "forbidden", self.patch, own, {"name": "Somebody else"}, version=1)
