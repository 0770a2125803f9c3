"""What is kept of a service partner, and how it changes."""

import pytest

from careloop.client import ProblemError


def test_a_partner_has_a_level_that_price_lists_name(api) -> None:
    with api.client("desk_lead") as lead:
        gold = lead.post("/v1/providers", {"code": "P1", "name": "Partner", "level": "gold"})
        plain = lead.post("/v1/providers", {"code": "P2", "name": "Other"})
        assert [row["level"] for row in lead.get("/v1/providers")["items"]] == ["gold", ""]
        path = f"/v1/providers/{gold['provider_id']}"
        # Only what is given changes.
        assert lead.patch(path, {"name": "Partner Ltd"}, version=1)["level"] == "gold"
        assert lead.patch(path, {"level": "silver"}, version=2)["level"] == "silver"
        assert lead.get(path)["level"] == "silver"
        assert lead.patch(path, {"level": ""}, version=3)["level"] == ""
        for wrong in ("g o l d", "x" * 33, None):
            with pytest.raises(ProblemError) as refused:
                lead.patch(f"/v1/providers/{plain['provider_id']}", {"level": wrong}, version=1)
            assert (refused.value.status, refused.value.problem["errors"][0]["field"]) == (422, "body.level")
