"""`careloop bench ingest`: how near ingest comes to what the machine can do.

The phases, one after another on the same servers:

1. `raw_copy_rows_per_s`: the rows that the messages carry, packed beforehand, by nothing but binary COPY and commit
   into the same table from one connection, in batches of 60,000; then the table is emptied.
2. `bare_subscriber_messages_per_s`: the same publishers and payloads into a paho client that only acknowledges.
3. `readings_per_s` and `messages_per_s`: the same into `careloop ingest`, by its own progress table, which is written
   in the transaction that it counts: from commit to commit in the steady state, which begins after a quarter of the
   phase and ends when the publishers stop.
4. `commit_p50_ms`, `commit_p99_ms`: publishing goes on at half of the rate just measured. A message's time begins when
   it is due to be published, not when its publisher comes to it, and ends when ingest's confirmation of it is back at
   the publisher; so it is an upper bound of the time to its commit.
5. The count, over 3 and 4: `lost` are readings of messages that the broker acknowledged to their publisher and that are
   not in the table, `doubled` rows that are in it more than once.

Phases 1, 2 and 4 take half of `--seconds` each, phase 3 all of it. Publishers are separate processes, with a bounded
number of messages that are not yet accounted for, as a device's buffer has.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.ingest.load import Load, Messages, loads
from bench.ingest.publisher import Flood, Order, Pace, Published, Restart, Role, publisher_process
from bench.ingest.servers import Servers, servers
from bench.ingest.store import Progress, count, progress, raw_copy_rows_per_s, register
from bench.ingest.subscriber import subscriber_process
from bench.ingest.wire import Wire
from careloop.database.engine import connect
from careloop.errors import CareloopError

ASSETS = 100
# Messages published and not yet stored, over all publishers: what ingest takes at a time, and as much again and more
# at the broker, so that it never waits for publishers.
WINDOW = 6000
# Readings begin so long ago; even at a million a second they do not reach the future.
BEGIN_AGO_S = 12 * 3600
WARM_UP = 0.25
LOOK_EVERY_S = 0.02
START_WITHIN_S = 30.0
ANSWER_WITHIN_S = 120.0

_processes = get_context("spawn")


def run(
    *,
    database_url: str | None,
    broker_url: str | None,
    readings_per_message: int,
    workers: int,
    publishers: int,
    seconds: float,
) -> dict[str, Any]:
    """Measure.

    Args:
        database_url: A server on which a database may be made, or None for an embedded one.
        broker_url: A broker that nobody else uses meanwhile, or None to start one.
        readings_per_message: How many.
        workers: Ingest processes, on a shared subscription if more than one.
        publishers: Publishing processes.
        seconds: Length of the main phase.

    Raises:
        CareloopError: An argument makes no sense, or a server or process fails.
    """
    if min(readings_per_message, workers, publishers) < 1 or publishers > ASSETS or seconds < 2:
        raise CareloopError(f"give at least 1 reading per message, 1 worker, 1 to {ASSETS} publishers and 2 seconds")
    start_s = int(time.time()) - BEGIN_AGO_S
    with servers(database_url, broker_url) as given:
        bench = _Bench(given, loads(publishers, ASSETS, readings_per_message, start_s), workers, seconds)
        return bench.run()


class _Bench:
    """One run on given servers."""

    def __init__(self, given: Servers, every: Sequence[Load], workers: int, seconds: float) -> None:
        self._servers = given
        self._loads = every
        self._workers = workers
        self._seconds = seconds
        self._window = WINDOW // len(every)
        self._readings = every[0].readings
        self._run = secrets.token_hex(4)
        # Written by the bare subscriber, read by the publishers.
        self._count: Synchronized[int] = _processes.Value("Q", 0)

    def run(self) -> dict[str, Any]:
        with connect(self._servers.database_url) as connection, ExitStack() as stack:
            rows = register(connection, self._loads)
            raw = raw_copy_rows_per_s(connection, rows, self._readings, self._seconds / 2)
            with self._subscriber():
                pipes = stack.enter_context(self._publishers())
                bare = self._bare(pipes)
            _ask(pipes, Restart())
            with self._ingest():
                messages, readings = self._flood(connection, pipes)
                rate = messages / 2
                published = _ask(pipes, Pace(self._seconds / 2, rate / len(pipes)))
            return {
                "readings_per_s": round(readings),
                "raw_copy_rows_per_s": round(raw),
                "ratio": round(readings / raw, 3),
                "messages_per_s": round(messages),
                "bare_subscriber_messages_per_s": round(bare),
                "message_ratio": round(messages / bare, 3),
                **self._latencies(published),
                **self._counts(connection, published),
                "readings_per_message": self._readings,
                "workers": self._workers,
                "publishers": len(pipes),
                "seconds": self._seconds,
                "engine": str(self._servers.engine),
                "broker": self._servers.broker,
                "cpus": os.cpu_count(),
            }

    # Phases -----------------------------------------------------------------------------------

    def _bare(self, pipes: Sequence[Pipe]) -> float:
        """Messages a second that the bare subscriber takes."""
        seconds = self._seconds / 2
        for pipe in pipes:
            pipe.send(Flood(seconds, self._window, counted_by_subscriber=True))
        time.sleep(seconds * WARM_UP)
        start, before = time.perf_counter(), self._count.value
        time.sleep(seconds * (1 - WARM_UP) - 0.1)
        rate = (self._count.value - before) / (time.perf_counter() - start)
        _answers(pipes)
        return rate

    def _flood(self, connection: Any, pipes: Sequence[Pipe]) -> tuple[float, float]:
        """Messages and readings a second that ingest commits in its steady state."""
        for pipe in pipes:
            pipe.send(Flood(self._seconds, self._window))
        start = time.perf_counter()
        seen: list[Progress] = []
        while (elapsed := time.perf_counter() - start) < self._seconds:
            now = progress(connection)
            if elapsed > self._seconds * WARM_UP and (not seen or now.messages != seen[-1].messages):
                seen.append(now)
            time.sleep(LOOK_EVERY_S)
        _answers(pipes)
        # The first look came at any time between two commits; from the second on they are commits.
        if len(seen) < 4:
            raise CareloopError(f"ingest committed {len(seen)} times in the steady state; give more --seconds")
        first, last = seen[1], seen[-1]
        taken_s = last.at_s - first.at_s
        return (last.messages - first.messages) / taken_s, (last.readings - first.readings) / taken_s

    def _latencies(self, published: Sequence[Published]) -> dict[str, Any]:
        ordered = sorted(latency for one in published for latency in one.latencies_ms)
        if not ordered:
            raise CareloopError("ingest confirmed no message: may its account write careloop/v1/+/stored?")
        return {
            "commit_p50_ms": round(ordered[len(ordered) // 2], 1),
            "commit_p99_ms": round(ordered[len(ordered) * 99 // 100], 1),
            "commit_max_ms": round(ordered[-1], 1),
            "paced_messages_per_s": round(len(ordered) / (self._seconds / 2)),
        }

    def _counts(self, connection: Any, published: Sequence[Published]) -> dict[str, Any]:
        acknowledged = [
            (Messages(load), sorted(set(range(one.messages)) - set(one.unacknowledged)))
            for load, one in zip(self._loads, published, strict=True)
        ]
        messages = sum(len(sequences) for _, sequences in acknowledged)
        unacknowledged = sum(len(one.unacknowledged) for one in published)
        found = count(connection, acknowledged)
        # A message without a PUBACK may be stored or not; then it neither hides a lost one nor counts as one.
        stored = found.distinct_rows - (
            found.readings_by_identity - self._readings * (messages - found.missing_messages)
        )
        return {
            "published_messages": messages + unacknowledged,
            "acknowledged_messages": messages,
            "unconfirmed_messages": sum(one.unconfirmed for one in published),
            "stored_readings": found.rows,
            "lost": max(messages * self._readings - stored, found.missing_messages * self._readings),
            "doubled": found.rows - found.distinct_rows,
        }

    # Processes --------------------------------------------------------------------------------

    @contextmanager
    def _publishers(self) -> Iterator[list[Pipe]]:
        with ExitStack() as stack:
            yield [
                stack.enter_context(
                    _process(
                        publisher_process,
                        Role(self._servers.broker_url, f"bench-{self._run}-{number}", load, len(self._loads)),
                        self._count,
                    )
                )
                for number, load in enumerate(self._loads)
            ]

    @contextmanager
    def _subscriber(self) -> Iterator[None]:
        with _process(subscriber_process, self._servers.broker_url, f"bench-{self._run}-bare", self._count):
            yield

    @contextmanager
    def _ingest(self) -> Iterator[None]:
        """The workers, running and connected; their sessions are gone from the broker afterwards."""
        with ExitStack() as stack:
            directory = Path(stack.enter_context(TemporaryDirectory(prefix="careloop-bench-")))
            for number in range(1, self._workers + 1):
                stack.enter_context(self._worker(directory, f"bench-{self._run}-ingest-{number}"))
            yield

    @contextmanager
    def _worker(self, directory: Path, name: str) -> Iterator[None]:
        log_file = directory / f"{name}.log"
        environment = {
            **os.environ,
            "CARELOOP_DATABASE_URL": self._servers.database_url,
            "CARELOOP_BROKER_URL": self._servers.broker_url,
            "CARELOOP_INGEST_WORKER": name,
            "CARELOOP_INGEST_SHARED": "true" if self._workers > 1 else "false",
            "CARELOOP_LOG_LEVEL": "INFO",
        }
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "careloop", "ingest", "--end-with", str(os.getpid())],
                env=environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            deadline = time.perf_counter() + START_WITHIN_S
            while "subscribed" not in log_file.read_text(errors="replace"):
                if process.poll() is not None or time.perf_counter() > deadline:
                    raise CareloopError(f"ingest did not start: {log_file.read_text(errors='replace')[-500:]}")
                time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(START_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            # Or a broker that lives on would keep messages for it. A clean start ends a session.
            for session in (name, f"{name}-downlink"):
                Wire(self._servers.broker_url, session).close()


@contextmanager
def _process(target: Callable[..., None], *arguments: Any) -> Iterator[Pipe]:
    """A child process at the other end of a pipe; it says ready, ends when told None, and does not outlive us."""
    ours, theirs = _processes.Pipe()
    child = _processes.Process(target=target, args=(theirs, *arguments), daemon=True)
    child.start()
    try:
        if (answer := _answer(ours)) != "ready":
            raise CareloopError(str(answer))
        yield ours
        ours.send(None)
        child.join(START_WITHIN_S)
    finally:
        if child.is_alive():
            child.terminate()
            child.join()


def _ask(pipes: Sequence[Pipe], order: Order) -> list[Published]:
    for pipe in pipes:
        pipe.send(order)
    return _answers(pipes)


def _answers(pipes: Sequence[Pipe]) -> list[Published]:
    answers = [_answer(pipe) for pipe in pipes]
    for answer in answers:
        if not isinstance(answer, Published):
            raise CareloopError(str(answer))
    return answers


def _answer(pipe: Pipe) -> Any:
    if not pipe.poll(ANSWER_WITHIN_S):
        raise CareloopError(f"a process of the benchmark did not answer within {ANSWER_WITHIN_S:.0f} s")
    try:
        return pipe.recv()
    except EOFError as error:
        raise CareloopError("a process of the benchmark ended unexpectedly") from error
