"""Drives the five service processes through simulated time."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from psycopg import Connection
from psycopg.rows import DictRow

from careloop.client import CareloopClient
from careloop.database.engine import Engine, connect
from careloop.database.queries import load_queries
from careloop.errors import CareloopError
from careloop.stack.embedded import EmbeddedStack
from careloop.stack.process import ServiceProcess

SQL = load_queries("careloop.line")

API_WITHIN_S = 60.0
STORED_WITHIN_S = 120.0
ALERTS_WITHIN_S = 60.0
POLL_S = 0.002


class Line:
    """The whole line over one stack: edge, ingest, predictor, scheduler, api.

    Edge, predictor and scheduler are driven by steps and read no clock; the API is told the time call by call; ingest
    runs live, since it only stamps arrivals.

    Args:
        stack: Started.
        edge_config: Configuration of the edge agent; without one it takes the readings given to `publish`.
    """

    def __init__(self, stack: EmbeddedStack, *, edge_config: Path | None = None) -> None:
        self._stack = stack
        self._edge_words = ("--config", str(edge_config)) if edge_config else ()
        self._closing = ExitStack()
        self._published_messages = 0
        self.accepted_readings = 0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def engine(self) -> Engine:
        """What the database is."""
        if self._stack.engine is None:
            raise RuntimeError("the stack is not started")
        return self._stack.engine

    def _start(self) -> None:
        stack = self._stack
        self.database: Connection[DictRow] = self._closing.enter_context(connect(stack.database_url))
        self._refuse_used_database()
        api = stack.service("api", "api", environment={"CARELOOP_CLOCK": "request"})
        self._closing.enter_context(api)
        self._closing.enter_context(stack.service("ingest", "ingest"))
        self._edge = self._stepped("edge", "edge", "run", "--step", *self._edge_words)
        self._predictor = self._stepped("predictor", "predictor", "run", "--step")
        self._scheduler = self._stepped("scheduler", "scheduler", "run", "--step")
        self.client = self._closing.enter_context(CareloopClient(stack.api_url, stack.api_key("conductor", "admin")))
        self._wait_for_api(api)

    def _stepped(self, process: Any, *words: str) -> ServiceProcess:
        return self._closing.enter_context(self._stack.service(process, *words, steps=True))

    def _refuse_used_database(self) -> None:
        counts = self._one("count_business")
        if counts["assets"] or counts["messages"]:
            raise CareloopError(
                f"the database already holds {counts['assets']} assets and {counts['messages']} messages; "
                "give an empty one, or --reset to drop what careloop has there"
            )

    def _wait_for_api(self, api: ServiceProcess) -> None:
        deadline = time.monotonic() + API_WITHIN_S
        while time.monotonic() < deadline:
            if not api.is_running:
                raise CareloopError(f"the API did not start; its log ends: {api.last_log_lines()}")
            try:
                self.client.get("/ready")
            except CareloopError:
                continue
            return
        raise CareloopError(f"the API did not answer within {API_WITHIN_S:g} s; its log ends: {api.last_log_lines()}")

    # What happens -----------------------------------------------------------------------------

    def publish(
        self, now: datetime, readings: Sequence[object] = (), events: Sequence[object] = ()
    ) -> Mapping[str, Any]:
        """Let the edge agent publish what came up to `now`, and wait until ingest has stored it.

        Returns:
            The agent's answer.
        """
        answer = self._edge.step("advance", now, readings=readings, events=events)
        self._published_messages += answer["published_messages"]
        self.accepted_readings += answer["accepted_readings"]
        self._wait_until_stored()
        return answer

    def inspect(self, now: datetime, serial: str, component: str) -> Mapping[str, Any]:
        """What a technician finds at a simulated component: `wear` (1 is worn out) and `failed`."""
        return self._edge.step("inspect", now, serial=serial, component=component)

    def replace(self, now: datetime, serial: str, component: str) -> Mapping[str, Any]:
        """Put a new component into a simulated asset."""
        return self._edge.step("replace", now, serial=serial, component=component)

    def train(self, now: datetime) -> Mapping[str, Any]:
        """Train the models on what was seen before `now`."""
        return self._predictor.step("train", now)

    def score(self, now: datetime) -> Mapping[str, Any]:
        """Score every asset as of `now`; tickets open where it pays."""
        return self._predictor.step("score", now)

    def sweep_warranties(self, now: datetime) -> Mapping[str, Any]:
        """Raise tickets for warranty terms about to end."""
        return self._predictor.step("warranty", now)

    def schedule(self, now: datetime) -> Mapping[str, Any]:
        """Turn what is due and open into dispatched jobs."""
        return self._scheduler.step("advance", now)

    def _wait_until_stored(self) -> None:
        deadline = time.monotonic() + STORED_WITHIN_S
        while self._one("ingest_progress")["messages"] < self._published_messages:
            if time.monotonic() > deadline:
                stored = self._one("ingest_progress")["messages"]
                raise CareloopError(
                    f"ingest has stored {stored} of {self._published_messages} messages and goes no further; "
                    f"see {self._stack.directory / 'logs' / 'ingest.log'}"
                )
            time.sleep(POLL_S)

    def wait_for_alerts(self) -> None:
        """Wait until the outbox is empty, or no longer gets emptier."""
        deadline = time.monotonic() + ALERTS_WITHIN_S
        while self._one("line_counts")["alerts_open"] and time.monotonic() < deadline:
            time.sleep(0.2)

    # What is there ----------------------------------------------------------------------------

    def _one(self, query: str, **parameters: object) -> DictRow:
        row = self.database.execute(SQL[query], parameters).fetchone()
        if row is None:
            raise LookupError(f"{query} returned no row")
        return row

    def counts(self) -> DictRow:
        """Readings, tickets, reservations, visits and alerts, counted in the database."""
        return self._one("line_counts")

    def tickets_by_kind(self) -> dict[str, int]:
        """Tickets ever raised, by kind."""
        return {row["kind"]: row["tickets"] for row in self.database.execute(SQL["tickets_by_kind"])}

    def ticket_outcomes(self) -> DictRow:
        """Preventive tickets by what came of them."""
        return self._one("ticket_outcomes")

    def catches(self, from_time: datetime, to_time: datetime) -> DictRow:
        """Failures strictly between two times, and how many of them a ticket announced."""
        return self._one("catches", from_time=from_time, to_time=to_time)

    def false_alerts(self) -> int:
        """Preventive tickets whose component did not fail within 48 hours."""
        return int(self._one("false_alerts")["false_alerts"])

    def unserved_tickets(self) -> int:
        """Preventive tickets without a part or a dispatched job."""
        return int(self._one("unserved_tickets")["unserved"])

    def stored_readings(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Rows and distinct times stored, by serial number and metric."""
        return {
            (row["serial"], row["metric"]): (row["stored"], row["distinct_times"])
            for row in self.database.execute(SQL["stored_readings"])
        }
