"""Ties remote configuration and commands to a running agent."""

from collections.abc import Callable
from datetime import datetime

from edge_agent.agent import Agent
from edge_agent.config import EdgeConfig
from edge_agent.remote.configuration import Configuration
from edge_agent.remote.execution import Execution
from edge_agent.remote.overlay import LogLevel
from edge_agent.remote.recent_log import RecentLog
from edge_agent.tally import Polled
from edge_agent.wire.outcomes import Outcomes


class Remote:
    """What the platform may change and tell, unless the agent's own file says that it may not.

    Make it before the agent starts.

    Args:
        agent: The agent.
        base: Its own file.
        log_level: What is in force where remote settings say nothing.
        recent_log: The end of its log.
        now: The clock.
    """

    def __init__(
        self,
        agent: Agent,
        base: EdgeConfig,
        *,
        log_level: LogLevel,
        recent_log: RecentLog,
        now: Callable[[], datetime],
    ) -> None:
        self._configuration = Configuration(agent, base, log_level)
        self._execution = Execution(agent, self._configuration, recent_log, now)
        self._enabled = base.remote.enabled
        if self._enabled:
            agent.watcher = self
            agent.publisher.subscribe("config", self._configuration.take)
            agent.publisher.subscribe("command", self._execution.take)

    @property
    def due_in_s(self) -> float:
        """How soon `tick` wants to be called without being woken."""
        return min(self._configuration.due_in_s, self._execution.due_in_s) if self._enabled else float("inf")

    def start(self, now: datetime) -> None:
        """Apply what was in force, and answer what a kill cut short; call it before the agent starts."""
        if self._enabled:
            self._configuration.start(now)
            self._execution.start(now)

    def tick(self, now: datetime, monotonic_s: float) -> None:
        """Do what is due; call it after every `pump`."""
        if self._enabled:
            self._configuration.tick(now, monotonic_s)
            self._execution.tick(now, monotonic_s)

    def stop(self) -> None:
        """The process was told to end; call it before the agent stops."""
        if self._enabled:
            self._configuration.stop()

    def noted(self, outcomes: Outcomes) -> None:
        """The agent heard of messages."""
        self._configuration.note(outcomes)

    def polled(self, source: str, polled: Polled) -> None:
        """The agent polled a source."""
        self._configuration.note_poll(source, polled)
        self._execution.note_poll(source, polled)
