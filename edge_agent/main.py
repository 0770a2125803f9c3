"""Wires and runs `careloop edge`; the only place of the agent that reads a clock."""

import json
import logging
import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from careloop.errors import CareloopError
from careloop.logs import configure_logging
from careloop.stepping import Answer, serve_steps
from edge_agent.agent import Agent
from edge_agent.birth import birth
from edge_agent.buffer import Buffer
from edge_agent.config import EdgeConfig, load_config
from edge_agent.identity.directory import IdentityDirectory
from edge_agent.joining import Joined, start_renewal
from edge_agent.observation import Observation
from edge_agent.pace import Pace
from edge_agent.remote.recent_log import RecentLog, keep_log
from edge_agent.remote.remote import Remote
from edge_agent.rules import rule_book
from edge_agent.settings import EdgeSettings
from edge_agent.sources.feed import Feed, FeedConfig
from edge_agent.sources.kinds import build_source
from edge_agent.sources.simulator_config import SimulatorConfig
from edge_agent.sources.source import Clock, Source
from edge_agent.wire.link import Link

if TYPE_CHECKING:
    from edge_agent.sources.simulator import Simulator

CLOCK = Clock(now=lambda: datetime.now(UTC), monotonic=time.monotonic)

log = logging.getLogger(__name__)


def run(config_file: Path | None, *, step: bool) -> int:
    """Run until told to stop; with `step` until standard input ends."""
    settings = EdgeSettings()
    configure_logging(settings.log_level, settings.log_format, process="edge")
    file = config_file or settings.edge_config
    if file is None and not step:
        raise CareloopError(
            "no configuration; `careloop edge example > edge.toml` writes one to start from, "
            "then name it by --config or CARELOOP_EDGE_CONFIG"
        )
    config = load_config(file) if file else EdgeConfig(sources=[FeedConfig(kind="feed")])
    with _buffer_file(config, settings, step=step, has_config=file is not None) as buffer_file:
        sources = [build_source(source, CLOCK) for source in config.sources]
        if step and not any(isinstance(source, Feed) for source in sources):
            sources.append(Feed(FeedConfig(kind="feed")))
        if not step and any(isinstance(source, Feed) for source in sources):
            raise CareloopError("a feed source is for `careloop edge run --step` only; name another kind of source")
        # A buffer that ends with its process has no power loss to survive.
        synced = not (step and file is None) and config.buffer.survives == "power_loss"
        buffer = Buffer(
            buffer_file,
            config.buffer.max_bytes,
            max_age_s=config.buffer.max_age_days * 86400,
            max_readings=config.batching.max_readings,
            synced=synced,
        )
        place = settings.edge_identity or config.identity.directory
        identity = Joined.load(place) if place else None
        agent = _assemble(config, settings, buffer, sources, identity)
        return _run_steps(agent, settings) if step else _run_live(agent, config, settings, identity)


def claim(
    into: Path,
    *,
    api_url: str,
    claim_key: str | None,
    serial: str,
    certificate: bool,
    assets: Sequence[str] | None,
    ca_file: Path | None,
) -> int:
    """Turn a claim key into the identity of this device, and say who it is."""
    settings = EdgeSettings()
    configure_logging(settings.log_level)
    key = claim_key or settings.edge_claim_key
    if not key:
        raise CareloopError("no claim key; name it by CARELOOP_EDGE_CLAIM_KEY, or by --key")
    from edge_agent.identity.claim import claim as get_identity  # noqa: PLC0415 - memory that a running agent saves

    identity = get_identity(
        IdentityDirectory(into),
        api_url,
        claim_key=key,
        serial=serial,
        certificate=certificate,
        assets=assets,
        ca_file=ca_file,
    )
    ends = f", until {identity.expires_at:%Y-%m-%d} and renewed before" if identity.expires_at else ""
    print(f"{into}: {identity.agent_id}, by {identity.kind}{ends}; broker {identity.broker_url or 'not named'}")
    return 0


def check(file: Path, *, read_s: float | None) -> int:
    """Say that a configuration is right, and what it means; with `read_s` also what every source brings."""
    from edge_agent.checking import check as check_configuration  # noqa: PLC0415 - memory that a running agent saves

    configure_logging(EdgeSettings().log_level)
    return check_configuration(file, CLOCK, read_s=read_s)


def print_example() -> int:
    """Print a configuration to start from."""
    print(files("edge_agent").joinpath("example.toml").read_text(encoding="utf-8"), end="")
    return 0


def print_catalogue() -> int:
    """Print the simulator's kinds of machine as JSON, in the shape that product models are registered from."""
    from edge_agent.simulator.catalogue import KINDS  # noqa: PLC0415 - memory that a running agent saves

    print(json.dumps([kind.to_json() for kind in KINDS], indent=2))
    return 0


