"""A piece's life over HTTP, and the ledger that follows it."""

from datetime import UTC, datetime, timedelta

import pytest

from careloop.database.engine import connect

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)


@pytest.fixture
def desk(api):
    with api.client("service") as client:
        client.post("/v1/product-models", {"code": "HD-5", "name": "HD 5", "kind": "washer"})
        for serial in ("HD5-1", "HD5-2"):
            client.post("/v1/assets", {"serial": serial, "model": "HD-5", "installed_at": "2026-01-01T00:00:00Z"})
        for code, kind in (("HUB", "central"), ("SHOP", "repair_centre"), ("VAN", "van")):
            client.post("/v1/warehouses", {"code": code, "name": code, "kind": kind})
        client.post("/v1/parts", {"sku": "MOTOR", "name": "Motor", "rotable": True})
        client.post("/v1/parts", {"sku": "SEAL", "name": "Seal"})
        yield client


@pytest.fixture
def balance(desk):
    def balance(warehouse: str) -> tuple[int, int]:
        found = list(desk.pages("/v1/parts/stock", sku="MOTOR", warehouse=warehouse))
        return (found[0]["on_hand"], found[0]["issued"]) if found else (0, 0)

    return balance


def test_a_piece_goes_round_and_every_step_is_in_the_ledger(api, desk, balance, refusal) -> None:
    made = desk.post("/v1/rotables", {"sku": "MOTOR", "serial": "M-1", "warehouse": "HUB"}, now=NOW)
    path = f"/v1/rotables/{made['rotable_id']}"

    def do(action: str, body: dict | None = None, days: int = 0):
        return desk.post(f"{path}/{action}", body or {}, now=NOW + timedelta(days=days))

    assert (made["state"], balance("HUB")) == ("in_stock", (1, 0))
    assert refusal(desk.post, "/v1/rotables", {"sku": "MOTOR", "serial": "M-1", "warehouse": "HUB"}).status == 409
    assert do("issue")["state"] == "issued"
    assert balance("HUB") == (0, 1)
    do("give-back")
    do("issue")
    installed = do("install", {"asset": "HD5-1", "component": "motor"})
    assert (installed["asset"], installed["warehouse"], balance("HUB")) == ("HD5-1", None, (0, 0))
    assert refusal(do, "install", {"asset": "HD5-2"}).type == "/problems/rotable-state"
    early = refusal(do, "remove", {"reason": "noise", "removed_at": "2026-06-30T00:00:00Z"})
    assert early.problem["errors"][0]["field"] == "body.removed_at"
    removed = do("remove", {"reason": "noise", "condition": "bearing worn"}, days=40)
    assert (removed["state"], removed["asset"]) == ("removed", "HD5-1")
    assert refusal(do, "take-in", {"warehouse": "HUB"}).problem["errors"][0]["field"] == "body.warehouse"
    assert do("take-in", {"warehouse": "SHOP"}, days=41)["state"] == "quarantined"
    assert balance("SHOP") == (1, 0)
    assert do("send", {"repairer": "Motor & Co"}, days=42)["state"] == "in_repair"
    assert balance("SHOP") == (0, 0)
    back = {"warehouse": "VAN", "fault_found": True, "cost_minor": 4500, "currency": "EUR"}
    assert refusal(do, "take-back", {**back, "warehouse": "SHOP"}).status == 422
    assert (do("take-back", back, days=50)["repairs"], balance("VAN")) == (1, (1, 0))
    events = list(desk.pages(f"{path}/history", limit=4))
    assert [event["action"] for event in events] == [
        "register", "issue", "give_back", "issue", "install", "remove", "take_in", "send", "take_back",
    ]  # fmt: skip
    assert (events[5]["days_in_machine"], events[5]["note"], events[5]["asset"]) == (40, "noise", "HD5-1")
    assert [len(event["movement_ids"]) for event in events] == [1, 1, 1, 1, 1, 0, 1, 1, 1]
    lines = {line["movement_id"]: line for line in desk.pages("/v1/parts/movements", sku="MOTOR")}
    assert [lines[event["movement_ids"][0]]["kind"] for event in events if event["movement_ids"]] == [
        "receipt", "issue", "return", "issue", "consume", "return", "repair_out", "repair_in",
    ]  # fmt: skip
    told = desk.get("/v1/rotables/reliability/MOTOR")
    assert (told["removals"], told["mean_days_in_machine"], told["repairs"]) == (1, 40.0, 1)
    assert told["repair_costs_minor"] == {"EUR": 4500}
    assert desk.get("/v1/rotables/reliability/SEAL")["pieces"] == 0
    assert desk.get("/v1/rotables/differences") == []
    with connect(api.database_url) as owner:
        assert owner.execute("SELECT * FROM service.stock_imbalance").fetchall() == []


