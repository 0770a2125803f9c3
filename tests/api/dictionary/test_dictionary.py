"""The dictionary of metrics over HTTP: declared, learned, reviewed."""

import pytest

from careloop.client import ProblemError
from careloop.database.engine import connect


@pytest.fixture
def desk(api):
    """Two models that declare one metric; machines of the first have sent two more."""
    with api.client("service") as client:
        for code in ("HD-5", "HD-6"):
            metrics = [{"name": "pressure", "unit": "bar"}]
            client.post("/v1/product-models", {"code": code, "name": code, "kind": "washer", "metrics": metrics})
    with connect(api.database_url) as connection:
        for name, unit in (("pressure", "bar"), ("vibration", "mm/s"), ("mode", "")):
            connection.execute(
                "WITH m AS (INSERT INTO telemetry.metric (name, unit, learned, first_seen_at) "
                "VALUES (%s, %s, true, now()) RETURNING metric_id) "
                "INSERT INTO telemetry.model_metric SELECT 'HD-5', metric_id, '2026-06-30Z' FROM m",
                (name, unit),
            )
    with api.client("agent") as client:
        yield client


def reviews(desk, model: str = "HD-5") -> dict[str, str]:
    return {row["name"]: row["review"] for row in desk.get(f"/v1/product-models/{model}/metrics")["items"]}


def refusal(call, *given) -> ProblemError:
    with pytest.raises(ProblemError) as refused:
        call(*given)
    return refused.value


def put(desk, name: str, **body):
    return desk.post(f"/v1/product-models/HD-5/metrics/{name}/review", body)


def test_learned_metrics_wait_for_review(desk) -> None:
    assert reviews(desk) == {"mode": "pending", "pressure": "declared", "vibration": "pending"}
    assert reviews(desk, "HD-6") == {"pressure": "declared"}
    pending = list(desk.pages("/v1/metrics/pending"))
    assert [(row["model"], row["name"], row["unit"]) for row in pending] == [
        ("HD-5", "vibration", "mm/s"),
        ("HD-5", "mode", ""),
    ]
    assert desk.get("/v1/metrics/pending", limit=1)["next"] is not None
    assert refusal(desk.get, "/v1/product-models/NONE/metrics").status == 404


def test_an_accepted_metric_belongs_to_its_model(desk) -> None:
    assert put(desk, "vibration", decision="accepted")["review"] == "accepted"
    model = desk.get("/v1/product-models/HD-5")
    assert {"name": "vibration", "unit": "mm/s"} in model["metrics"]
    made = put(desk, "mode", decision="ignored")
    assert (made["review"], made["decided_by"], made["learned"]) == ("ignored", "test-agent", True)
    assert list(desk.pages("/v1/metrics/pending")) == []
    # Decided again, the other way round.
    assert put(desk, "vibration", decision="ignored")["review"] == "ignored"
    assert desk.get("/v1/product-models/HD-5")["metrics"] == [{"name": "pressure", "unit": "bar"}]


def test_what_does_not_fit_is_refused(desk) -> None:
    assert refusal(lambda: put(desk, "pressure", decision="ignored")).type == "/problems/metric-declared"
    assert refusal(lambda: put(desk, "nothing", decision="ignored")).status == 404
    wrong = refusal(lambda: put(desk, "vibration", decision="accepted", unit="Hz"))
    assert (wrong.status, "kept in 'mm/s'" in str(wrong)) == (422, True)
    assert put(desk, "mode", decision="accepted", unit="1")["review"] == "accepted"
    put(desk, "vibration", decision="accepted")
    plan = {"name": "By vibration", "model": "HD-5", "trigger": {"kind": "meter", "metric": "vibration", "every": 5}}
    desk.post("/v1/plans", plan)
    assert refusal(lambda: put(desk, "vibration", decision="ignored")).type == "/problems/metric-in-use"
