"""Counts of stock: blind sheets, judged by the moment of looking, approved by somebody else, while all goes on."""

from datetime import timedelta

import pytest

from api.stock.rules import STOCK_COUNT, Variance, needs_approval
from careloop.client import CareloopClient
from tests.api.conftest import NOW, refusal

HOUR = timedelta(hours=1)
COUNTS = "/v1/stock/counts"


@pytest.fixture
def hub(stores):
    """Twenty pumps of 50.00 EUR and thirty seals of 0.07 CNY."""
    stores.part(cost_minor=5000)
    stores.part("SEAL", cost_minor=7, currency="CNY")
    stores.warehouse("HUB", pieces=20)
    stores.receive("HUB", 30, "SEAL")
    return stores


def told(client: CareloopClient, number: int, *, now=NOW + HOUR, **pieces: int):
    lines = [{"sku": sku, "counted": counted} for sku, counted in pieces.items()]
    return client.post(f"{COUNTS}/{number}/lines", {"lines": lines}, now=now)


def test_small_differences_are_posted_at_once(hub) -> None:
    client = hub.client
    sheet = client.post(COUNTS, {"warehouse": "HUB", "note": "yearly"}, now=NOW)
    number = sheet["stock_count_id"]
    assert (sheet["state"], sheet["lines"], sheet["open"], sheet["variances"]) == ("draft", 2, 2, [])
    refused = refusal(client.post, f"{COUNTS}/{number}/finish", {})
    assert (refused.type, refused.problem["skus"]) == ("/problems/lines-open", ["PUMP", "SEAL"])
    told(client, number, PUMP=18)
    told(client, number, PUMP=19, SEAL=31)
    blind = list(client.pages(f"{COUNTS}/{number}/lines"))
    assert [(line["sku"], line["counted"], line["expected"], line["variance"]) for line in blind] == [
        ("PUMP", 19, None, None), ("SEAL", 31, None, None),
    ]  # fmt: skip
    # What is sold between the look and the approval is nobody's fault.
    client.post(
        "/v1/parts/movements",
        {"sku": "PUMP", "warehouse": "HUB", "kind": "consume", "quantity": 5, "cause": "x"},
        now=NOW + 2 * HOUR,
    )
    done = client.post(f"{COUNTS}/{number}/finish", {}, now=NOW + 3 * HOUR)
    assert (done["state"], done["variances"]) == (
        "approved",
        [
            {"currency": "CNY", "found_minor": 7, "missing_minor": 0, "lines": 1},
            {"currency": "EUR", "found_minor": 0, "missing_minor": 5000, "lines": 1},
        ],
    )
    assert (hub.balance("HUB"), hub.balance("HUB", "SEAL")) == ((14, 0, 14), (31, 0, 31))
    moved = [
        (line["kind"], line["on_hand_change"]) for line in client.pages("/v1/parts/movements", cause=f"count:{number}")
    ]
    assert moved == [("count", -1), ("count", 1)]
    for action in ("finish", "cancel", "approve", "reject"):
        assert refusal(client.post, f"{COUNTS}/{number}/{action}", {}).type == "/problems/stock-count-state"
    assert refusal(told, client, number, PUMP=1).type == "/problems/stock-count-state"
    assert client.get("/v1/stock/proof")["balanced"]


def test_large_differences_need_somebody_else_and_may_be_counted_again(api, hub) -> None:
    with api.client("agent") as counter, api.client("dispatcher") as judge:
        number = counter.post(COUNTS, {"warehouse": "HUB", "skus": ["PUMP"]}, now=NOW)["stock_count_id"]
        told(counter, number, PUMP=11, SEAL=30)
        waiting = counter.post(f"{COUNTS}/{number}/finish", {}, now=NOW + HOUR)
        assert (waiting["state"], waiting["lines"], waiting["variances"][1]["missing_minor"]) == ("counted", 2, 45000)
        assert hub.balance("HUB") == (20, 0, 20)
        assert refusal(counter.post, f"{COUNTS}/{number}/approve", {"reason": "me"}).type == "/problems/same-person"
        (line,) = judge.pages(f"{COUNTS}/{number}/lines", differing="true")
        assert (line["sku"], line["expected"], line["variance"], line["value_minor"]) == ("PUMP", 20, -9, -45000)
        again = judge.post(f"{COUNTS}/{number}/reject", {"reason": "look behind the door"}, now=NOW + 2 * HOUR)
        assert (again["state"], again["recount_of"], again["lines"]) == ("draft", number, 1)
        told(counter, again["stock_count_id"], now=NOW + 3 * HOUR, PUMP=15)
        counter.post(f"{COUNTS}/{again['stock_count_id']}/finish", {}, now=NOW + 3 * HOUR)
        # Those kept for jobs are not taken away: they must be given something else first.
        kept = hub.reserve(hub.job(), quantity=16)
        path = f"{COUNTS}/{again['stock_count_id']}/approve"
        assert refusal(judge.post, path, {"reason": "so be it"}).type == "/problems/stock-out-of-range"
        hub.client.post(f"/v1/parts/reservations/{kept['reservation_id']}/release", {})
        approved = judge.post(path, {"reason": "so be it"}, now=NOW + 4 * HOUR)
        assert (approved["state"], approved["decision"]) == ("approved", "so be it")
        assert hub.balance("HUB") == (15, 0, 15)
        states = [(item["stock_count_id"], item["state"]) for item in judge.pages(COUNTS, warehouse="HUB")]
        assert states == [(number, "rejected"), (again["stock_count_id"], "approved")]
        assert [item["stock_count_id"] for item in judge.pages(COUNTS, state="rejected")] == [number]


