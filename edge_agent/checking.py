"""What `careloop edge check` and `careloop edge schema` say of a configuration, before an agent runs by it."""

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from careloop.contract.messages import Event
from careloop.errors import CareloopError
from edge_agent.config import EdgeConfig, load_config
from edge_agent.sources.file_tail.config import FileConfig
from edge_agent.sources.kinds import build_source, missing_library
from edge_agent.sources.mqtt.config import MqttConfig
from edge_agent.sources.simulator import Simulator
from edge_agent.sources.simulator_config import SimulatorConfig
from edge_agent.sources.source import Clock, Row, Source, SourceConfig, SourceError

SCHEMA = "https://json-schema.org/draft/2020-12/schema"
# How long more is waited for after something came; several devices of one source answer one after the other.
QUIET_S = 0.5
MORE_S = 3.0
LOOK_S = 0.02
MOST_ASSETS = 20


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the TOML file, for editors and other tools."""
    return {"$schema": SCHEMA, **EdgeConfig.model_json_schema(), "title": "careloop edge agent"}


def print_schema() -> int:
    """Print the schema."""
    print(json.dumps(json_schema(), indent=2))
    return 0


def check(file: Path, clock: Clock, *, read_s: float | None) -> int:
    """Say that a configuration is right, and what it means; what is wrong is raised.

    Args:
        file: The TOML file.
        clock: The clocks.
        read_s: Also read every source once, waiting so many seconds for each.

    Returns:
        0; 2 when a source could not be read.
    """
    config = load_config(file)
    print(f"{file}: right")
    print(f"  agent {config.agent.id}, {len(config.rules)} rules, buffer up to {config.buffer.max_bytes:,} bytes")
    for rule in config.rules:
        print(f"  rule {rule.metric}{f' of {rule.serial}' if rule.serial else ''}: {rule.describe()}")
    code = 0
    for source in config.sources:
        count = f", {len(Simulator(source).fleet)} assets" if isinstance(source, SimulatorConfig) else ""
        often = "as it comes" if source.comes_by_itself else f"every {source.interval_s:g} s"
        print(f"  source {source.name or source.kind}: {source.kind}, {often}{count}")
        if missing := missing_library(source):
            print(f"    cannot run here: {missing}")
        if read_s is not None and source.kind not in {"feed", "simulator"}:
            trial = _Trial(source, clock, read_s)
            for line in trial.lines():
                print(f"    {line}", flush=True)
            code = code if trial.succeeded else 2
    return code


@dataclass
class _Trial:
    """One source, read once, without leaving a trace: nothing is acknowledged, no place is stored."""

    config: SourceConfig
    clock: Clock
    most_s: float
    rows: list[Row] = field(default_factory=list)
    events: list[tuple[str, Event]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    refused: int = 0

    @property
    def succeeded(self) -> bool:
        """Whether something came, and nothing failed."""
        return bool(self.rows or self.events) and not self.errors

    def lines(self) -> Iterator[str]:
        """Read, and tell."""
        started_s = self.clock.monotonic()
        try:
            source = build_source(_harmless(self.config), self.clock)
            try:
                source.open(None, self.clock.now())
                self._listen(source)
            finally:
                source.close()
        except CareloopError as error:
            self.errors.append(str(error))
            source = None
        took_s = self.clock.monotonic() - started_s
        assets = {row.serial: row for row in self.rows}
        readings = sum(len(row.values) for row in self.rows)
        if self.rows or self.events or self.refused:
            yield (
                f"read in {took_s:.1f} s: {len(assets)} assets, {readings} readings, {len(self.events)} events, "
                f"{self.refused} refused"
            )
        elif not self.errors:
            yield f"nothing came within {self.most_s:g} s"
        for serial, row in list(assets.items())[:MOST_ASSETS]:
            yield f"  {serial} at {_time_of(row.time_s)}: {_values(row, source.units_of(serial) if source else {})}"
        if len(assets) > MOST_ASSETS:
            yield f"  and {len(assets) - MOST_ASSETS} assets more"
        for serial, event in self.events[:MOST_ASSETS]:
            yield f"  {serial} at {event.time:%Y-%m-%dT%H:%M:%SZ}: event {event.code}, {event.severity}"
        for text in dict.fromkeys(self.errors):
            yield f"FAILED: {text}"

    def _listen(self, source: Source) -> None:
        pause = threading.Event()
        until_s = self.clock.monotonic() + self.most_s
        quiet_from_s: float | None = None
        while (now_s := self.clock.monotonic()) < until_s and (quiet_from_s is None or now_s < quiet_from_s + QUIET_S):
            try:
                # A moment ahead, as what is read now must lie before it.
                harvest = source.poll(self.clock.now() + timedelta(seconds=1))
            except SourceError as error:
                self.errors.append(str(error))
                came = True
            else:
                self.rows += harvest.rows
                self.events += harvest.events
                self.refused += harvest.refused
                came = bool(harvest.rows or harvest.events or harvest.refused)
            if came:
                if quiet_from_s is None:
                    until_s = min(until_s, now_s + MORE_S)
                quiet_from_s = now_s
            pause.wait(LOOK_S)


def _harmless(config: SourceConfig) -> SourceConfig:
    """The same source, such that a look at it changes nothing for the agent."""
    if isinstance(config, MqttConfig):
        # A session of its own, that ends with the look.
        return config.model_copy(update={"client_id": f"careloop-check-{secrets.token_hex(4)}", "session_hours": 0})
    if isinstance(config, FileConfig):
        return config.model_copy(update={"start": "beginning"})
    return config


def _time_of(time_s: float) -> str:
    try:
        return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return f"{time_s!r} (no time)"


def _values(row: Row, units: Mapping[str, str]) -> str:
    return ", ".join(f"{metric} {_value(value, units.get(metric))}" for metric, value in row.values.items())


def _value(value: object, unit: str | None) -> str:
    if isinstance(value, float | int):
        return f"{value:g} {unit}" if unit else f"{value:g}"
    return f"{str(value)[:40]!r} (no number: refused)"
