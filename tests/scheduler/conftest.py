"""A small service organisation in this test's own database."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest
from psycopg import Connection

from careloop.database.engine import connect

NOW = datetime(2015, 6, 1, 6, tzinfo=UTC)


class Shop:
    """Writes the catalogue and what machines say straight into the tables, as API and ingest would."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.central = self._one(
            "INSERT INTO service.warehouse (code, name, kind, territory) "
            "VALUES ('central', 'Central', 'central', 'north') RETURNING warehouse_id"
        )
        self._one(
            "INSERT INTO service.product_model (code, name, kind) VALUES ('washer', 'Washer', 'washer') "
            "RETURNING model_id"
        )
        self._one("INSERT INTO service.site (name, territory) VALUES ('Home', 'north') RETURNING site_id")

    def _one(self, statement: str, parameters: Sequence[object] = ()) -> int:
        row = self.connection.execute(statement, parameters).fetchone()
        return next(iter(row.values()))

    def part(self, sku: str, stock: int = 0) -> int:
        number = self._one("INSERT INTO service.part (sku, name) VALUES (%s, %s) RETURNING part_id", (sku, sku))
        self.stock(sku, stock)
        return number

    def stock(self, sku: str, quantity: int) -> None:
        self.connection.execute(
            "INSERT INTO service.stock (warehouse_id, part_id, on_hand) "
            "SELECT %s, part_id, %s FROM service.part WHERE sku = %s "
            "ON CONFLICT (warehouse_id, part_id) DO UPDATE SET on_hand = excluded.on_hand",
            (self.central, quantity, sku),
        )

    def component(self, name: str, sku: str | None, *, skill: str = "pump", minutes: int = 60) -> None:
        self.connection.execute(
            "INSERT INTO service.component (model_id, name, part_id, skill, labour_minutes) "
            "SELECT model_id, %s, (SELECT part_id FROM service.part WHERE sku = %s), %s, %s FROM service.product_model",
            (name, sku, skill, minutes),
        )

    def asset(self, serial: str, installed_at: datetime = NOW) -> int:
        return self._one(
            "INSERT INTO service.asset (serial, model_id, site_id, installed_at, created_at) "
            "SELECT %s, model_id, site_id, %s, %s FROM service.product_model, service.site RETURNING asset_id",
            (serial, installed_at, installed_at),
        )

    def technician(
        self, name: str, *, skills: Sequence[str] = ("pump",), territories: Sequence[str] = ("north",)
    ) -> int:
        return self._one(
            "INSERT INTO service.technician (name, skills, territories) VALUES (%s, %s, %s) RETURNING technician_id",
            (name, list(skills), list(territories)),
        )

    def calendar_plan(self, name: str, every_days: int, *, sku: str | None = None) -> int:
        number = self._one(
            "INSERT INTO service.plan (name, model_id, trigger_kind, every_days, skill, created_at) "
            "SELECT %s, model_id, 'calendar', %s, 'pump', %s FROM service.product_model RETURNING plan_id",
            (name, every_days, NOW),
        )
        if sku:
            self.connection.execute(
                "INSERT INTO service.plan_part SELECT %s, part_id, 1 FROM service.part WHERE sku = %s", (number, sku)
            )
        return number

    def meter_plan(self, name: str, every: float, metric: str = "running_hours") -> int:
        self.connection.execute("INSERT INTO service.metric (name) VALUES (%s) ON CONFLICT DO NOTHING", (metric,))
        return self._one(
            "INSERT INTO service.plan (name, model_id, trigger_kind, meter_metric, every_meter, skill, created_at) "
            "SELECT %s, model_id, 'meter', %s, %s, 'pump', %s FROM service.product_model RETURNING plan_id",
            (name, metric, every, NOW),
        )

    def reads(self, serial: str, value: float, at: datetime, metric: str = "running_hours") -> None:
        self.connection.execute("SELECT telemetry.ensure_reading_day(%s)", (at.date(),))
        self.connection.execute(
            "INSERT INTO telemetry.metric (name, learned, first_seen_at) VALUES (%s, false, %s) ON CONFLICT DO NOTHING",
            (metric, at),
        )
        self.connection.execute(
            "INSERT INTO telemetry.reading SELECT %s, asset_id, metric_id, %s "
            "FROM service.asset, telemetry.metric m WHERE serial = %s AND m.name = %s",
            (at, value, serial, metric),
        )

    def jobs(self) -> list[dict]:
        return self.connection.execute(
            "SELECT j.*, a.serial FROM service.job j JOIN service.asset a USING (asset_id) ORDER BY job_id"
        ).fetchall()

    def visits(self) -> list[dict]:
        return self.connection.execute("SELECT * FROM service.visit ORDER BY visit_id").fetchall()

    def obstacles(self) -> dict[int, str]:
        rows = self.connection.execute("SELECT plan_id, reason FROM scheduling.plan_obstacle").fetchall()
        return {row["plan_id"]: row["reason"] for row in rows}


@pytest.fixture
def now() -> datetime:
    """06:00 on a Monday."""
    return NOW


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    with connect(database_url) as connection:
        yield Shop(connection)