def print_fleet(config_file: Path | None) -> int:
    """Print the simulated assets of a configuration as JSON."""
    file = config_file or EdgeSettings().edge_config
    if file is None:
        raise CareloopError("no configuration; name it by --config or CARELOOP_EDGE_CONFIG")
    simulators = [source for source in load_config(file).sources if isinstance(source, SimulatorConfig)]
    if not simulators:
        raise CareloopError(f"{file} has no source of kind simulator; `careloop edge example` shows one")
    from edge_agent.sources.simulator import Simulator  # noqa: PLC0415 - memory that a running agent saves

    print(json.dumps([asset for source in simulators for asset in Simulator(source).fleet.to_json()], indent=2))
    return 0


@contextmanager
def _buffer_file(config: EdgeConfig, settings: EdgeSettings, *, step: bool, has_config: bool) -> Iterator[Path]:
    """Where the buffer is; a replay that names none gets one of its own, so that no earlier one's rest is sent."""
    named = settings.edge_buffer_file or config.buffer.file
    if named is not None:
        yield named
    elif step and not has_config:
        with tempfile.TemporaryDirectory(prefix="careloop-edge-") as directory:
            yield Path(directory) / "buffer.sqlite"
    else:
        raise CareloopError(
            "no file for the buffer; name one in the configuration ([buffer] file) or by CARELOOP_EDGE_BUFFER_FILE"
        )


def _assemble(
    config: EdgeConfig, settings: EdgeSettings, buffer: Buffer, sources: list[Source], identity: Joined | None
) -> Agent:
    """Put the agent together; what the environment sets wins over the file, and both over the identity's broker."""
    broker = config.broker
    said = settings.model_fields_set
    agent_id = settings.edge_id or config.agent.id
    ca_file = Path(settings.broker_ca_file) if settings.broker_ca_file else broker.ca_file
    link = Link(
        url=settings.broker_url if "broker_url" in said or broker.url is None else broker.url,
        ca_file=ca_file,
        cert_file=broker.cert_file,
        key_file=broker.key_file,
        keepalive_s=broker.keepalive_s,
        inflight=broker.inflight,
        reconnect_min_s=broker.reconnect_min_s,
        reconnect_max_s=broker.reconnect_max_s,
        wait_for_subscriber=broker.wait_for_subscriber,
        confirm=broker.confirm,
        unconfirmed=broker.unconfirmed,
        unconfirmed_bytes=broker.unconfirmed_bytes,
        confirm_within_s=broker.confirm_within_s,
    )
    if identity:
        agent_id = identity.agent_id_instead_of(agent_id if settings.edge_id or config.agent.model_fields_set else None)
        link = identity.join(link, names_broker="broker_url" in said or broker.url is not None)
    agent = Agent(
        buffer,
        link,
        agent_id,
        sources=sources,
        rules=rule_book(config.rules),
        max_readings=config.batching.max_readings,
        units={asset.serial: asset.units for asset in config.assets},
        monotonic=time.monotonic,
        wall=time.time,
        about=birth(config, CLOCK.now()),
        wire_format=config.batching.format,
    )
    agent.own_metrics = config.agent.own_metrics
    return agent


def _run_live(agent: Agent, config: EdgeConfig, settings: EdgeSettings, identity: Joined | None) -> int:
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        agent.woken.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for source in agent.sources:
        source.wake = agent.woken.set
    renewer = start_renewal(identity, CLOCK.now, agent.woken.set)
    agent.commit_every_s = config.batching.interval_s
    remote = _remote(agent, config, settings)
    observation = Observation(agent, clock=time.monotonic, wall=time.time, stalled_after_s=settings.stalled_after_s)
    agent.start(datetime.now(UTC))
    try:
        with _serving(observation, config, settings):
            pace = Pace(agent, time.monotonic(), observation.poll)
            while not stopping:
                agent.woken.clear()
                observation.look()
                now_s = time.monotonic()
                pace.work(datetime.now(UTC), now_s)
                if renewer.take_renewed():
                    agent.publisher.renew_certificate()
                agent.pump()
                remote.tick(datetime.now(UTC), now_s)
                next_at_s = min(pace.next_at_s(now_s), now_s + remote.due_in_s)
                if not stopping:
                    agent.woken.wait(max(0.0, next_at_s - time.monotonic()))
            remote.stop()
    finally:
        renewer.stop()
        agent.stop(settings.edge_stop_timeout_s)
    return 0


