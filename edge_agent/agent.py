"""The agent: rows and events through rules into messages, into the buffer, to the broker, in that order.

Everything here runs in one thread and reads no clock.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from careloop import __version__
from careloop.contract.messages import AgentState
from edge_agent.buffer import Buffer, BufferFullError
from edge_agent.packing import Message, Packer, WireFormat
from edge_agent.publisher import Publisher
from edge_agent.rules import RuleBook, RuleMemory, derived_units, judge
from edge_agent.sources.source import Harvest, Row, Source, SourceError
from edge_agent.tally import Polled, Tally
from edge_agent.wire.link import Link
from edge_agent.wire.outcomes import Outcomes

# A live lane that was not empty for so long is no live lane: what waits in it joins the backlog.
LIVE_WITHIN_S = 5.0
# The device's clock was set when it went so much otherwise than the one that never jumps.
CLOCK_JUMP_S = 2.0

log = logging.getLogger(__name__)


class _Batch(NamedTuple):
    """What one transaction stores."""

    messages: Sequence[Message]
    memory: Mapping[str, str]
    polled: Sequence[Source]
    waiting: Tally


class Watcher(Protocol):
    """Whoever wants to hear how the agent fares; called in its thread."""

    def polled(self, source: str, polled: Polled) -> None:
        """A source was polled."""

    def noted(self, outcomes: Outcomes) -> None:
        """The broker, or the store, said something of messages."""


@dataclass(frozen=True)
class Tuning:
    """What of an agent can be changed while it runs.

    Attributes:
        rules: What is done with readings on the device.
        intervals: Seconds between polls, by source; one left out stays as it is.
        commit_every_s: How long readings wait for others.
        max_readings: Most readings in one message.
        wire_format: How telemetry is written.
        max_bytes: The buffer's bound.
        max_age_s: Telemetry that is older is dropped from it.
    """

    rules: RuleBook
    intervals: Mapping[str, float]
    commit_every_s: float
    max_readings: int
    wire_format: WireFormat
    max_bytes: int
    max_age_s: float


class Agent:
    """Owns what waits in memory, and moves it on.

    Args:
        buffer: Where messages wait on disk.
        link: How to reach the broker.
        agent_id: The agent's own id.
        sources: Where readings come from.
        rules: What is done with them on the device.
        max_readings: Most readings in one message.
        units: Unit by serial number and metric, over those of the sources.
        monotonic: Seconds of a clock that never jumps.
        wall: The device's clock, Unix time.
        about: What the agent says of itself in its state, e.g. its capabilities.
        wire_format: How telemetry is written.

    Attributes:
        agent_id: The agent's own id.
        about: As given; whoever changes it renews the agent's own state.
        commit_every_s: How long readings wait for others; whoever drives the agent commits so often.
        watcher: Hears what became of polls and messages, if anyone.
        own_metrics: Whether the buffer's depth and losses are readings, too; the agent's id must be an asset then.
    """

    def __init__(
        self,
        buffer: Buffer,
        link: Link,
        agent_id: str,
        *,
        sources: Sequence[Source],
        rules: RuleBook,
        max_readings: int,
        units: Mapping[str, Mapping[str, str]],
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        about: Mapping[str, Any] | None = None,
        wire_format: WireFormat = "json",
    ) -> None:
        self.agent_id = agent_id
        self.buffer = buffer
        self.sources = sources
        self.commit_every_s = 1.0
        self.watcher: Watcher | None = None
        self.own_metrics = False
        self.tally = Tally()
        self.woken = threading.Event()
        self._hurried = False
        self._rules = rules
        self._memory = RuleMemory(buffer.recall)
        self._units = units
        self._packer = Packer(max_readings, self._units_of, wire_format)
        self._waiting = Tally()
        self._polled: list[Source] = []
        # What the full disk did not take.
        self._unstored: _Batch | None = None
        self._known: set[str] = set()
        self._monotonic = monotonic
        self._wall = wall
        self._clock_offset_s = wall() - monotonic()
        self.about: dict[str, Any] = dict(about or {})
        self._kept_up_at_s = monotonic()
        self.publisher = Publisher(
            link, agent_id, state=self._own_state, wake=self.woken.set, monotonic=monotonic, wall=wall
        )

    def start(self, since: datetime | None) -> None:
        """Open the sources where they were, and begin to connect; `since` as in `Source.open`."""
        for source in self.sources:
            source.open(self.buffer.recall(_checkpoint_name(source)), since)
            for serial in source.serials():
                self._meet(serial)
        for serial in self._units:
            self._meet(serial)
        self.publisher.start()

    def retune(self, tuning: Tuning) -> None:
        """Go on otherwise, without a restart; what waits in memory is stored first, as it was taken."""
        self.commit()
        self._rules = tuning.rules
        # A new one: it also asks anew for the units of what the rules make.
        self._packer = Packer(tuning.max_readings, self._units_of, tuning.wire_format)
        self.commit_every_s = tuning.commit_every_s
        self.buffer.set_bounds(tuning.max_bytes, tuning.max_age_s, tuning.max_readings)
        for source in self.sources:
            interval_s = tuning.intervals.get(source.name, source.interval_s)
            if source.has_interval and interval_s != source.interval_s:
                source.set_interval(interval_s)
        self.woken.set()

    @property
    def is_held_back(self) -> bool:
        """Whether nothing is read because the disk is full."""
        return self._unstored is not None

    def poll(self, source: Source, now: datetime) -> Polled:
        """Take what a source has; it is durable after the next `commit`."""
        if self._unstored:
            # Better unread than lost: a file, a broker, a bus will wait.
            return Polled(0, "the disk is full")
        try:
            harvest = source.poll(now)
        except SourceError as error:
            self.tally.failed_polls += 1
            log.warning("source %s: %s", source.name, error)
            # A window may have ended all the same.
            self._accept(Harvest(), now)
            polled = Polled(0, str(error) or type(error).__name__)
        else:
            self._accept(harvest, now)
            self._polled.append(source)
            polled = Polled(sum(len(row.values) for row in harvest.rows))
        if self.watcher:
            self.watcher.polled(source.name, polled)
        return polled

    def commit(self) -> None:
        """Form messages of what waits in memory, and store them with the places of the sources, in one transaction."""
        self._watch_clock()
        batch = self._unstored or self._batch()
        try:
            self.buffer.add(batch.messages, batch.memory, now_s=self._wall(), sealed=self.publisher.connected)
        except BufferFullError as error:
            if not self._unstored:
                log.error("%s: nothing is read until there is", error)  # noqa: TRY400 - no defect of ours
            self._unstored = batch
            return
        self._unstored = None
        self.tally.accepted_readings += batch.waiting.accepted_readings
        self.tally.accepted_events += batch.waiting.accepted_events
        self._memory.stored()
        for source in batch.polled:
            source.confirm()

    def _batch(self) -> "_Batch":
        """What waits in memory."""
        polled = list(dict.fromkeys(self._polled))
        self._polled.clear()
        memory = {_checkpoint_name(source): text for source in polled if (text := source.checkpoint()) is not None}
        memory |= self._memory.to_store()
        waiting, self._waiting = self._waiting, Tally()
        return _Batch(self._packer.finish(), memory, polled, waiting)

    def pump(self) -> None:
        """Bring the buffer up to date with what the broker said, and send as much more as may be in flight."""
        buffer, publisher = self.buffer, self.publisher
        self._take_note(publisher.collect())
        publisher.send_states()
        if (room := publisher.room()).messages:
            for stored in buffer.take_live(room):
                publisher.send(stored)
        now_s = self._monotonic()
        if not buffer.lanes.live_is_behind:
            self._kept_up_at_s = now_s
        elif now_s - self._kept_up_at_s > LIVE_WITHIN_S:
            buffer.lanes.part()
        if buffer.lanes.has_backlog and (room := publisher.room(backlog=True)).messages:
            for stored in buffer.take_backlog(room, publisher.window_bytes):
                publisher.send(stored)

    def tend(self) -> None:
        """What is to be done now and then: drop what is too old, say again how the agent is."""
        now_s = self._wall()
        self.buffer.expire(now_s)
        self.publisher.renew_own_state()
        if self.own_metrics:
            taken, _ = self._packer.add_rows([Row(self.agent_id, now_s, self._own_metrics())])
            self._waiting.accepted_readings += taken

    def hurry(self) -> None:
        """Wait for the broker no longer than `stop` does; called by a signal's handler."""
        self._hurried = True
        self.woken.set()

    def drain(self, timeout_s: float) -> None:
        """Publish until the buffer is empty, or the time is up."""
        until = self._monotonic() + timeout_s
        while self.buffer.depth.messages and not self._hurried:
            self.woken.clear()
            self.pump()
            if not self.buffer.depth.messages:
                return
            remaining_s = until - self._monotonic()
            if remaining_s <= 0:
                return
            # At least now and then, for a pause after a refusal ends without anyone waking us.
            self.woken.wait(max(0.0, min(remaining_s, 0.25, self.publisher.due_at_s - self._monotonic())))

    def stop(self, timeout_s: float) -> None:
        """Store what waits, publish what can be, say offline, close everything."""
        try:
            self._hurried = False
            self.commit()
            if self.publisher.connected:
                self.drain(timeout_s)
            until = self._monotonic() + timeout_s

            def wait() -> bool:
                self.woken.clear()
                self.woken.wait(0.05)
                return self._monotonic() < until

            self._take_note(self.publisher.stop(wait))
        finally:
            if self._unstored:
                lost = self._unstored.waiting
                log.error("the disk is full: %d readings are lost", lost.accepted_readings)
            for source in self.sources:
                source.close()
            if self.buffer.depth.messages:
                log.warning("%d messages stay in %s for the next start", self.buffer.depth.messages, self.buffer.file)
            self.buffer.close()

    def _take_note(self, outcomes: Outcomes) -> None:
        """Bring the buffer up to date with what the broker and the store said."""
        self.buffer.settle(outcomes.delivered)
        self.buffer.release(outcomes.returned)
        self.buffer.give_up(outcomes.refused)
        self.buffer.halve(outcomes.too_large)
        self.tally.published_messages += len(outcomes.delivered)
        if self.watcher:
            self.watcher.noted(outcomes)
        if outcomes.opened:
            self.tally.connections += 1
            # What gathered while there was no connection must not keep waiting what is measured from now on.
            self.buffer.lanes.part()

    def _watch_clock(self) -> None:
        """What was stored before the device's clock was set is as old as it was."""
        offset_s = self._wall() - self._monotonic()
        jump_s = offset_s - self._clock_offset_s
        if abs(jump_s) > CLOCK_JUMP_S:
            log.warning("the clock of this device was set by %.1f s", jump_s)
            self.buffer.shift_clock(jump_s)
            self.publisher.skew.clock_was_set()
            self._clock_offset_s = offset_s

    def _accept(self, harvest: Harvest, now: datetime) -> None:
        judged = judge(self._rules, self._memory, harvest.rows, now.timestamp())
        events = [*harvest.events, *judged.events]
        self.tally.thinned_readings += judged.thinned
        self.tally.windowed_readings += judged.windowed
        taken, refused = self._packer.add_rows(judged.rows)
        self.tally.refused_readings += refused + harvest.refused
        self._waiting.accepted_readings += taken
        for serial, event in events:
            try:
                self._packer.add_event(serial, event)
            except ValueError as error:
                self.tally.refused_events += 1
                log.warning("%s: event %r refused: %s", serial, event.code, error)
                continue
            self._meet(serial)
            self._waiting.accepted_events += 1

    def _units_of(self, serial: str) -> Mapping[str, str]:
        """Asked once for each asset that sends readings."""
        self._meet(serial)
        units: dict[str, str] = {}
        for source in self.sources:
            units |= source.units_of(serial)
        units |= self._units.get(serial, {})
        return derived_units(self._rules, serial, units) | units

    def _meet(self, serial: str) -> None:
        if serial not in self._known:
            self._known.add(serial)
            self.publisher.announce(serial)

    def _own_metrics(self) -> dict[str, float]:
        """How the buffer is, as readings of the asset that the agent itself is."""
        depth, lost, skew_s = self.buffer.depth, self.buffer.lost, self.publisher.skew.seconds
        metrics = {
            "careloop.buffer_messages": float(depth.messages),
            "careloop.buffer_bytes": float(depth.size_bytes),
            "careloop.lost_readings": float(lost.readings),
        }
        return metrics if skew_s is None else metrics | {"careloop.clock_skew_s": round(skew_s, 3)}

    def _own_state(self, online: bool) -> AgentState:
        depth, lost, skew_s = self.buffer.depth, self.buffer.lost, self.publisher.skew.seconds
        detail = {
            **self.about,
            "assets": len(self._known),
            "buffered_messages": depth.messages,
            "buffered_bytes": depth.size_bytes,
            "lost_messages": lost.messages,
            "lost_readings": lost.readings,
            "refused_readings": self.tally.refused_readings,
            "damaged_buffers": self.buffer.damaged_files,
            "clock_skew_s": None if skew_s is None else round(skew_s, 3),
        }
        return AgentState(online, __version__, detail)


def _checkpoint_name(source: Source) -> str:
    return f"source.{source.name}"
