"""Keeps a running agent as the platform wants it: judged, applied, on probation, proved or rolled back.

Everything happens in the agent's thread. What was decided is on disk before it is done, so that a kill at any instant
leaves either the settings before or the new ones on probation, never something in between.
"""

import json
import logging
from dataclasses import replace
from datetime import datetime

from careloop.contract.messages import MessageError
from careloop.contract.remote import DesiredConfig
from edge_agent.agent import Agent, Tuning
from edge_agent.buffer import BufferFullError
from edge_agent.config import EdgeConfig
from edge_agent.remote.memory import Interval, RemoteMemory
from edge_agent.remote.overlay import LogLevel, RefusedError, log_level_of, overlay, source_name
from edge_agent.remote.probation import MOST_CRASHES, Evidence, judge_probation
from edge_agent.rules import rule_book
from edge_agent.sources.source import Source
from edge_agent.tally import Polled
from edge_agent.wire.inbound import Inbound
from edge_agent.wire.outcomes import Outcomes

MEMORY = "remote.config"
# A configuration that comes with the first connection waits so long for a message to be taken, or none: only then is it
# known whether the agent could publish before.
SETTLED_AFTER_S = 5.0
LOOK_EVERY_S = 1.0

log = logging.getLogger(__name__)


class Configuration:
    """The remotely settable part of an agent's configuration.

    Args:
        agent: The agent; not started yet.
        base: Its own file.
        log_level: What is in force where the settings say nothing.
    """

    def __init__(self, agent: Agent, base: EdgeConfig, log_level: LogLevel) -> None:
        self._agent = agent
        self._base = base
        self._log_level: LogLevel = log_level
        self._sources: dict[str, Source] = {source.name: source for source in agent.sources}
        self._memory = RemoteMemory.from_text(agent.buffer.recall(MEMORY))
        self._desired: DesiredConfig | None = None
        self._evidence = Evidence()
        self._first_seq = 0
        # None until the broker has taken or refused a message on this connection.
        self._takes: bool | None = None
        self._connected_s = 0.0
        self._looked_at_s: float | None = None
        self._last_error: dict[str, str] = {}
        self._unsaid = False

    @property
    def due_in_s(self) -> float:
        """How soon `tick` wants to be called without being woken."""
        waits = self._desired or self._memory.candidate or self._memory.intervals
        return LOOK_EVERY_S if waits else float("inf")

    def start(self, now: datetime) -> None:
        """Apply what was in force when the process ended; call it before the agent starts."""
        memory = self._memory.crashed()
        if memory.candidate and memory.candidate.crashes >= MOST_CRASHES:
            memory = memory.roll_back(f"the agent ended {MOST_CRASHES} times without being stopped")
        try:
            self._judge(memory.in_force)
        except RefusedError as error:
            memory = memory.drop(str(error))
        memory = _without_ended(memory, now)
        self._remember(memory)
        self._apply()
        self._begin_probation()
        self._say()

    def stop(self) -> None:
        """The process is about to end because it was told to."""
        if self._memory.candidate:
            self._remember(self._memory.stopped())

    def take(self, inbound: Inbound) -> None:
        """A desired configuration arrived; the broker retains it, so that it need not be stored before it is judged."""
        if not inbound.payload:
            return
        try:
            self._desired = DesiredConfig.from_json(json.loads(inbound.payload))
        except (ValueError, MessageError) as error:
            log.warning("a desired configuration cannot be read: %s", error)

    def note(self, outcomes: Outcomes) -> None:
        """What the broker said of messages."""
        if outcomes.opened:
            self._takes, self._connected_s = None, 0.0
            self._evidence.connections += 1
        if outcomes.taken:
            self._takes = True
        elif outcomes.refused or outcomes.too_large or (outcomes.returned and self._agent.publisher.connected):
            self._takes = False
            self._evidence.unanswered_s = 0.0
        self._evidence.taken += sum(seq >= self._first_seq for seq in outcomes.taken)
        candidate = self._memory.candidate
        # Larger batches merge older messages, too.
        merges = candidate is not None and "batching" in candidate.desired.settings
        never_taken = [*outcomes.refused, *outcomes.too_large]
        self._evidence.never_taken += sum(merges or seq >= self._first_seq for seq in never_taken)

    def note_poll(self, source: str, polled: Polled) -> None:
        """What a poll brought."""
        if polled.error or polled.readings:
            self._last_error[source] = polled.error
        self._evidence.note_poll(source, polled.readings, polled.error)

    def tick(self, now: datetime, monotonic_s: float) -> None:
        """Do what is due."""
        self._watch_link(monotonic_s)
        if self._desired and (self._takes is not None or self._connected_s >= SETTLED_AFTER_S):
            desired, self._desired = self._desired, None
            self._take_up(desired)
        if self._memory.candidate:
            self._judge_probation()
        current = _without_ended(self._memory, now)
        if current != self._memory and self._remember(current):
            self._apply()
        if self._unsaid:
            self._unsaid = False
            self._agent.publisher.renew_own_state()

    def set_interval(self, source: str, interval_s: float, until_s: float | None) -> float:
        """Read a source more or less often, over the configuration; returns how often it was.

        Args:
            source: Its name.
            interval_s: Seconds between polls.
            until_s: Unix time when it ends; None for the next configuration.

        Raises:
            RefusedError: There is no such source, or it cannot be read so often.
        """
        in_force = self._memory.in_force
        self._judge(DesiredConfig(1, "", {"sources": {source: {"interval_s": interval_s}}}))
        before_s = self._sources[source].interval_s
        intervals = {**self._memory.intervals, source: Interval(interval_s, until_s)}
        if not self._remember(replace(self._memory, intervals=intervals)):
            raise RefusedError("there is no room on the disk to remember it")
        self._apply()
        log.info("source %s: every %g s instead of %g s", source, interval_s, before_s)
        # A probation under way does not watch what somebody else changed.
        if in_force is not None:
            self._evidence.polls.pop(source, None)
        return before_s

    def _take_up(self, desired: DesiredConfig) -> None:
        self._unsaid = True
        if self._memory.has_seen(desired):
            return
        try:
            self._judge(desired)
            if not self._remember(self._memory.begin(desired, could_publish=bool(self._takes))):
                raise RefusedError("there is no room on the disk to remember it")  # noqa: TRY301 - refused like the others
        except RefusedError as error:
            log.warning("configuration %d is refused: %s", desired.version, error)
            self._remember(self._memory.refuse(desired, str(error)))
            self._say()
            return
        self._apply()
        self._begin_probation()
        self._say()
        log.info("configuration %d is in force, on probation for %g s", desired.version, self._probation_s)

    def _judge(self, desired: DesiredConfig | None) -> tuple[EdgeConfig, LogLevel]:
        """The configuration that is asked for.

        Raises:
            RefusedError: It cannot be applied.
        """
        settings = desired.settings if desired else {}
        config, level = overlay(self._base, settings), log_level_of(settings, self._log_level)
        for name in settings.get("sources", {}):
            if not self._sources[name].has_interval:
                raise RefusedError(f"sources.{name}.interval_s: what this source brings comes by itself")
        return config, level

    def _apply(self) -> None:
        config, level = self._judge(self._memory.in_force)
        intervals = {source_name(source): source.interval_s for source in config.sources}
        intervals |= {name: interval.interval_s for name, interval in self._memory.intervals.items()}
        self._agent.retune(
            Tuning(
                rules=rule_book(config.rules),
                intervals=intervals,
                commit_every_s=config.batching.interval_s,
                max_readings=config.batching.max_readings,
                wire_format=config.batching.format,
                max_bytes=config.buffer.max_bytes,
                max_age_s=config.buffer.max_age_days * 86400,
            )
        )
        logging.getLogger().setLevel(level)

    def _begin_probation(self) -> None:
        candidate = self._memory.candidate
        changed = candidate.desired.settings.get("sources", {}) if candidate else {}
        self._first_seq = self._agent.buffer.lanes.last + 1
        self._evidence = Evidence(polls={name: 0 for name in changed if not self._last_error.get(name)})

    def _judge_probation(self) -> None:
        candidate = self._memory.candidate
        if candidate is None:
            return
        self._evidence.formed = self._agent.buffer.lanes.last - self._first_seq + 1
        verdict = judge_probation(
            self._evidence,
            could_publish=candidate.could_publish,
            probation_s=self._probation_s,
            batch_s=self._agent.commit_every_s,
        )
        version = candidate.desired.version
        if verdict.proved and self._remember(self._memory.prove()):
            log.info("configuration %d stood its probation", version)
            self._say()
        elif verdict.blame and self._remember(self._memory.roll_back(verdict.blame)):
            log.error("configuration %d is rolled back: %s", version, verdict.blame)
            self._apply()
            self._begin_probation()
            self._say()

    def _watch_link(self, monotonic_s: float) -> None:
        connected = self._agent.publisher.connected
        if self._looked_at_s is not None and connected:
            seconds = monotonic_s - self._looked_at_s
            self._connected_s += seconds
            self._evidence.link_s += seconds
            if self._evidence.formed and not self._evidence.taken:
                self._evidence.unanswered_s += seconds
        self._looked_at_s = monotonic_s if connected else None

    def _remember(self, memory: RemoteMemory) -> bool:
        """Decide; whether it is on disk, without which nothing changes."""
        if memory != self._memory:
            try:
                self._agent.buffer.add([], {MEMORY: memory.to_text()})
            except BufferFullError as error:
                log.error("the remote configuration cannot be remembered: %s", error)  # noqa: TRY400 - no defect of ours
                return False
        self._memory = memory
        return True

    def _say(self) -> None:
        self._agent.about["config"] = self._memory.report.to_json()
        self._unsaid = True

    @property
    def _probation_s(self) -> float:
        return self._base.remote.probation_s


def _without_ended(memory: RemoteMemory, now: datetime) -> RemoteMemory:
    """Without the temporary intervals whose time is up."""
    left = {
        name: interval
        for name, interval in memory.intervals.items()
        if interval.until_s is None or interval.until_s > now.timestamp()
    }
    return memory if left == memory.intervals else replace(memory, intervals=left)
