"""Whether the loops of a process go round.

A process whose loop hangs looks alive from outside: it has a pid, and its ports answer. So each loop says now and then
that it got round, and one that has been silent for longer than it may be is stalled.
"""

from collections.abc import Callable


class Heartbeat:
    """One loop's sign of life; any thread may beat it."""

    def __init__(self, clock: Callable[[], float], deadline_s: float) -> None:
        self.deadline_s = deadline_s
        self._clock = clock
        # One float, written in one step: no lock is needed.
        self._at: float | None = clock()

    def beat(self) -> None:
        """The loop got round."""
        self._at = self._clock()

    def rest(self) -> None:
        """Nothing is expected until the next beat."""
        self._at = None

    @property
    def silent_s(self) -> float:
        """Seconds since the last beat; 0 while resting."""
        at = self._at
        return 0.0 if at is None else self._clock() - at


class Watchdog:
    """All loops of a process.

    Args:
        clock: Seconds of a clock that never jumps.

    >>> now = 0.0
    >>> watchdog = Watchdog(lambda: now)
    >>> writer = watchdog.loop("writer", deadline_s=30)
    >>> now = 31.0
    >>> watchdog.stalled()
    {'writer': 'silent for 31 s, at most 30 s are normal'}
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._loops: dict[str, Heartbeat] = {}
        self._needed: dict[str, Callable[[], bool]] = {}

    def loop(self, name: str, deadline_s: float) -> Heartbeat:
        """Watch a loop from now on."""
        heartbeat = self._loops[name] = Heartbeat(self._clock, deadline_s)
        return heartbeat

    def need(self, name: str, lives: Callable[[], bool]) -> None:
        """Watch something that cannot beat, such as a library's thread."""
        self._needed[name] = lives

    def stalled(self) -> dict[str, str]:
        """What is wrong, by loop; empty when all is well."""
        found: dict[str, str] = {}
        for name, heartbeat in list(self._loops.items()):
            silent_s = heartbeat.silent_s
            if silent_s > heartbeat.deadline_s:
                found[name] = f"silent for {silent_s:.0f} s, at most {heartbeat.deadline_s:g} s are normal"
        return found | {name: "has ended" for name, lives in list(self._needed.items()) if not lives()}

    @property
    def names(self) -> list[str]:
        """All that is watched."""
        return [*self._loops, *self._needed]