def _serving(observation: Observation, config: EdgeConfig, settings: EdgeSettings) -> AbstractContextManager[None]:
    """Metrics, `/live` and `/ready`, where a port is set."""
    said = settings.model_fields_set
    host = settings.metrics_host if "metrics_host" in said else config.metrics.host
    port = settings.metrics_port if "metrics_port" in said else config.metrics.port
    if port == 0:
        return nullcontext()
    from careloop.observability.server import serving  # noqa: PLC0415 - an HTTP server's memory, for who wants it only

    return serving(host, port, observation.probes, observation.render)


def _remote(agent: Agent, config: EdgeConfig, settings: EdgeSettings) -> Remote:
    recent_log = RecentLog()
    keep_log(recent_log)
    remote = Remote(agent, config, log_level=settings.log_level, recent_log=recent_log, now=lambda: datetime.now(UTC))
    remote.start(datetime.now(UTC))
    return remote


def _run_steps(agent: Agent, settings: EdgeSettings) -> int:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        agent.hurry()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    steps = _Steps(agent, settings.edge_publish_timeout_s)
    agent.start(None)
    try:
        serve_steps(
            _lines_until_signal(),
            sys.stdout,
            {"advance": steps.advance, "inspect": steps.inspect, "replace": steps.replace},
        )
    finally:
        agent.stop(settings.edge_stop_timeout_s)
    return 0


def _lines_until_signal() -> Iterator[str]:
    """The lines of standard input, until it ends or a signal comes.

    A signal that arrives just before a blocking read would be noticed only after it; a pipe that the signal itself
    writes to is not missed.
    """
    wakened, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    given = sys.stdin.fileno()
    parts: list[bytes] = []
    while True:
        ready, _, _ = select.select([given, wakened], [], [])
        if wakened in ready:
            return
        chunk = os.read(given, 1 << 20)
        if not chunk:
            return
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            yield b"".join([*parts, line]).decode()
            parts.clear()
        parts.append(rest)


class _Steps:
    """What each step request does."""

    def __init__(self, agent: Agent, publish_timeout_s: float) -> None:
        self._agent = agent
        self._publish_timeout_s = publish_timeout_s
        self._feed = next(source for source in agent.sources if isinstance(source, Feed))
        from edge_agent.sources.simulator import Simulator  # noqa: PLC0415 - memory that a running agent saves

        self._simulators = [source for source in agent.sources if isinstance(source, Simulator)]
        self._answered = replace(agent.tally)

    def advance(self, now: datetime, request: Mapping[str, Any]) -> Answer:
        """Accept what the request and the simulators bring up to `now`, publish it, wait for the broker."""
        agent = self._agent
        self._feed.offer(request.get("readings", ()), request.get("events", ()))
        self._poll(now)
        agent.drain(self._publish_timeout_s)
        done = agent.tally.since(self._answered)
        self._answered = replace(agent.tally)
        answer: dict[str, Any] = {
            "accepted_readings": done.accepted_readings,
            "accepted_events": done.accepted_events,
            "thinned_readings": done.thinned_readings,
            "refused_readings": done.refused_readings,
            "refused_events": done.refused_events,
            "published_messages": done.published_messages,
            "buffered": agent.buffer.depth.messages,
            "lost_readings": agent.buffer.lost.readings,
        }
        if self._simulators:
            answer["failures"] = [
                {"serial": failure.serial, "component": failure.component, "failed_at": failure.failed_at.isoformat()}
                for simulator in self._simulators
                for failure in simulator.take_failures()
            ]
        return answer

    def inspect(self, now: datetime, request: Mapping[str, Any]) -> Answer:
        """Open a machine up as of `now` and look."""
        wear, failed = self._simulator_of(now, request).fleet.inspect(request["serial"], request["component"])
        return {"wear": wear, "failed": failed}

    def replace(self, now: datetime, request: Mapping[str, Any]) -> Answer:
        """Fit a new component as of `now`; it is remembered on disk before this answers."""
        simulator = self._simulator_of(now, request)
        wear_before = simulator.fleet.replace(request["serial"], request["component"])
        self._agent.poll(simulator, now)
        self._agent.commit()
        return {"wear_before": wear_before}

    def _poll(self, now: datetime) -> None:
        for source in self._agent.sources:
            self._agent.poll(source, now)
        self._agent.commit()

    def _simulator_of(self, now: datetime, request: Mapping[str, Any]) -> "Simulator":
        for simulator in self._simulators:
            if request["serial"] in simulator.fleet:
                # The machine runs up to the moment of the visit; what it says on the way is not lost.
                self._poll(now)
                return simulator
        raise CareloopError(f"no simulated asset {request['serial']!r}; `careloop edge fleet` lists them")
