"""Executes commands, each at most once, and answers each through the durable buffer."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from careloop.contract.messages import MessageError
from careloop.contract.remote import CONTENT_TYPE, LARGEST_LOG_BYTES, Command, CommandResult
from careloop.contract.topics import topic
from edge_agent.agent import Agent
from edge_agent.buffer import BufferFullError
from edge_agent.packing import Message
from edge_agent.remote.commands import CommandBook
from edge_agent.remote.configuration import Configuration
from edge_agent.remote.overlay import RefusedError
from edge_agent.remote.recent_log import RecentLog
from edge_agent.tally import Polled
from edge_agent.wire.inbound import Inbound

MEMORY = "remote.commands"
ANSWERS_WITHIN_S = 15.0
LOOK_EVERY_S = 0.5
ENVELOPE_BYTES = 1024

log = logging.getLogger(__name__)


class Execution:
    """The commands of an agent.

    Args:
        agent: The agent; not started yet.
        configuration: Whose intervals a command may change.
        recent_log: The end of its log.
        now: The clock, for when a command arrives.
    """

    def __init__(
        self,
        agent: Agent,
        configuration: Configuration,
        recent_log: RecentLog,
        now: Callable[[], datetime],
    ) -> None:
        self._agent = agent
        self._topic = topic(agent.agent_id, "command/result")
        self._configuration = configuration
        self._recent_log = recent_log
        self._now = now
        self._book = CommandBook.from_text(agent.buffer.recall(MEMORY))
        self._begun: list[Command] = []
        self._test: _SelfTest | None = None
        self._kinds: Mapping[str, Callable[[Command, datetime], dict[str, Any]]] = {
            "set_interval": self._set_interval,
            "upload_log": self._upload_log,
        }

    @property
    def due_in_s(self) -> float:
        """How soon `tick` wants to be called without being woken."""
        return 0.0 if self._begun and not self._test else LOOK_EVERY_S if self._test else float("inf")

    def start(self, now: datetime) -> None:
        """Answer what a kill cut short."""
        self._book.forget(now)
        for result in self._book.interrupted(now):
            log.warning("command %s: %s", result.command_id, result.reason)
            self._answer(result, now)

    def take(self, inbound: Inbound) -> None:
        """A command arrived; when this returns it is on disk that it was begun, or its answer is."""
        now = self._now()
        try:
            command = Command.from_json(json.loads(inbound.payload))
        except (ValueError, MessageError) as error:
            log.warning("a command cannot be read: %s", error)
            return
        if command.command_id in self._book:
            log.info("command %s came again; it is not executed again", command.command_id)
            return
        self._book.forget(now)
        # By the store's clock, as far as it is known: that of a device may be off by hours.
        refusal = self._book.refusal(command, now - timedelta(seconds=self._agent.publisher.skew.seconds or 0.0))
        self._book.begin(command)
        try:
            if refusal is not None:
                self._answer(refusal, now)
                return
            self._agent.buffer.add([], {MEMORY: self._book.to_text()}, now_s=now.timestamp())
        except BufferFullError as error:
            # Not begun, and not answered: it comes again.
            log.error("command %s cannot be begun: %s", command.command_id, error)  # noqa: TRY400 - no defect of ours
            del self._book.entries[command.command_id]
            return
        self._begun.append(command)
        self._agent.woken.set()

    def note_poll(self, source: str, polled: Polled) -> None:
        """A source was polled, by a test or by itself."""
        if self._test:
            self._test.note_poll(source, polled)

    def tick(self, now: datetime, monotonic_s: float) -> None:
        """Execute what was begun."""
        if self._test:
            if not self._test.is_over(monotonic_s):
                return
            test, self._test = self._test, None
            self._answer(CommandResult(test.command_id, "done", now, output=test.output()), now)
        while self._begun and not self._test:
            command = self._begun.pop(0)
            log.info("command %s: %s", command.command_id, command.kind)
            if command.kind == "self_test":
                self._test = _SelfTest(self._agent, command.command_id, monotonic_s)
                self._test.begin(now)
            else:
                self._answer(self._execute(command, now), now)

    def _execute(self, command: Command, now: datetime) -> CommandResult:
        work = self._kinds.get(command.kind)
        if work is None:
            known = ", ".join(sorted({*self._kinds, "self_test"}))
            return CommandResult(command.command_id, "refused", now, f"kind {command.kind!r}: this agent knows {known}")
        try:
            return CommandResult(command.command_id, "done", now, output=work(command, now))
        except RefusedError as error:
            return CommandResult(command.command_id, "refused", now, str(error))
        except Exception as error:
            # Whatever fails fails this command alone; the agent goes on reading its sources.
            log.exception("command %s failed", command.command_id)
            return CommandResult(command.command_id, "failed", now, f"{type(error).__name__}: {error}"[:1000])

    def _answer(self, result: CommandResult, now: datetime) -> None:
        """Store the result, as a message that is never dropped, together with the end of its command."""
        payload = json.dumps(result.to_json(), separators=(",", ":")).encode()
        self._book.end(result.command_id)
        message = Message("event", self._topic, CONTENT_TYPE, payload, 0)
        try:
            self._agent.buffer.add([message], {MEMORY: self._book.to_text()}, now_s=now.timestamp())
        except BufferFullError as error:
            # On disk it is begun still: the next start answers it.
            log.error("the result of command %s cannot be stored: %s", result.command_id, error)  # noqa: TRY400 - no defect of ours
        self._agent.woken.set()

    def _set_interval(self, command: Command, now: datetime) -> dict[str, Any]:
        source = command.arguments.get("source")
        interval_s, for_s = command.arguments.get("interval_s"), command.arguments.get("for_s")
        if not isinstance(source, str):
            raise RefusedError("arguments.source: must be the name of a source")
        if not isinstance(interval_s, int | float):
            raise RefusedError("arguments.interval_s: must be a number")
        if for_s is not None and not (_is_number(for_s) and 0 < for_s < 10**9):
            raise RefusedError("arguments.for_s: must be a number above 0")
        until = None if for_s is None else now + timedelta(seconds=for_s)
        before_s = self._configuration.set_interval(source, interval_s, until.timestamp() if until else None)
        return {"before_s": before_s, "interval_s": interval_s, "until": until.isoformat() if until else None}

    def _upload_log(self, command: Command, _now: datetime) -> dict[str, Any]:
        kilobytes = command.arguments.get("kilobytes", 64)
        if not _is_number(kilobytes) or not 1 <= kilobytes <= LARGEST_LOG_BYTES // 1024:
            raise RefusedError(f"arguments.kilobytes: must be 1 to {LARGEST_LOG_BYTES // 1024}")
        wanted_bytes, largest = int(kilobytes * 1024), self._agent.publisher.largest_bytes
        while True:
            text, has_more = self._recent_log.last(wanted_bytes)
            output = {"text": text, "has_more": has_more}
            # Quotes and backslashes grow on the wire, and what the broker never takes would be lost.
            if not 0 < largest < len(json.dumps(output)) + ENVELOPE_BYTES or not text:
                return output
            wanted_bytes //= 2


class _SelfTest:
    """Reads every source once, looks at buffer, disk and clock, and times the way to the broker and back.

    A source that is read in a thread of its own has its time to answer; the agent goes on meanwhile.
    """

    def __init__(self, agent: Agent, command_id: str, monotonic_s: float) -> None:
        self.command_id = command_id
        self._agent = agent
        self._begun_at_s = monotonic_s
        self._answered_after_s: float | None = None
        self._sources: dict[str, Polled | None] = dict.fromkeys(source.name for source in agent.sources)
        # Read in threads of their own: a poll that brings nothing is no answer yet.
        self._reading: set[str] = set()

    def begin(self, now: datetime) -> None:
        """Have every source read; call it when polls are noted."""
        for source in self._agent.sources:
            if source.read_now():
                self._reading.add(source.name)
            else:
                self._agent.poll(source, now)
        self._agent.publisher.renew_own_state()

    def note_poll(self, source: str, polled: Polled) -> None:
        """The first poll is the answer; of a source that reads by itself, the first that brings something or fails."""
        if source in self._reading or self._sources.get(source) is None:
            self._sources[source] = polled
        if polled.readings or polled.error:
            self._reading.discard(source)

    def is_over(self, monotonic_s: float) -> bool:
        """Whether all have answered, or had their time."""
        if self._answered_after_s is None and self._agent.publisher.states_are_announced:
            self._answered_after_s = monotonic_s - self._begun_at_s
        answered = self._answered_after_s is not None and None not in self._sources.values() and not self._reading
        return answered or monotonic_s - self._begun_at_s >= ANSWERS_WITHIN_S

    def output(self) -> dict[str, Any]:
        """What it found."""
        publisher, buffer = self._agent.publisher, self._agent.buffer
        round_trip_s, skew_s = self._answered_after_s, publisher.skew.seconds
        late = Polled(0, f"no answer within {ANSWERS_WITHIN_S:g} s")
        sources = {name: polled or late for name, polled in self._sources.items()}
        return {
            "passed": round_trip_s is not None and not any(polled.error for polled in sources.values()),
            "sources": {
                name: {"ok": not polled.error, "readings": polled.readings, "error": polled.error}
                for name, polled in sources.items()
            },
            "buffer": {
                "messages": buffer.depth.messages,
                "bytes": buffer.depth.size_bytes,
                "lost_readings": buffer.lost.readings,
            },
            "disk_free_bytes": shutil.disk_usage(buffer.file.parent).free,
            "clock_skew_s": None if skew_s is None else round(skew_s, 3),
            "broker": {
                "ok": round_trip_s is not None,
                "round_trip_s": None if round_trip_s is None else round(round_trip_s, 3),
            },
        }


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)