def test_pieces_end_wherever_they_are_and_what_was_counted_is_not_received_again(desk, balance, refusal) -> None:
    receipt = {"sku": "MOTOR", "warehouse": "HUB", "kind": "receipt", "quantity": 2, "cause": "delivery 1"}
    desk.post("/v1/parts/movements", receipt)
    assert [row["on_hand"] for row in desk.get("/v1/rotables/differences")] == [2]
    new = {"sku": "MOTOR", "warehouse": "HUB", "arrival": "counted"}
    paths = [f"/v1/rotables/{desk.post('/v1/rotables', {**new, 'serial': f'M-{n}'})['rotable_id']}" for n in (1, 2)]
    assert refusal(desk.post, "/v1/rotables", {**new, "serial": "M-3"}).type == "/problems/no-piece"
    assert (balance("HUB"), desk.get("/v1/rotables/differences")) == ((2, 0), [])
    built_in = {"sku": "MOTOR", "serial": "M-9", "asset": "HD5-2", "component": "motor"}
    third = f"/v1/rotables/{desk.post('/v1/rotables', built_in)['rotable_id']}"
    desk.post(f"{third}/remove", {"reason": "recall"})
    desk.post(f"{third}/take-in", {"warehouse": "SHOP"})
    released = desk.post(f"{third}/release", {"warehouse": "HUB", "note": "nothing found"})
    assert (released["state"], balance("SHOP"), balance("HUB")) == ("in_stock", (0, 0), (3, 0))
    desk.post(f"{paths[0]}/send", {"repairer": "Motor & Co"})
    assert desk.post(f"{paths[0]}/scrap", {"reason": "beyond repair"})["state"] == "scrapped"
    assert desk.post(f"{paths[1]}/lose", {"reason": "not there"})["state"] == "lost"
    assert balance("HUB") == (1, 0)
    assert desk.post(f"{paths[1]}/find", {"warehouse": "SHOP"})["state"] == "quarantined"
    assert refusal(desk.post, f"{third}/relocate", {"warehouse": "VAN"}).type == "/problems/no-piece"
    assert refusal(desk.post, f"{paths[0]}/find", {"warehouse": "SHOP"}).type == "/problems/rotable-state"
    assert refusal(desk.post, f"{third}/issue", {"ticket_id": 99}).problem["errors"][0]["field"] == "body.ticket_id"
    bad = {"sku": "SEAL", "serial": "S-1", "warehouse": "HUB"}
    assert refusal(desk.post, "/v1/rotables", bad).problem["errors"][0]["field"] == "body.sku"
    assert [one["serial"] for one in desk.pages("/v1/rotables", asset="HD5-2")] == []
    assert [one["serial"] for one in desk.pages("/v1/rotables", warehouse="HUB", state="in_stock")] == ["M-9"]
    assert desk.get("/v1/rotables/differences") == []


def test_one_piece_is_taken_by_one_of_two(desk, at_once) -> None:
    made = desk.post("/v1/rotables", {"sku": "MOTOR", "serial": "M-1", "warehouse": "HUB"})
    path = f"/v1/rotables/{made['rotable_id']}/install"
    answers = at_once(lambda client, serial: client.post(path, {"asset": serial}), ["HD5-1", "HD5-2"])
    assert sorted(getattr(answer, "type", "installed") for answer in answers) == [
        "/problems/rotable-state",
        "installed",
    ]


def test_a_technician_fits_what_the_house_handed_out(desk, api, refusal) -> None:
    with api.client("admin") as admin:
        number = admin.post("/v1/providers", {"code": "P1", "name": "P1"})["provider_id"]
    ticket = desk.open_ticket({"kind": "repair", "serial": "HD5-1", "title": "Noise"}, now=NOW)
    with connect(api.database_url) as owner:
        owner.execute("UPDATE service.ticket SET provider_id = %s", (number,))
    made = desk.post("/v1/rotables", {"sku": "MOTOR", "serial": "M-1", "warehouse": "HUB"})
    path = f"/v1/rotables/{made['rotable_id']}"
    with api.scoped_client("partner_manager", provider_id=number) as manager:
        assert refusal(manager.post, f"{path}/scrap", {"reason": "mine"}).type == "/problems/not-yours"
        assert refusal(manager.post, f"{path}/issue", {}).type == "/problems/not-yours"
        assert refusal(manager.post, "/v1/rotables", {"sku": "MOTOR", "serial": "X", "warehouse": "HUB"}).status == 403
    desk.post(f"{path}/issue", {"ticket_id": ticket["ticket_id"]})
    with api.scoped_client("technician", provider_id=number) as technician:
        assert refusal(technician.post, f"{path}/install", {"asset": "HD5-2"}).status == 422
        body = {"asset": "HD5-1", "component": "motor", "ticket_id": ticket["ticket_id"]}
        assert technician.post(f"{path}/install", body)["state"] == "installed"
        assert technician.post(f"{path}/remove", {"reason": "wrong one"})["state"] == "removed"
        assert technician.post(f"{path}/install", body)["state"] == "installed"
    assert desk.get("/v1/rotables/differences") == []
