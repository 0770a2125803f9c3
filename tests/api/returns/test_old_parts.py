"""Old parts that the maker wants back: listed by who has them, taken in once."""

import uuid


def path_of(visit) -> str:
    return f"/v1/visits/{visit['visit_id']}"


def old_part(desk, fate: str, hours: float) -> tuple[str, int]:
    """A part taken out on a visit: the visit's path, and the part's number."""
    visit = desk.visit(hours)
    desk.on_site(visit)
    used = {"entry_id": str(uuid.uuid4()), "kind": "used", "sku": "PUMP", "warehouse": "VAN-1", "old_part": fate}
    (part,) = desk.post("technician", f"{path_of(visit)}/parts", used)["parts"]
    return path_of(visit), part["visit_part_id"]


def numbers(desk, role: str, query: str = "") -> list[int]:
    return [part["visit_part_id"] for part in desk.get(role, f"/v1/old-parts{query}")["items"]]


def test_an_old_part_is_to_be_returned_until_it_is_received(api, desk) -> None:
    path, first = old_part(desk, "return_to_maker", 24)
    _, second = old_part(desk, "return_to_maker", 48)
    old_part(desk, "scrap", 72)
    desk.post("technician", f"{path}/parts/{first}/old-part", {"old_part": "return_to_maker", "old_serial": "OLD-7"})
    assert numbers(desk, "agent") == [first, second]
    page = desk.get("agent", "/v1/old-parts?limit=1")
    assert [part["visit_part_id"] for part in page["items"]] == [first]
    assert numbers(desk, "agent", f"?limit=1&after={page['next']}") == [second]

    received = desk.post("agent", f"/v1/old-parts/{first}/received", {"note": "Cracked."})
    assert [received[name] for name in ("state", "old_serial", "sku", "serial", "provider_id", "note")] == [
        "received", "OLD-7", "PUMP", "HD5-1", 1, "Cracked.",
    ]  # fmt: skip
    assert received["received_by"] == "test-agent"
    again = desk.refused("agent", "POST", f"/v1/old-parts/{first}/received")
    assert (again["status"], again["type"]) == (409, "/problems/old-part-received")
    scrap = {"old_part": "scrap"}
    late = desk.refused("technician", "POST", f"{path}/parts/{first}/old-part", scrap)
    assert (late["status"], late["type"]) == (409, "/problems/old-part-received")
    assert desk.refused("agent", "POST", "/v1/old-parts/999/received")["status"] == 404
    history = desk.get("agent", f"/v1/tickets/{received['ticket_id']}/events")["items"]
    assert "visit.old_part_received" in {line["kind"] for line in history}

    # A partner's people see their own, and nobody else's.
    desk.keys["stranger"] = api.scoped_key("partner_manager", provider_id=_other_partner(desk))
    for query, expected in (
        ("?state=to_return", [second]),
        ("?state=received", [first]),
        ("?provider_id=1", [first, second]),
        ("?provider_id=1&state=to_return", [second]),
        ("?provider_id=2", []),
    ):
        for role in ("agent", "partner_manager", "technician"):
            assert numbers(desk, role, query) == expected, (role, query)
        assert numbers(desk, "stranger", query) == []
    for role in ("partner_manager", "technician"):
        assert desk.refused(role, "POST", f"/v1/old-parts/{second}/received")["status"] == 403
    assert desk.refused("customer", "GET", "/v1/old-parts")["status"] == 403
    assert desk.refused("agent", "GET", "/v1/old-parts?state=lost")["status"] == 422


def _other_partner(desk) -> int:
    return desk.post("admin", "/v1/providers", {"code": "P2", "name": "Other"})["provider_id"]
