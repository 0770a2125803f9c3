"""Wires and runs `careloop replay` and `careloop demo`; the only place here that reads a clock."""

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from careloop.database.engine import connect
from careloop.database.migrations import drop_everything
from careloop.errors import CareloopError
from careloop.line.azure_pdm import Recording, as_utc, load_recording
from careloop.line.conductor import Line
from careloop.line.demo import Demo
from careloop.line.demo_fleet import register
from careloop.line.replay import DAY, Replay, Window
from careloop.stack.embedded import EmbeddedStack
from careloop.stack.ports import port_is_free
from careloop.stack.process import careloop_command

# A replay or demo starts over after a power cut; its database need not survive one. It does survive kill -9.
PASSING_DATABASE = {"synchronous_commit": "off", "max_wal_size": "4GB", "checkpoint_timeout": "30min"}
DEMO_PORT = 8080


def run_replay(options: argparse.Namespace) -> int:
    """Replay a recording, print the counts, write them as JSON if wished."""
    console = Console(stderr=True)
    started_s = time.monotonic()
    recording = load_recording(options.directory, machines=options.machines, until=options.until)
    window = _window(recording, options)
    _refuse_unwritable(options.json)
    if options.reset:
        _reset(options.database_url)
    with _passing_directory("replay") as directory, _stoppable():
        stack = EmbeddedStack(
            directory,
            database_url=options.database_url,
            broker_url=options.broker_url,
            database_settings=PASSING_DATABASE,
        )
        with stack, Line(stack) as line, _bar(console, "replaying") as bar:
            task = bar.add_task(str(window.starts_at.date()), total=(window.ends_at - window.starts_at) / DAY)
            replay = Replay(line, recording, window)
            replay.run(lambda now: _advance(bar, task, window, now))
            result = {**replay.result(), "seconds": round(time.monotonic() - started_s, 1)}
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    _print_result(result)
    return 0


