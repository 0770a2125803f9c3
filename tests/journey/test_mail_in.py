"""A consumer sends a machine in that is out of warranty, and declines the quote: over HTTP only."""

from datetime import UTC, datetime, timedelta

from careloop.client import CareloopClient

MONDAY = datetime(2026, 7, 6, 8, tzinfo=UTC)
DAY = timedelta(days=1)


def _days(repair: dict) -> dict[str, str]:
    return {node["node"]: node["expected_on"] for node in repair["nodes"] if node["done_at"] is None}


def test_a_consumer_sends_a_machine_in_and_declines_the_quote(api) -> None:
    with api.client("admin") as admin, api.client("agent") as agent, api.client("technician") as workshop:
        # The house: prices, business days, where alerts go.
        prices = {
            "name": "Consumers in Germany",
            "country": "DE",
            "customer_kind": "consumer",
            "currency": "EUR",
            "valid_from": "2026-01-01",
            "labour_hour_minor": 6_000,
            "part_factor_bp": 16_000,
            "tax_rate_bp": 1_900,
        }
        admin.post("/v1/price-lists", prices, now=MONDAY)
        admin.post("/v1/alert-targets", {"name": "log", "kind": "apprise", "url": "careloop-log://", "topics": ["*"]})
        agent.post("/v1/parts", {"sku": "MOTOR", "name": "Motor", "cost_minor": 9_000})
        model = {"code": "K5", "name": "K 5", "kind": "pressure_washer", "components": [{"name": "motor"}]}
        agent.post("/v1/product-models", model)

        # Ann calls: her washer, bought six years ago, does not run any more.
        ann = agent.post("/v1/customers", {"name": "Ann", "kind": "consumer", "country": "DE"})
        machine = {"serial": "K5-0001", "model": "K5", "installed_at": "2020-05-01T00:00:00Z"}
        agent.post("/v1/assets", {**machine, "customer_id": ann["customer_id"]})
        case = {"kind": "repair", "serial": "K5-0001", "title": "Does not run", "service_mode": "mail_in"}
        ticket_id = agent.post("/v1/tickets", {**case, "component": "motor"}, now=MONDAY)["ticket_id"]
        fee = {
            "kind": "diagnosis",
            "amount_minor": 2_380,
            "tax_rate_bp": 1_900,
            "currency": "EUR",
            "text": "If I decline the quote I pay 23.80 EUR for the diagnosis.",
            "given_by": "Ann",
            "channel": "phone",
            "how_obtained": "read to her in the call of 10:02, she said yes",
        }
        agent.post(f"/v1/tickets/{ticket_id}/agreed-fees", fee, now=MONDAY)
        repair = agent.post("/v1/repairs", {"ticket_id": ticket_id}, now=MONDAY)
        path = f"/v1/repairs/{repair['repair_id']}"
        # Out of warranty, so that a quote lies ahead; five business days until it is here.
        assert list(_days(repair)) == ["received", "diagnosed", "quoted", "accepted", "repaired", "tested", "shipped",
                                       "delivered", "closed"]  # fmt: skip
        assert _days(repair)["received"] == "2026-07-13"
        assert agent.get(f"/v1/tickets/{ticket_id}")["state"] == "waiting_customer"
        label_id = repair["shipments"][0]["label_file_id"]

        key = api.scoped_key("customer", customer_id=ann["customer_id"])
        with CareloopClient(api.url, key) as customer:
            # She prints the label and sees where her machine is, but neither costs nor what others have.
            assert customer.get_text(f"/v1/files/{label_id}/content").startswith("%PDF")
            assert customer.get(path)["next_node"] == "received"
            (seen,) = customer.pages("/v1/repairs")
            assert seen["repair_id"] == repair["repair_id"]

            # The parcel comes early: what was promised is not moved to an earlier day for that.
            parcel = {
                "serial": "K5-0001",
                "condition": "dirty, housing cracked",
                "accessories": [{"name": "hose"}, {"name": "lance", "quantity": 2}],
                "freight_minor": 650,
            }
            repair = workshop.post(f"{path}/receive", parcel, now=MONDAY + 2 * DAY)
            assert _days(repair)["diagnosed"] == "2026-07-15"
            diagnosis = {
                "diagnosis": "Motor burnt out",
                "fault_code": "M-01",
                "component": "motor",
                "labour_minutes": 30,
            }
            repair = workshop.post(f"{path}/diagnose", diagnosis, now=MONDAY + 3 * DAY)
            assert (repair["bearer"], repair["warranty"]["covered"]) == ("customer", False)

            lines = [{"kind": "labour", "quantity": 60}, {"kind": "part", "code": "MOTOR"}]
            repair = workshop.post(f"{path}/quote", {"lines": lines}, now=MONDAY + 3 * DAY)
            assert (repair["state"], repair["next_node"]) == ("quoted", "accepted")
            quote = customer.get(f"/v1/quotes/{repair['quote_id']}", now=MONDAY + 3 * DAY)
            assert quote["gross_minor"] == round((6_000 + 14_400) * 1.19)
            assert customer.get(f"/v1/tickets/{ticket_id}")["state"] == "waiting_customer"

            # She declines; the machine is to go back as it is.
            no = {"reason": "A new one costs less", "given_by": "Ann"}
            declined = customer.post(f"/v1/quotes/{quote['quote_id']}/decline", no, now=MONDAY + 4 * DAY)
            assert (declined["state"], declined["consent"]["channel"]) == ("declined", "portal")
            repair = customer.get(path)
            assert (repair["state"], repair["next_node"]) == ("declined", "returned_unrepaired")
            back = {"carrier": "Post", "tracking_number": "P-77", "reason": "quote declined", "freight_minor": 700}
            repair = workshop.post(f"{path}/return", back, now=MONDAY + 7 * DAY)
            assert repair["state"] == "returned_unrepaired"
            sent = repair["shipments"][-1]["contents"]
            assert [(item["kind"], item["code"], item["quantity"]) for item in sent] == [
                ("machine", "K5-0001", 1),
                ("accessory", "hose", 1),
                ("accessory", "lance", 2),
            ]
            repair = workshop.post(f"{path}/close", {}, now=MONDAY + 9 * DAY)
            assert (repair["state"], _days(repair)) == ("closed", {})
            assert customer.get(f"/v1/tickets/{ticket_id}")["state"] == "closed"

            # She pays what she agreed to, and nothing else.
            balance = customer.get(f"/v1/tickets/{ticket_id}/balance")
            assert (balance["fees_minor"], balance["charged_minor"], balance["accepted_minor"]) == (2_380, 0, 0)
            paid = {"provider": "till", "external_reference": "t-1", "amount_minor": 2_380, "currency": "EUR"}
            agent.post(f"/v1/tickets/{ticket_id}/payments", {**paid, "state": "captured"}, now=MONDAY + 9 * DAY)
            receipt = customer.get(f"/v1/tickets/{ticket_id}/receipt")
            assert (receipt["gross_minor"], receipt["tax_minor"], receipt["balance"]["balance_minor"]) == (
                2_380,
                380,
                0,
            )

        # What it cost the maker is ours to know: freight both ways.
        costs = agent.get(f"{path}/costs")
        assert {cost["kind"]: cost["amount_minor"] for cost in costs["items"]} == {
            "freight_in": 650,
            "freight_out": 700,
        }
        # And she was told of every step: where it is, when what is expected, and what comes next.
        told = [alert for alert in agent.pages("/v1/alerts") if alert["topic"].startswith(("repair.", "quote."))]
        assert [alert["topic"] for alert in told] == [
            "repair.opened",
            "repair.moved",
            "repair.moved",
            "quote.sent",
            "repair.moved",
            "repair.moved",
            "quote.declined",
            "repair.moved",
            "repair.moved",
        ]
        assert "hand it to the carrier" in told[0]["body"]
        assert "- Your machine arrives at our workshop: Mon 13 Jul 2026 (next)" in told[0]["body"]
        assert "Parcel: Post, number P-77." in told[7]["body"]
