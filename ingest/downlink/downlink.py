"""Hands desired configurations and commands to the broker, and stores what agents make of them.

Every worker hears the agents, under a session of its own; only the one that holds the advisory lock sends, and the lock
goes to another when its connection to the database ends. What the API wrote is heard by NOTIFY, else found within a
second. Until the agent has reported the configuration, or the command's result has come, or the command has expired, it
is sent again after pauses that double, and without one when the agent turns up: an agent knows what it has seen before.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from threading import Event
from uuid import UUID

import orjson
import psycopg
from psycopg import Connection
from psycopg.rows import DictRow

from careloop.contract.identity import identity_of
from careloop.contract.remote import Command, DesiredConfig
from careloop.contract.topics import topic
from careloop.database.queries import load_queries
from careloop.errors import CareloopError
from ingest.downlink.line import NO_MATCHING_SUBSCRIBERS, Incoming, Line, Outgoing
from ingest.downlink.reports import Finished, Heard, UnusableError, read
from ingest.settings import IngestSettings

SQL = load_queries("ingest.downlink")

MOST_AT_ONCE = 200
LISTEN_S = 0.2
LOOK_EVERY = timedelta(seconds=1)
LEAD_EVERY = timedelta(seconds=2)
ANSWER_WITHIN_S = 5.0
PAUSE_AFTER_ERROR_S = 2.0

log = logging.getLogger(__name__)


class Downlink:
    """Runs in a thread of the ingest process.

    Args:
        settings: Broker, worker name and bounds.
        connect: Makes a database connection in autocommit mode.
        now: The clock.
        stop: Set when the process is told to stop.
        beat: Called whenever its loop gets round.
        lost: Called with what went to the dead letters, by reason.
    """

    def __init__(
        self,
        settings: IngestSettings,
        connect: Callable[[], Connection[DictRow]],
        now: Callable[[], datetime],
        stop: Event,
        *,
        beat: Callable[[], None] = lambda: None,
        lost: Callable[[Mapping[str, int]], None] = lambda _reasons: None,
    ) -> None:
        self._settings = settings
        self._connect = connect
        self._now = now
        self._stop = stop
        self._beat = beat
        self._lost = lost
        self._came_in = Event()
        self._line = Line(settings, now, self._came_in.set)
        self._taken: list[Incoming] = []
        self._retry = timedelta(seconds=settings.ingest_downlink_retry_s)

    def run(self) -> None:
        """Serve until told to stop, whatever the database and the broker do meanwhile."""
        self._line.start()
        try:
            while not self._stop.is_set():
                try:
                    with self._connect() as connection:
                        self._serve(connection)
                except (psycopg.Error, CareloopError) as error:
                    # What came in stays unacknowledged, so the broker has it still.
                    log.warning("the downlink waits for the database: %s", str(error).strip().splitlines()[0])
                    self._beat()
                    self._stop.wait(PAUSE_AFTER_ERROR_S)
        finally:
            self._line.stop()

    def _serve(self, connection: Connection[DictRow]) -> None:
        connection.execute(SQL["listen_downlink"])
        leads = False
        lead_at = look_at = self._now()
        while not self._stop.is_set():
            self._beat()
            self._came_in.clear()
            heard = self._store_what_came(connection)
            now = self._now()
            if not leads and now >= lead_at:
                leads, lead_at = self._try_to_lead(connection), now + LEAD_EVERY
            if leads and self._line.connected and (heard or now >= look_at):
                look_at = now + LOOK_EVERY
                self._send_configs(connection)
                self._send_commands(connection)
            # The time of a clock that was set back does not stand still.
            look_at, lead_at = min(look_at, now + LOOK_EVERY), min(lead_at, now + LEAD_EVERY)
            if not self._came_in.is_set() and list(connection.notifies(timeout=LISTEN_S, stop_after=1)):
                look_at = now

    def _try_to_lead(self, connection: Connection[DictRow]) -> bool:
        row = connection.execute(SQL["lead_downlink"]).fetchone()
        leads = bool(row and row["leads"])
        if leads:
            log.info("worker %s sends configurations and commands", self._settings.ingest_worker)
        return leads

    # From the agents -----------------------------------------------------------------------------

    def _store_what_came(self, connection: Connection[DictRow]) -> bool:
        """Store what came in and acknowledge it; whether anything was."""
        # After an error the same ones again: the broker repeats them on a new connection only.
        messages = self._taken = self._taken or self._line.take(MOST_AT_ONCE)
        heard: dict[str, Heard] = {}
        for message in messages:
            try:
                said = read(
                    message.topic,
                    message.payload,
                    message.received_at,
                    retained=message.retained,
                    most_bytes=self._settings.ingest_max_message_bytes,
                )
                if isinstance(said, Heard):
                    before = heard.get(said.agent_id)
                    heard[said.agent_id] = _together(before, said) if before else said
                elif isinstance(said, Finished):
                    self._store_result(connection, message, said)
            except UnusableError as error:
                self._bury(connection, message, error)
        if heard:
            self._store_heard(connection, [heard[agent_id] for agent_id in sorted(heard)])
        self._line.settle(messages)
        self._taken = []
        return bool(messages)

    def _store_heard(self, connection: Connection[DictRow], heard: Sequence[Heard]) -> None:
        reports = [(said, said.report) for said in heard if said.report is not None]
        online = {
            "agent_ids": [said.agent_id for said in heard if said.online],
            "now": self._now(),
            "retry": self._retry,
        }
        with connection.transaction():
            connection.execute(
                SQL["see_agents"],
                {
                    "agent_ids": [said.agent_id for said in heard],
                    "seen_at": [said.at for said in heard],
                    "online_ids": online["agent_ids"],
                },
            )
            if reports:
                connection.execute(
                    SQL["set_config_reports"],
                    {
                        "agent_ids": [said.agent_id for said, _ in reports],
                        "reported_at": [said.at for said, _ in reports],
                        "versions": [report.version for _, report in reports],
                        "statuses": [report.status for _, report in reports],
                        "reasons": [report.reason for _, report in reports],
                        "hashes": [report.hash for _, report in reports],
                        "proved": [report.proved for _, report in reports],
                    },
                )
            connection.execute(SQL["hurry_configs"], online)
            connection.execute(SQL["hurry_commands"], online)

    def _store_result(self, connection: Connection[DictRow], message: Incoming, said: Finished) -> None:
        values = {
            "command_id": said.command_id,
            "agent_id": said.agent_id,
            "status": said.result.status,
            "reason": said.result.reason,
            "output": orjson.dumps(said.result.output).decode(),
            "finished_at": said.result.finished_at,
            "received_at": message.received_at,
        }
        try:
            row = connection.execute(SQL["add_command_result"], values).fetchone()
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise UnusableError("refused_by_database", str(error).strip().splitlines()[0]) from error
        if not row or not row["known"]:
            raise UnusableError("unknown_command", f"no command {said.command_id} was given to {said.agent_id}")
        about = {"command": str(said.command_id), "serial": said.agent_id}
        log.info("command %s of %s: %s", said.command_id, said.agent_id, said.result.status, extra=about)

    def _bury(self, connection: Connection[DictRow], message: Incoming, error: UnusableError) -> None:
        log.warning("%s: %s", message.topic, error, extra={"topic": message.topic, "reason": error.reason})
        self._lost({error.reason: 1})
        connection.execute(
            SQL["bury"],
            {
                "identity": UUID(bytes=identity_of(message.topic, message.payload)),
                "received_at": message.received_at,
                "topic": message.topic.replace("\0", "�").encode("utf-8", "replace").decode(),
                "reason": error.reason,
                "detail": str(error).replace("\0", "�").encode("utf-8", "replace").decode()[:1000],
                "payload": message.payload[: self._settings.ingest_dead_letter_bytes],
                "payload_bytes": len(message.payload),
            },
        )

    # To the agents -------------------------------------------------------------------------------

    def _send_configs(self, connection: Connection[DictRow]) -> None:
        due = {"now": self._now(), "retry": self._retry, "most": MOST_AT_ONCE}
        rows = connection.execute(SQL["find_configs_due"], due).fetchall()
        messages = [
            Outgoing(
                topic(row["agent_id"], "config"),
                orjson.dumps(DesiredConfig(row["version"], row["hash"], row["settings"]).to_json()),
                retain=True,
            )
            for row in rows
        ]
        for row, reason in self._sent(rows, messages):
            # Retained: it is taken also while nobody is subscribed.
            values = {"agent_id": row["agent_id"], "version": row["version"], "now": self._now()}
            connection.execute(SQL["note_config_tried"], {**values, "taken": reason < 0x80})
            log.info("configuration %d to %s", row["version"], row["agent_id"], extra={"serial": row["agent_id"]})

    def _send_commands(self, connection: Connection[DictRow]) -> None:
        now = self._now()
        due = {"now": now, "retry": self._retry, "most": MOST_AT_ONCE}
        rows = connection.execute(SQL["find_commands_due"], due).fetchall()
        messages = []
        for row in rows:
            command = Command(str(row["command_id"]), row["kind"], row["expires_at"], row["arguments"])
            seconds = max(1, ceil((row["expires_at"] - now).total_seconds()))
            messages.append(
                Outgoing(topic(row["agent_id"], "command"), orjson.dumps(command.to_json()), expires_in_s=seconds)
            )
        for row, reason in self._sent(rows, messages):
            taken = reason < 0x80 and reason != NO_MATCHING_SUBSCRIBERS
            connection.execute(
                SQL["note_command_tried"], {"command_id": row["command_id"], "now": self._now(), "taken": taken}
            )
            log.info(
                "command %s to %s%s", row["command_id"], row["agent_id"], "" if taken else ": it is not there",
                extra={"command": str(row["command_id"]), "serial": row["agent_id"]},
            )  # fmt: skip

    def _sent(self, rows: Sequence[DictRow], messages: Sequence[Outgoing]) -> list[tuple[DictRow, int]]:
        """Send; those that the broker answered for, with its answer. The others are tried again at the next look."""
        if not messages:
            return []
        answers = self._line.send(messages, ANSWER_WITHIN_S)
        refused = sorted({answer for answer in answers if answer is not None and answer >= 0x80})
        if refused:
            log.error(
                "the broker refuses what is sent to agents (0x%02X); let the account write careloop/v1/+/config and "
                "careloop/v1/+/command", refused[0],
            )  # fmt: skip
        return [(row, answer) for row, answer in zip(rows, answers, strict=True) if answer is not None]


def _together(before: Heard, after: Heard) -> Heard:
    """Two states of one agent in one batch: the later one counts, and a report is kept when it says nothing of it."""
    return Heard(after.agent_id, after.at, after.online, after.report or before.report)
