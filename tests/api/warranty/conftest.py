"""Two machines in Shanghai."""

from collections.abc import Iterator

import pytest

from careloop.client import CareloopClient
from careloop.database.engine import connect


@pytest.fixture
def desk(api) -> Iterator[CareloopClient]:
    with api.client("agent") as client:
        components = [{"name": name} for name in ("pump", "motor", "nozzle")]
        model = {"code": "HD-5", "name": "HD 5/15", "kind": "pressure_washer", "components": components}
        client.post("/v1/product-models", model)
        site = client.post("/v1/sites", {"name": "Hotel Post", "time_zone": "Asia/Shanghai"})
        asset = {"model": "HD-5", "installed_at": "2025-01-01T00:00:00Z", "site_id": site["site_id"]}
        client.post("/v1/assets", {**asset, "serial": "HD5-1"})
        client.post("/v1/assets", {**asset, "serial": "HD5-2"})
        yield client


@pytest.fixture
def say(api):
    """What a machine's meter showed at a time: as its last reading, in the daily rollup, or both."""

    def put(serial: str, metric: str, at: str, value: float, *tables: str) -> None:
        key = {"serial": serial, "metric": metric, "at": at, "value": value}
        with connect(api.database_url) as connection:
            connection.execute(
                "INSERT INTO telemetry.metric (name, unit, learned, first_seen_at)"
                " VALUES (%(metric)s, 'h', true, %(at)s) ON CONFLICT DO NOTHING",
                key,
            )
            series = "FROM telemetry.asset a, telemetry.metric m WHERE a.serial = %(serial)s AND m.name = %(metric)s"
            if "latest" in tables:
                connection.execute(
                    f"INSERT INTO telemetry.latest SELECT a.asset_id, m.metric_id, %(at)s, %(value)s {series}", key
                )
            if "daily" in tables:
                connection.execute(
                    "INSERT INTO telemetry.daily"
                    f" SELECT date_trunc('day', %(at)s::timestamptz), a.asset_id, m.metric_id, 1, %(value)s,"
                    f" %(value)s, %(value)s {series}",
                    key,
                )

    return put