def test_a_look_that_is_told_late_counts_for_its_own_moment(hub) -> None:
    number = hub.client.post(COUNTS, {"warehouse": "HUB", "skus": ["PUMP"]}, now=NOW)["stock_count_id"]
    hub.receive("HUB", 7)
    hub.client.post(
        "/v1/parts/movements",
        {"sku": "PUMP", "warehouse": "HUB", "kind": "issue", "quantity": 3, "cause": "x"},
        now=NOW + 2 * HOUR,
    )
    line = {"sku": "PUMP", "counted": 27, "counted_at": (NOW + HOUR).isoformat()}
    hub.client.post(f"{COUNTS}/{number}/lines", {"lines": [line]}, now=NOW + 3 * HOUR)
    done = hub.client.post(f"{COUNTS}/{number}/finish", {}, now=NOW + 3 * HOUR)
    assert (done["state"], done["variances"][0]["lines"], hub.balance("HUB")) == ("approved", 0, (24, 0, 24))


def test_what_cannot_be_counted_is_said(api, hub) -> None:
    client = hub.client
    hub.warehouse("EMPTY")
    ours = client.post("/v1/providers", {"code": "OURS", "name": "Ours"})["provider_id"]
    hub.warehouse("THEIRS", kind="partner", pieces=1, provider_id=ours)
    for body, field in (
        ({"warehouse": "NONE"}, "body.warehouse"),
        ({"warehouse": "HUB", "bin": "A1"}, "body.bin"),
        ({"warehouse": "HUB", "skus": ["PUMP", "NONE"]}, "body.skus.1"),
    ):
        assert refusal(client.post, COUNTS, body).problem["errors"][0]["field"] == field
    assert refusal(client.post, COUNTS, {"warehouse": "EMPTY"}).type == "/problems/nothing-to-count"
    number = client.post(COUNTS, {"warehouse": "HUB"}, now=NOW)["stock_count_id"]
    path = f"{COUNTS}/{number}/lines"
    late = {"sku": "PUMP", "counted": 1, "counted_at": (NOW + HOUR).isoformat()}
    for lines, field in (
        ([late], "body.lines.0.counted_at"),
        ([{"sku": "PUMP", "counted": 1}, {"sku": "NONE", "counted": 1}], "body.lines.1.sku"),
        ([{"sku": "PUMP", "counted": 1}] * 2, "body.lines"),
    ):
        refused = refusal(client.post, path, {"lines": lines}, now=NOW)
        assert refused.problem["errors"][0]["field"] == field
    assert client.post(f"{COUNTS}/{number}/cancel", {"reason": "rain"}, now=NOW)["state"] == "cancelled"
    with api.scoped_client("partner_manager", provider_id=ours) as partner:
        assert refusal(partner.post, COUNTS, {"warehouse": "HUB"}).status == 403
        assert partner.post(COUNTS, {"warehouse": "THEIRS"}, now=NOW)["lines"] == 1
        # The sheet of the house's warehouse can be seen, not counted.
        assert refusal(partner.post, f"{COUNTS}/{number}/finish", {}).status == 403


def test_what_was_found_does_not_make_good_for_what_is_missing() -> None:
    assert not needs_approval([], 0)
    assert not needs_approval([Variance("EUR", 60, 40)], 100)
    assert needs_approval([Variance("EUR", 1, 1), Variance("CNY", 60, 41)], 100)
    assert STOCK_COUNT.final == {"approved", "rejected", "cancelled"}
