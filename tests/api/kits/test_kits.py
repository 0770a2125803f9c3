"""Kits are taken apart and put together, and nothing is lost between."""

from careloop.database.engine import connect


def test_a_kit_is_taken_apart_and_put_together(api, refusal) -> None:
    with api.client("service") as desk:
        for sku in ("KIT", "SEAL", "FILTER"):
            desk.post("/v1/parts", {"sku": sku, "name": sku})
        desk.post("/v1/warehouses", {"code": "HUB", "name": "Hub", "kind": "central"})
        body = {"warehouse": "HUB", "quantity": 2}
        assert refusal(desk.post, "/v1/kits/KIT/take-apart", body).type == "/problems/not-a-kit"
        items = [{"sku": "SEAL", "quantity": 4}, {"sku": "FILTER", "quantity": 1}]
        desk.put("/v1/parts/KIT/kit", {"items": items}, version=1)
        assert refusal(desk.post, "/v1/kits/KIT/take-apart", body).type == "/problems/stock-out-of-range"
        receipt = {"sku": "KIT", "warehouse": "HUB", "kind": "receipt", "quantity": 3, "cause": "delivery 1"}
        desk.post("/v1/parts/movements", receipt)
        done = desk.post("/v1/kits/KIT/take-apart", body)
        assert done["parts"] == [{"sku": "FILTER", "quantity": 2}, {"sku": "SEAL", "quantity": 8}]
        assert len(done["movement_ids"]) == 3

        def there() -> dict[str, int]:
            return {row["sku"]: row["on_hand"] for row in desk.pages("/v1/parts/stock", warehouse="HUB")}

        assert there() == {"KIT": 1, "FILTER": 2, "SEAL": 8}
        assert refusal(desk.post, "/v1/kits/KIT/put-together", {**body, "quantity": 3}).problem["sku"] == "SEAL"
        desk.post("/v1/kits/KIT/put-together", {**body, "quantity": 1})
        assert there() == {"KIT": 2, "FILTER": 1, "SEAL": 4}
        refused = refusal(desk.post, "/v1/kits/KIT/take-apart", {**body, "ticket_id": 9})
        assert refused.problem["errors"][0]["field"] == "body.ticket_id"
        with api.client("admin") as admin:
            number = admin.post("/v1/providers", {"code": "P1", "name": "P1"})["provider_id"]
        with api.scoped_client("partner_manager", provider_id=number) as manager:
            assert refusal(manager.post, "/v1/kits/KIT/take-apart", body).status == 403
        desk.post("/v1/warehouses", {"code": "OWN", "name": "Own", "kind": "partner", "provider_id": number})
        desk.post("/v1/parts/movements", {**receipt, "warehouse": "OWN"})
        with api.scoped_client("partner_manager", provider_id=number) as manager:
            assert manager.post("/v1/kits/KIT/take-apart", {**body, "warehouse": "OWN"})["quantity"] == 2
    with connect(api.database_url) as owner:
        assert owner.execute("SELECT * FROM service.stock_imbalance").fetchall() == []