def _window(recording: Recording, options: argparse.Namespace) -> Window:
    starts_at, ends_at = recording.starts_at, recording.ends_at
    days = (ends_at - starts_at) // DAY
    train_at = as_utc(options.train_until) if options.train_until else starts_at + max(1, days * 6 // 10) * DAY
    if not starts_at < train_at < ends_at:
        raise CareloopError(
            f"--train-until {train_at.date()} must lie inside the recording, "
            f"after {starts_at.date()} and before {ends_at.date()}"
        )
    return Window(starts_at, train_at, ends_at)


def _refuse_unwritable(file: Path | None) -> None:
    if file is not None and not os.access(file.parent, os.W_OK):
        raise CareloopError(f"--json {file}: the directory {file.parent} is not there or cannot be written to")


def _reset(database_url: str | None) -> None:
    if database_url is None:
        raise CareloopError("--reset goes with --database-url; the embedded database is new every time")
    with connect(database_url) as connection:
        drop_everything(connection)


def _print_result(result: dict[str, Any]) -> None:
    table = Table("what", "count", title="Replay, counted in the database")
    for name, value in result.items():
        shown = ", ".join(f"{kind} {count:,}" for kind, count in value.items()) if isinstance(value, dict) else value
        table.add_row(name.replace("_", " "), f"{shown:,}" if isinstance(shown, int) else str(shown))
    Console().print(table)


def run_demo(options: argparse.Namespace) -> int:
    """Run the demo, print the summary, keep serving until Ctrl-C unless told otherwise."""
    console = Console()
    ends_at = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    starts_at = ends_at - timedelta(days=options.days)
    with _passing_directory("demo") as directory, _stoppable():
        api_port = DEMO_PORT if port_is_free(DEMO_PORT) else 0
        stack = EmbeddedStack(directory, api_port=api_port, database_settings=PASSING_DATABASE)
        config = _edge_config(directory, options, starts_at)
        with stack, Line(stack, edge_config=config) as line, _bar(console, "simulating") as bar:
            register(line.client, _edge_json("catalogue"), _edge_json("fleet", "--config", str(config)),
                     starts_at)  # fmt: skip
            task = bar.add_task(str(starts_at.date()), total=options.days)
            demo = Demo(line, starts_at, options.days)
            demo.run(lambda now: bar.update(task, completed=(now - starts_at) / DAY, description=str(now.date())))
            bar.stop()
            _print_summary(console, line, demo, stack)
            if not options.once:
                console.print("Serving until Ctrl-C …")
                with suppress(KeyboardInterrupt):
                    signal.pause()
    return 0


def _edge_config(directory: Path, options: argparse.Namespace, starts_at: datetime) -> Path:
    kinds = [model["kind"] for model in _edge_json("catalogue")]
    each = {kind: len(range(index, options.assets, len(kinds))) for index, kind in enumerate(kinds)}
    file = directory / "edge.toml"
    lines = [
        "[agent]",
        'id = "demo-gateway"',
        "[buffer]",
        # The whole demo starts over after a power cut; kill -9 it survives.
        'survives = "kill"',
        f"file = {json.dumps(str(directory / 'edge-buffer.sqlite'))}",
        "[[sources]]",
        'kind = "simulator"',
        'name = "fleet"',
        f"seed = {options.seed}",
        "interval_s = 3600",
        f'start = "{starts_at.isoformat()}"',
        "[sources.fleet]",
        *(f"{kind} = {number}" for kind, number in each.items()),
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def _edge_json(*words: str) -> Any:
    """What an edge command prints; the simulator's catalogue and fleet are data of another room."""
    done = subprocess.run(careloop_command("edge", *words), capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise CareloopError(f"careloop edge {words[0]}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def _print_summary(console: Console, line: Line, demo: Demo, stack: EmbeddedStack) -> None:
    report = Path(tempfile.gettempdir()) / f"careloop-reliability-{os.getpid()}.html"
    report.write_text(line.client.get_text("/v1/reports/reliability", format="html"), encoding="utf-8")
    counts, outcomes = line.counts(), line.ticket_outcomes()
    table = Table("what", "count", title="careloop demo, counted in the database")
    table.add_row("readings stored", f"{counts['readings_stored']:,}")
    for kind, tickets in line.tickets_by_kind().items():
        table.add_row(f"tickets: {kind.replace('_', ' ')}", f"{tickets:,}")
    table.add_row("failures caught ahead", f"{outcomes['caught']:,}")
    table.add_row("  prevented by a visit in time", f"{outcomes['prevented']:,}")
    table.add_row("  failed before the visit", f"{outcomes['confirmed']:,}")
    table.add_row("failures not caught", f"{demo.course.failures - demo.course.announced:,}")
    table.add_row("  of these before the first training", f"{demo.course.before_training:,}")
    table.add_row("visits that found no fault", f"{outcomes['no_fault_found']:,}")
    table.add_row("parts reserved", f"{counts['parts_reserved']:,}")
    table.add_row("jobs dispatched", f"{counts['jobs_dispatched']:,}")
    table.add_row("alerts sent", f"{counts['alerts_sent']:,}")
    console.print(table)
    report_address = f"{stack.api_url}/v1/reports/reliability?format=html"
    for what, where in (
        ("API docs", f"{stack.api_url}/docs"),
        ("API key (role desk)", stack.api_key("demo", "agent")),
        ("Reliability report", f"{report_address}  (any user name, the key as password)"),
        ("the same as a file", str(report)),
        ("Engine", str(line.engine)),
    ):
        console.print(f"{what:<20}{where}", soft_wrap=True, highlight=False)


# Around both ------------------------------------------------------------------------------------


@contextmanager
def _passing_directory(name: str) -> Iterator[Path]:
    """A state directory that goes when we go; not under a home, which only its owner may enter."""
    with tempfile.TemporaryDirectory(prefix=f"careloop-{name}-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that everything started is stopped."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _bar(console: Console, what: str) -> Progress:
    return Progress(
        TextColumn(what),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
    )


def _advance(bar: Progress, task: Any, window: Window, now: datetime) -> None:
    bar.update(task, completed=(now - window.starts_at) / DAY, description=str(now.date()))
