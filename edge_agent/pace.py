"""When what is due, in a live agent's loop; reads no clock."""

from collections.abc import Callable
from datetime import datetime

from edge_agent.agent import Agent
from edge_agent.sources.source import Source

STATE_EVERY_S = 60.0


class Pace:
    """Polls each source at its interval, commits, and says how the agent is, as the time comes.

    Args:
        agent: Its sources' intervals and `commit_every_s` may change at any time.
        now_s: Monotonic seconds at the start.
        poll: Lets the agent poll a source.
    """

    def __init__(self, agent: Agent, now_s: float, poll: Callable[[Source, datetime], object] | None = None) -> None:
        self._agent = agent
        self._poll = poll or agent.poll
        self._due_at_s = dict.fromkeys(agent.sources, now_s)
        self._commit_at_s = now_s + agent.commit_every_s
        self._state_at_s = now_s + STATE_EVERY_S

    def work(self, now: datetime, now_s: float) -> None:
        """Do what is due.

        Args:
            now: The device's time.
            now_s: Monotonic seconds.
        """
        for source, due_s in self._due_at_s.items():
            if due_s <= now_s or source.has_news:
                self._poll(source, now)
                # From now, not from when it was due: after a long halt nothing is polled many times over.
                self._due_at_s[source] = max(due_s + source.interval_s, now_s) if due_s <= now_s else due_s
        if self._commit_at_s <= now_s:
            self._agent.commit()
            self._commit_at_s = now_s + self._agent.commit_every_s
        if self._state_at_s <= now_s:
            self._agent.tend()
            self._state_at_s = now_s + STATE_EVERY_S

    def next_at_s(self, now_s: float) -> float:
        """When `work` has something to do again, if nobody wakes the agent before."""
        # An interval may have been shortened since its end was reckoned.
        for source, due_s in self._due_at_s.items():
            self._due_at_s[source] = min(due_s, now_s + source.interval_s)
        self._commit_at_s = min(self._commit_at_s, now_s + self._agent.commit_every_s)
        return min(self._commit_at_s, self._state_at_s, self._agent.publisher.due_at_s, *self._due_at_s.values())
