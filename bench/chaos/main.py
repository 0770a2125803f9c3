"""Runs the chaos: load, kills, the count."""

import random
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench.chaos.machine import METRICS, Machine
from bench.chaos.victims import Database, MosquittoBroker, RumqttBroker, Service, Victim, careloop, make_broker
from careloop.database.engine import connect
from careloop.database.migrations import migrate
from careloop.errors import CareloopError

SERIALS = ["CHAOS-1", "CHAOS-2", "CHAOS-3"]
# Between two kills, and from a kill to the new start: long enough to work, short enough to be hit while starting.
BETWEEN_S = (0.5, 3.0)
DOWN_S = (0.0, 1.0)
DRAINED_WITHIN_S = 300.0

_AGENT = """
[agent]
id = "CHAOS-GW"
[broker]
reconnect_min_s = 0.2
reconnect_max_s = 2.0
[batching]
interval_s = 0.2
[buffer]
file = "{directory}/buffer.sqlite"
survives = "{survives}"
[[sources]]
kind = "file"
name = "machine"
path = "{directory}/machine.jsonl"
interval_s = 0.1
format = "json"
serial_at = "serial"
time_at = "time"
time_format = "unix"
"""

_COUNT = """
SELECT a.serial, m.name, count(*) AS stored, count(DISTINCT (r.time, r.value)) AS distinct_readings,
       count(*) FILTER (WHERE r.value <> floor(r.value)) AS strange
FROM telemetry.reading r JOIN telemetry.asset a USING (asset_id) JOIN telemetry.metric m USING (metric_id)
GROUP BY a.serial, m.name
"""


@dataclass(frozen=True)
class Line:
    """The processes of one run."""

    database: Database
    broker: MosquittoBroker | RumqttBroker
    ingest: Service
    agent: Service

    @property
    def victims(self) -> Sequence[Victim]:
        """All of them, in the order they are started in."""
        return self.database, self.broker, self.ingest, self.agent


def run(*, kills: int, rows_per_s: float, broker: str, seed: int, keep: Path | None = None) -> Mapping[str, Any]:
    """Kill one process after the other while readings flow, then let all of them run and count.

    Args:
        kills: How often.
        rows_per_s: Lines that the machine writes a second; each is two readings.
        broker: `mosquitto` or `embedded`.
        seed: Which instants and which victims.
        keep: Where logs, buffer and ledger stay to be looked at; gone afterwards when None.

    Returns:
        `kills`, `lost`, `doubled` and what they are judged by.
    """
    chance = random.Random(seed)  # noqa: S311 - picks instants, guards nothing
    with tempfile.TemporaryDirectory(prefix="careloop-chaos-") if keep is None else nullcontext(keep) as name:
        directory = Path(name)
        directory.mkdir(exist_ok=True)
        # PostgreSQL runs as nobody where we are root.
        directory.chmod(0o711)
        line = _line(directory, broker)
        begun = time.monotonic()
        machine = Machine(directory / "machine.jsonl", SERIALS, rows_per_s, time.time() - 3600)
        try:
            for victim in line.victims:
                victim.start()
                if victim is line.database:
                    _prepare(line.database.url)
            machine.start()
            killed = _kill(line, kills, chance)
            machine.stop()
            written = machine.rows * len(METRICS)
            drained_s = _drain(line, written)
            figures = _count(line.database.url, machine)
        finally:
            machine.stop()
            for victim in reversed(line.victims):
                victim.stop()
    return {
        "kills": sum(killed.values()),
        "lost": figures["lost"],
        "doubled": figures["doubled"],
        "kills_by_process": dict(sorted(killed.items())),
        "readings_in_the_ledger": written,
        "readings_stored": figures["stored"],
        "messages_that_came_again": figures["duplicates"],
        "dead_letters": figures["dead_letters"],
        "broker": f"{broker}; keeps {line.broker.keeps}",
        "drained_after_s": round(drained_s, 1),
        "seconds": round(time.monotonic() - begun, 1),
        "seed": seed,
    }


