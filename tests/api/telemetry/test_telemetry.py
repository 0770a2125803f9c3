"""Charts, events and latest values over HTTP; what is stored is stored and rolled up by ingest's own code."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from careloop.client import ProblemError
from careloop.contract.senml import Reading, encode_pack
from careloop.database.engine import connect, detect_engine
from ingest.decode import Delivery, identity_of
from ingest.maintenance import Maintenance
from ingest.storage.policy import StoragePolicy
from ingest.writer import Limits, Writer, read

NOW = datetime(2026, 6, 30, 12, 34, 56, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Desk:
    """A client, and a way to have machines send something."""

    def __init__(self, api, connection) -> None:
        self.client = api.client("agent")
        self.connection = connection
        self.now = NOW
        self.writer = Writer(
            connect=lambda: connect(api.database_url),
            worker="w",
            limits=Limits(DAY, None, learned_metrics=20, learned_metrics_per_asset=5),
            now=lambda: self.now,
            pause=lambda _: False,
        )

    def get(self, path: str, now: datetime = NOW, **query):
        return self.client.get(path, now=now, **query)

    def pages(self, path: str, limit: int):
        query = {"limit": limit}
        while True:
            page = self.get(path, **query)
            assert 1 <= len(page["items"]) <= limit
            yield from page["items"]
            if page["next"] is None:
                return
            query["after"] = page["next"]

    def send(self, serial: str, *readings: tuple[datetime, str, float]) -> None:
        pack = encode_pack(serial, [Reading(time.timestamp(), metric, value, "") for time, metric, value in readings])
        self._deliver(f"careloop/v1/{serial}/telemetry", orjson.dumps(pack))

    def report(self, serial: str, time: datetime, code: str) -> None:
        self._deliver(f"careloop/v1/{serial}/event", orjson.dumps({"time": time.isoformat(), "code": code}))

    def state(self, serial: str, online: bool) -> None:
        self._deliver(f"careloop/v1/{serial}/state", orjson.dumps({"online": online}))

    def _deliver(self, topic: str, payload: bytes) -> None:
        self.writer.write([read(Delivery(topic, payload, len(payload), "", self.now, identity_of(topic, payload)))])

    def roll_up(self, keep: timedelta = timedelta()) -> None:
        Maintenance(self.connection, detect_engine(self.connection), StoragePolicy(keep_readings=keep)).run(self.now)


@pytest.fixture
def desk(api):
    with connect(api.database_url) as connection:
        connection.execute(
            "INSERT INTO service.product_model (code, name, kind) VALUES ('m', 'M', 'k'), ('n', 'N', 'k')"
        )
        connection.execute("INSERT INTO service.metric (name, unit) VALUES ('temperature', 'Cel'), ('pressure', 'bar')")
        connection.execute(
            "INSERT INTO service.asset (serial, model_id, installed_at, created_at) "
            "SELECT 'A' || n, CASE n WHEN 4 THEN 2 ELSE 1 END, now(), now() FROM generate_series(1, 4) AS n"
        )
        desk = Desk(api, connection)
        yield desk
        desk.writer.close()


def week(desk) -> None:
    """A reading every ten minutes, and one spike."""
    start = NOW - 7 * DAY
    desk.send("A1", *((start + i * timedelta(minutes=10), "temperature", i % 6 + 0.5) for i in range(1008)))
    desk.send("A1", (NOW - 3 * DAY + timedelta(seconds=1), "temperature", 99.0))


def test_a_chart_has_its_points_and_shows_the_spike(desk) -> None:
    week(desk)
    desk.roll_up()
    chart = desk.get("/v1/assets/A1/readings", metric="temperature", points=100)
    assert (chart["resolution"], chart["unit"], chart["bucket_seconds"]) == ("hourly", "Cel", 7200.0)
    assert sum(point["readings"] for point in chart["points"]) == 1009
    assert 80 <= len(chart["points"]) <= 101
    assert max(point["max"] for point in chart["points"]) == 99.0
    assert min(point["min"] for point in chart["points"]) == 0.5
    fine = desk.get("/v1/assets/A1/readings", metric="temperature")
    assert (fine["resolution"], fine["bucket_seconds"]) == ("raw", 1209.6)
    assert sum(point["readings"] for point in fine["points"]) == 1009
    spike = next(point for point in fine["points"] if point["max"] == 99.0)
    assert spike["min"] < 7
    assert spike["min"] < spike["mean"] < 99.0


def test_rollups_draw_long_spans_and_what_retention_took(desk) -> None:
    week(desk)
    desk.roll_up()
    query = {"metric": "temperature", "from": (NOW - 40 * DAY).isoformat(), "points": 500}
    hourly = desk.get("/v1/assets/A1/readings", **query)
    assert hourly["resolution"] == "hourly"
    assert sum(point["readings"] for point in hourly["points"]) == 1009
    assert hourly["points"][-1]["time"] == "2026-06-30T12:00:00Z"
    daily = desk.get("/v1/assets/A1/readings", **{**query, "points": 30})
    assert (daily["resolution"], daily["bucket_seconds"]) == ("daily", 2 * 86400.0)
    assert sum(point["readings"] for point in daily["points"]) == 1009
    desk.connection.execute("SELECT telemetry.drop_readings_before('2026-06-28Z')")
    coarser = desk.get("/v1/assets/A1/readings", metric="temperature")
    assert coarser["resolution"] == "hourly"
    assert sum(point["readings"] for point in coarser["points"]) >= 1000
    recent = desk.get("/v1/assets/A1/readings", metric="temperature", **{"from": (NOW - DAY).isoformat()})
    assert recent["resolution"] == "raw"


def test_a_chart_of_nothing_is_empty_and_a_wrong_question_is_told(desk) -> None:
    desk.send("A2", (NOW - HOUR, "pressure", 1.0))
    assert desk.get("/v1/assets/A1/readings", metric="pressure")["points"] == []
    for path, query, status, field in (
        ("A9/readings", {"metric": "pressure"}, 404, None),
        ("A1/readings", {"metric": "nothing"}, 422, "query.metric"),
        ("A1/readings", {}, 422, "query.metric"),
        ("A1/readings", {"metric": "pressure", "points": 0}, 422, "query.points"),
        ("A1/readings", {"metric": "pressure", "from": "yesterday"}, 422, "query.from"),
        ("A1/readings", {"metric": "pressure", "from": "2027-01-01T00:00:00Z"}, 422, "query.from"),
        ("A1/readings", {"metric": "pressure", "to": "0001-01-02T00:00:00Z"}, 422, "query.to"),
        ("A1/events", {"from": "2026-01-01"}, 422, "query.from"),
        ("A1/events", {"after": "eHh4"}, 422, "query.after"),
        ("A9/events", {}, 404, None),
    ):
        with pytest.raises(ProblemError) as refused:
            desk.get(f"/v1/assets/{path}", **query)
        named = [error["field"] for error in refused.value.problem.get("errors", [])]
        assert (path, query, refused.value.status, named) == (path, query, status, [field] if field else [])


def test_events_come_page_by_page_newest_first(desk) -> None:
    times = [NOW - 2 * HOUR, NOW - HOUR, NOW - HOUR, NOW - HOUR, NOW - 8 * DAY]
    for number, time in enumerate(times):
        desk.report("A1", time, f"E{number}")
    desk.report("A2", NOW - HOUR, "E9")
    for limit in (1, 2, 3, 100):
        codes = [event["code"] for event in desk.pages("/v1/assets/A1/events", limit)]
        assert codes == ["E1", "E2", "E3", "E0"], limit
    (event,) = desk.get("/v1/assets/A1/events", code="E0")["items"]
    assert (event["time"], event["severity"], event["detail"]) == ("2026-06-30T10:34:56Z", "warning", {})


def latest(desk, **query) -> dict[str, dict[str, tuple[str, float]]]:
    return {
        item["serial"]: {of["metric"]: (of["time"], of["value"]) for of in item["latest"]}
        for item in desk.get("/v1/telemetry/latest", **query)["items"]
    }


def test_the_latest_values_are_so_before_and_after_they_are_rolled_up(desk) -> None:
    old, recent = NOW - 200 * DAY, NOW - 5 * HOUR
    desk.send("A1", (old, "pressure", 1.0), (recent, "temperature", 20.0), (recent - HOUR, "temperature", 19.0))
    desk.roll_up()
    desk.send("A2", (NOW - timedelta(minutes=1), "temperature", 7.0), (NOW - timedelta(minutes=2), "pressure", 8.0))
    # Late, and older than what is known.
    desk.send("A1", (recent - 3 * HOUR, "temperature", 3.0))
    desk.state("A1", online=True)
    desk.state("A2", online=False)
    wanted = {
        "A1": {"pressure": ("2025-12-12T12:34:56Z", 1.0), "temperature": ("2026-06-30T07:34:56Z", 20.0)},
        "A2": {"pressure": ("2026-06-30T12:32:56Z", 8.0), "temperature": ("2026-06-30T12:33:56Z", 7.0)},
        "A3": {},
        "A4": {},
    }
    assert latest(desk) == wanted
    desk.roll_up()
    assert latest(desk) == wanted
    items = desk.get("/v1/telemetry/latest")["items"]
    assert [item["online"] for item in items] == [True, False, None, None]
    assert items[0]["latest"][1]["unit"] == "Cel"
    desk.send("A1", (NOW, "pressure", 5.0))
    assert latest(desk)["A1"]["pressure"] == ("2026-06-30T12:34:56Z", 5.0)
    assert latest(desk, model="n") == {"A4": {}}
    assert [item["serial"] for item in desk.pages("/v1/telemetry/latest", 2)] == [
        "A1", "A2", "A3", "A4",
    ]  # fmt: skip


def test_readings_that_retention_took_are_still_the_latest(desk) -> None:
    desk.send("A1", (NOW - 20 * DAY, "pressure", 4.0))
    desk.roll_up()
    desk.roll_up(keep=10 * DAY)
    assert desk.connection.execute("SELECT count(*) AS n FROM telemetry.reading").fetchone()["n"] == 0
    assert latest(desk)["A1"]["pressure"][1] == 4.0
