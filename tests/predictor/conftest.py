"""A small park of pumps whose seals give notice: vibration shifts 60 h before a failure, code E7 comes 20 h before."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from careloop.database.engine import connect
from predictor.fleet import Fleet, History, fleets
from predictor.moments import Moments
from predictor.readings import EARLY_LIFE_HOURS, EarlyLife, Readings, to_grid
from predictor.timeline import HOUR_MS, to_hour

STARTS_AT = datetime(2024, 3, 1, tzinfo=UTC)
START_HOUR = to_hour(STARTS_AT)
METRICS = ("pressure_bar", "vibration_mm_s")
COMPONENTS = ("seal", "valve")


def product_model(code: str, **changes: object) -> dict:
    component = {
        "skill": "pump",
        "labour_minutes": 60,
        "quantity": 1,
        "sku": None,
        "failure_cost_minor": 50_000,
        "planned_cost_minor": 10_000,
        "currency": "EUR",
    }
    return {
        "code": code,
        "name": f"Pump {code}",
        "kind": "pump",
        "manufacturer": "",
        "horizon_hours": 48,
        "metrics": [{"name": METRICS[0], "unit": "bar"}, {"name": METRICS[1], "unit": "mm/s"}],
        "components": [{**component, "name": name} for name in COMPONENTS],
        **changes,
    }


MODELS = (product_model("P1"), product_model("P2"))


@dataclass
class Park:
    """What happens to a few pumps; hours count from the start."""

    assets: int = 8
    hours: int = 40 * 24
    seed: int = 1
    failures: list[tuple[int, str, int]] = field(default_factory=list)
    replacements: list[tuple[int, str, int, str]] = field(default_factory=list)
    events: list[tuple[int, str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        shape = (self.assets, 2, self.hours)
        base = np.array([[[50.0], [3.0]]]) + rng.normal(0, [[1.0], [0.2]], (self.assets, 2, 1))
        # Pumps report to one decimal; a sensor's word is exact in the database, too.
        self.values = np.round(base + rng.normal(0, [[1.0], [0.3]], shape), 2)

    def fail_seal(self, asset: int, hour: int, *, replaced_after: int = 2) -> None:
        self.values[asset, 1, max(0, hour - 60) : hour] += 1.5
        self.values = np.round(self.values, 2)
        self.events.append((asset, "E7", hour - 20))
        self.failures.append((asset, "seal", hour))
        self.replacements.append((asset, "seal", hour + replaced_after, "failure"))

    def with_failures(self, count: int = 14) -> "Park":
        rng = np.random.default_rng(self.seed + 1)
        for number in range(count):
            slot = 10 * 24 + (number // self.assets) * 12 * 24
            self.fail_seal(number % self.assets, slot + int(rng.integers(0, 200)))
        return self

    def asset(self, number: int) -> dict:
        return {
            "asset_id": 100 + number,
            "serial": f"PUMP-{number}",
            "model": MODELS[number % 2]["code"],
            "kind": "pump",
            "site_id": None,
            "territory": "default",
            "installed_at": (STARTS_AT - timedelta(days=30)).isoformat(),
            "state": "active",
            "attributes": {"age_years": number, "colour": "blue"},
            "version": 1,
        }

    def fleet(self) -> Fleet:
        return fleets(MODELS, [self.asset(number) for number in range(self.assets)])[0]

    def history(self, until: int | None = None) -> History:
        """As the reader would build it as of an hour, without a database."""
        until = self.hours if until is None else until
        fleet = self.fleet()
        asset, metric, hour = (axis.ravel() for axis in np.indices(self.values[:, :, :until].shape))
        readings = Readings(asset, metric, (START_HOUR + hour) * HOUR_MS, self.values[:, :, :until].ravel())
        grid = to_grid(
            readings, assets=self.assets, metrics=2, first_hour=START_HOUR, end_hour=START_HOUR + max(until, 1)
        )
        early = np.full((self.assets, 2, EARLY_LIFE_HOURS), np.nan)
        known = min(until, EARLY_LIFE_HOURS)
        early[:, :, :known] = grid.means[:, :, :known]

        def moments(rows: Sequence[tuple[int, int, int]], width: int) -> Moments:
            kept = [(asset * width + series, hour) for asset, series, hour in rows if hour < until]
            columns = np.array(kept, dtype=np.int64).reshape(-1, 2)
            return Moments(columns[:, 0], (START_HOUR + columns[:, 1]) * HOUR_MS)

        number = COMPONENTS.index
        codes = tuple(sorted({code for _, code, hour in self.events if hour < until}))
        own = [row for row in self.events if row[2] < until]
        return History(
            fleet=fleet,
            grid=grid,
            early_life=EarlyLife.of(np.full(self.assets, START_HOUR), early),
            event_codes=codes,
            events=moments([(asset, codes.index(code), hour) for asset, code, hour in own], len(codes)),
            failures=moments([(asset, number(name), hour) for asset, name, hour in self.failures], 2),
            replacements=moments([(asset, number(name), hour) for asset, name, hour, _ in self.replacements], 2),
            renewals=moments(
                [(asset, number(name), hour) for asset, name, hour, why in self.replacements if why != "failure"], 2
            ),
        )


@pytest.fixture
def park() -> Callable[..., Park]:
    return Park


@pytest.fixture
def at() -> Callable[[int], datetime]:
    """The time so many hours after the start."""
    return lambda hours: STARTS_AT + timedelta(hours=hours)


@pytest.fixture
def settle(api, at) -> Callable[..., Mapping[str, int]]:
    """Registers a park through the API and stores what its pumps say before an hour, as ingest would."""

    def settle_park(park: Park, until: int, since: int = 0) -> Mapping[str, int]:
        client = api.client("admin")
        if since == 0:
            for model in MODELS:
                components = [
                    {name: value for name, value in part.items() if name not in {"sku", "quantity", "currency"}}
                    for part in model["components"]
                ]
                client.post("/v1/product-models", {**model, "components": components}, now=at(0))
            for number in range(park.assets):
                given = park.asset(number)
                body = {name: given[name] for name in ("serial", "model", "installed_at", "attributes")}
                client.post("/v1/assets", body, now=at(0))
        numbers = {asset["serial"]: asset["asset_id"] for asset in client.assets()}
        _store(api.database_url, park, numbers, since, until)
        for asset, name, hour in park.failures:
            if since <= hour < until:
                fact = {"component": name, "failed_at": at(hour).isoformat()}
                client.post(f"/v1/assets/PUMP-{asset}/failures", fact, now=at(hour))
        for asset, name, hour, why in park.replacements:
            if since <= hour < until:
                fact = {"component": name, "replaced_at": at(hour).isoformat(), "reason": why}
                client.post(f"/v1/assets/PUMP-{asset}/replacements", fact, now=at(hour))
        return numbers

    return settle_park


def _store(database_url: str, park: Park, numbers: Mapping[str, int], since: int, until: int) -> None:
    with connect(database_url) as connection:
        for metric in METRICS:
            connection.execute(
                "INSERT INTO telemetry.metric (name, learned, first_seen_at) VALUES (%s, false, %s) "
                "ON CONFLICT DO NOTHING",
                (metric, STARTS_AT),
            )
        metric_ids = {row["name"]: row["metric_id"] for row in connection.execute("SELECT * FROM telemetry.metric")}
        for day in range(since // 24, -(-until // 24)):
            connection.execute("SELECT telemetry.ensure_reading_day(%s)", ((STARTS_AT + timedelta(days=day)).date(),))
        with connection.cursor().copy("COPY telemetry.reading (time, asset_id, metric_id, value) FROM STDIN") as copy:
            for asset in range(park.assets):
                for position, metric in enumerate(METRICS):
                    for hour in range(since, until):
                        value = park.values[asset, position, hour]
                        if np.isfinite(value):
                            time = STARTS_AT + timedelta(hours=hour)
                            copy.write_row((time, numbers[f"PUMP-{asset}"], metric_ids[metric], float(value)))
        for asset, code, hour in park.events:
            if since <= hour < until:
                connection.execute(
                    "INSERT INTO telemetry.event (time, asset_id, code) VALUES (%s, %s, %s)",
                    (STARTS_AT + timedelta(hours=hour), numbers[f"PUMP-{asset}"], code),
                )