def _line(directory: Path, broker_kind: str) -> Line:
    database = Database(directory / "postgres")
    # Its address is known once it runs; starting it again later changes nothing.
    database.start()
    broker = make_broker(broker_kind, directory / "broker")
    config = directory / "edge.toml"
    # kill -9 loses no page of the operating system's cache, so a power loss cannot be shown here anyway.
    config.write_text(_AGENT.format(directory=directory, survives="power_loss"))
    agent = Service(
        "agent",
        careloop("edge", "run", "--config", str(config)),
        {"CARELOOP_BROKER_URL": broker.url_of("device")},
        directory,
    )
    environment = {"CARELOOP_DATABASE_URL": database.url, "CARELOOP_BROKER_URL": broker.url_of("platform")}
    return Line(database, broker, Service("ingest", careloop("ingest"), environment, directory), agent)


def _prepare(database_url: str) -> None:
    with connect(database_url) as connection:
        migrate(connection)
        connection.execute("INSERT INTO service.product_model (code, name, kind) VALUES ('chaos', 'Chaos', 'chaos')")
        connection.execute(
            "INSERT INTO service.asset (serial, model_id, installed_at, created_at) "
            "SELECT serial, model_id, now(), now() FROM service.product_model, unnest(%s::text[]) AS s (serial)",
            (SERIALS,),
        )


def _kill(line: Line, kills: int, chance: random.Random) -> Counter[str]:
    killed: Counter[str] = Counter()
    while sum(killed.values()) < kills:
        _supervise(line, chance.uniform(*BETWEEN_S))
        victim = chance.choice(line.victims)
        if victim.kill():
            killed[victim.name] += 1
            time.sleep(chance.uniform(*DOWN_S))
            victim.start()
    return killed


def _supervise(line: Line, seconds: float) -> None:
    """What systemd or `careloop up` does; for one, ingest ends when it is started without a database."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        for service in (line.ingest, line.agent):
            if not service.pid:
                service.start()
        time.sleep(min(0.25, left))


def _drain(line: Line, written: int) -> float:
    """Wait until as much is stored as was written, or nothing moves any more; returns the seconds it took."""
    begun = moved = time.monotonic()
    before = -1
    while time.monotonic() - moved < DRAINED_WITHIN_S / 5 and time.monotonic() - begun < DRAINED_WITHIN_S:
        try:
            with connect(line.database.url) as connection:
                row = connection.execute("SELECT count(*) AS stored FROM telemetry.reading").fetchone()
        except (psycopg.OperationalError, CareloopError):
            row = None
        stored = row["stored"] if row else before
        if stored >= written:
            # What is sent again now would be stored twice now.
            time.sleep(2.0)
            break
        if stored != before:
            before, moved = stored, time.monotonic()
        _supervise(line, 0.25)
    return time.monotonic() - begun


def _count(database_url: str, machine: Machine) -> dict[str, int]:
    with connect(database_url) as connection:
        rows = {(row["serial"], row["name"]): row for row in connection.execute(_COUNT).fetchall()}
        progress = connection.execute(
            "SELECT coalesce(sum(duplicates), 0)::bigint AS duplicates, "
            "coalesce(sum(dead_letters), 0)::bigint AS dead_letters FROM telemetry.ingest_progress"
        ).fetchone()
    lost = doubled = stored = 0
    for serial in SERIALS:
        for metric in METRICS:
            row = rows.get((serial, metric), {"stored": 0, "distinct_readings": 0})
            lost += machine.rows_of(serial) - row["distinct_readings"]
            doubled += row["stored"] - row["distinct_readings"]
            stored += row["stored"]
    counts = progress or {"duplicates": 0, "dead_letters": 0}
    return {
        "lost": lost,
        "doubled": doubled,
        "stored": stored,
        "duplicates": counts["duplicates"],
        "dead_letters": counts["dead_letters"],
    }
