"""What the agent shows of itself: Prometheus metrics, `/live` and `/ready`; off unless a port is set.

The agent's thread writes plain numbers and the server's threads read them, so nothing waits for anything. The text is
Prometheus's own exposition format 0.0.4, written here, since a device has no room for a library for it.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from careloop import __version__
from careloop.errors import CareloopError
from careloop.observability.probes import Probes
from careloop.observability.watchdog import Watchdog
from edge_agent.agent import Agent
from edge_agent.sources.source import Source

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LOOK_EVERY_S = 5.0
# The loop gets round once a minute, if nothing else wakes it.
LEAST_DEADLINE_S = 65.0

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


class Family(NamedTuple):
    """One metric.

    Attributes:
        name: As Prometheus shall know it.
        kind: `counter` or `gauge`.
        text: What it is, in one line.
        samples: Its values by labels, as of now.
    """

    name: str
    kind: str
    text: str
    samples: Callable[[], Iterable[Sample]]


@dataclass
class Polls:
    """What became of one source's polls, as the agent's thread saw them."""

    done: int = 0
    failed: int = 0
    readings: int = 0
    seconds: float = 0.0
    error: str = ""


class Observation:
    """Watches one agent.

    Args:
        agent: The agent.
        clock: Seconds of a clock that never jumps.
        wall: The device's clock, Unix time.
        stalled_after_s: How long its loop may be silent.
    """

    def __init__(
        self, agent: Agent, *, clock: Callable[[], float], wall: Callable[[], float], stalled_after_s: float
    ) -> None:
        self._agent = agent
        self._clock = clock
        self._wall = wall
        self._polls: dict[str, Polls] = {source.name: Polls() for source in agent.sources}
        self._oldest_s: float | None = None
        self._looked_at_s = float("-inf")
        deadline_s = stalled_after_s if agent.commit_every_s < stalled_after_s else LEAST_DEADLINE_S + stalled_after_s
        self._watchdog = Watchdog(clock)
        self._loop = self._watchdog.loop("agent", deadline_s)
        checks = {"broker": self._check_broker, "disk": self._check_disk, "sources": self._check_sources}
        self.probes = Probes("edge", self._watchdog, checks, clock)
        self.families = self._families()

    # In the agent's thread ---------------------------------------------------------------------

    def poll(self, source: Source, now: datetime) -> None:
        """Let the agent poll a source, and note what became of it."""
        began_s = self._clock()
        polled = self._agent.poll(source, now)
        polls = self._polls.setdefault(source.name, Polls())
        polls.seconds += self._clock() - began_s
        polls.readings += polled.readings
        polls.error = polled.error
        if polled.error:
            polls.failed += 1
        else:
            polls.done += 1

    def look(self) -> None:
        """The loop got round; now and then look how old the buffer is."""
        self._loop.beat()
        now_s = self._clock()
        if now_s - self._looked_at_s >= LOOK_EVERY_S:
            self._looked_at_s = now_s
            self._oldest_s = self._agent.buffer.oldest_s()

    # In the server's threads -------------------------------------------------------------------

    def render(self, _accept: str = "") -> tuple[str, bytes]:
        """Content type and text of the metrics."""
        lines: list[str] = []
        for name, kind, text, samples in self.families:
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{_labels(labels)} {value!r}" for labels, value in samples()]
        return CONTENT_TYPE, ("\n".join(lines) + "\n").encode()

    def _check_broker(self) -> str:
        if not self._agent.publisher.connected:
            raise CareloopError("not connected to the broker; what is read waits in the buffer")
        return f"connected, {self._agent.publisher.awaiting_messages} messages sent and not confirmed"

    def _check_disk(self) -> str:
        depth = self._agent.buffer.depth
        if self._agent.is_held_back:
            raise CareloopError(f"no room on the disk of {self._agent.buffer.file}; nothing is read until there is")
        return f"{depth.messages} messages, {depth.size_bytes} bytes in the buffer"

    def _check_sources(self) -> str:
        failing = {name: polls.error for name, polls in self._polls.items() if polls.error}
        told = "; ".join(f"{name}: {error}" for name, error in failing.items())
        if failing and len(failing) == len(self._polls):
            raise CareloopError(f"no source can be read; {told}")
        return told or f"{len(self._polls)} read"

    def _families(self) -> list[Family]:
        agent, buffer, publisher, tally = self._agent, self._agent.buffer, self._agent.publisher, self._agent.tally

        def one(read: Callable[[], float | None]) -> Callable[[], Iterable[Sample]]:
            return lambda: [({}, float(value))] if (value := read()) is not None else []

        def counter(name: str, text: str, read: Callable[[], float]) -> Family:
            return Family(f"careloop_edge_{name}_total", "counter", text, one(read))

        def gauge(name: str, text: str, read: Callable[[], float | None]) -> Family:
            return Family(f"careloop_edge_{name}", "gauge", text, one(read))

        return [
            Family(
                "careloop_build_info",
                "gauge",
                "Always 1; says which version runs",
                lambda: [({"process": "edge", "version": __version__, "agent": agent.agent_id}, 1.0)],
            ),
            gauge("buffer_messages", "Messages that wait to be confirmed", lambda: buffer.depth.messages),
            gauge("buffer_readings", "Readings that wait to be confirmed", lambda: buffer.depth.readings),
            gauge(
                "buffer_bytes", "Bytes that wait to be confirmed, with row overhead", lambda: buffer.depth.size_bytes
            ),
            gauge(
                "buffer_oldest_age_seconds",
                "How long the oldest message has waited; absent when none does",
                self._age_s,
            ),
            counter(
                "lost_messages", "Messages dropped or refused since the buffer was made", lambda: buffer.lost.messages
            ),
            counter(
                "lost_readings", "Readings dropped or refused since the buffer was made", lambda: buffer.lost.readings
            ),
            counter("damaged_buffers", "Damaged buffer files that were set aside", lambda: buffer.damaged_files),
            gauge("disk_full", "1 while the disk takes nothing and nothing is read", lambda: agent.is_held_back),
            counter("accepted_readings", "Readings stored in the buffer", lambda: tally.accepted_readings),
            counter("accepted_events", "Events stored in the buffer", lambda: tally.accepted_events),
            counter("thinned_readings", "Readings that rules left out", lambda: tally.thinned_readings),
            counter("windowed_readings", "Readings that went into windows instead", lambda: tally.windowed_readings),
            counter(
                "refused_readings", "Readings that are no finite number or have no time", lambda: tally.refused_readings
            ),
            counter("refused_events", "Events that cannot go on the wire", lambda: tally.refused_events),
            counter("published_messages", "Messages confirmed as stored", lambda: tally.published_messages),
            gauge("unconfirmed_messages", "Messages sent and not confirmed yet", lambda: publisher.awaiting_messages),
            gauge("broker_connected", "1 while connected to the broker", lambda: publisher.connected),
            counter("broker_connections", "Connections made to the broker", lambda: tally.connections),
            gauge(
                "clock_skew_seconds",
                "How far this device's clock is ahead of the store's; absent while unknown",
                lambda: publisher.skew.seconds,
            ),
            *self._source_families(),
            Family("process_cpu_seconds_total", "counter", "Processor time used", one(lambda: sum(os.times()[:2]))),
            Family("process_resident_memory_bytes", "gauge", "Memory in use", one(_resident_bytes)),
        ]

    def _source_families(self) -> list[Family]:
        def each(read: Callable[[Polls], float]) -> Callable[[], Iterable[Sample]]:
            return lambda: [({"source": name}, read(polls)) for name, polls in list(self._polls.items())]

        def by_result() -> Iterable[Sample]:
            for name, polls in list(self._polls.items()):
                yield {"source": name, "result": "done"}, polls.done
                yield {"source": name, "result": "failed"}, polls.failed

        start = "careloop_edge_source_"
        return [
            Family(f"{start}polls_total", "counter", "Polls, by source and result", by_result),
            Family(
                f"{start}poll_seconds_total",
                "counter",
                "Time that the agent's loop spent on a source, by source; what may block works in a thread of its own",
                each(lambda polls: polls.seconds),
            ),
            Family(
                f"{start}readings_total",
                "counter",
                "Readings that a source brought, before the rules, by source",
                each(lambda polls: polls.readings),
            ),
        ]

    def _age_s(self) -> float | None:
        return None if self._oldest_s is None else max(0.0, self._wall() - self._oldest_s)


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    r"""A label's value as the format wants it.

    >>> print(_escaped('a "b"\\'))
    a \"b\"\\
    """
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _resident_bytes() -> float | None:
    """Of this process; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
