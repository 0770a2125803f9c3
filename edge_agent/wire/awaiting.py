"""What was handed to the network and is not yet known to be stored.

A broker's acknowledgement does not mean stored (docs/decisions/0011-confirmed-by-the-store.md). After its commit ingest
publishes the identities of what it has; whatever is not among them for a while after the broker took it is sent again,
to the byte the same. While nothing at all is confirmed, as when ingest or its database is away, only a few messages are
sent again, to find out when that is over.
"""

from collections.abc import Callable
from dataclasses import dataclass

from careloop.contract.identity import IDENTITY_BYTES

JITTER = 0.5
PROBES = 4
# What the store owes has so many times its usual time; after a break at least this.
PATIENCE = 4
LEAST_PATIENCE_S = 1.0


@dataclass(slots=True)
class _Sent:
    """One message on its way.

    Attributes:
        identity: What the store will call it.
        size_bytes: Its size.
        due_at_s: When to send it again, monotonic; infinite until the broker has taken it.
    """

    identity: bytes
    size_bytes: int
    due_at_s: float = float("inf")


class Awaiting:
    """Messages by their place in the buffer, and places by identity.

    Args:
        first_pause_s: So long after the broker took it a message is sent again; doubled each time.
        longest_pause_s: Bound of that.
        dice: A random number from 0 to 1.
    """

    def __init__(self, first_pause_s: float, longest_pause_s: float, dice: Callable[[], float]) -> None:
        self._first_pause_s = first_pause_s
        self._longest_pause_s = longest_pause_s
        self._dice = dice
        self._sent: dict[int, _Sent] = {}
        # Two equal messages have one identity, and one confirmation is good for both.
        self._places: dict[bytes, list[int]] = {}
        self._tries: dict[int, int] = {}
        # When the broker took each for the first time.
        self._first_taken_at_s: dict[int, float] = {}
        # No message is due before; so nothing is looked through each time that somebody asks.
        self._next_due_s = float("inf")
        self._silent_tries = 0
        self._probe_at_s = 0.0
        self._answered = True
        # How long the store usually takes, averaged as TCP averages its round trips.
        self._usual_s = 0.0
        self.size_bytes = 0

    @property
    def messages(self) -> int:
        """How many."""
        return len(self._sent)

    @property
    def is_silent(self) -> bool:
        """Whether it is time to say that nothing is confirmed: after the 2nd, 4th, 8th … vain try in a row."""
        return self._silent_tries >= 2 and self._silent_tries & (self._silent_tries - 1) == 0

    def sent(self, seq: int, identity: bytes, size_bytes: int) -> None:
        """A message was handed to the network."""
        self._sent[seq] = _Sent(identity, size_bytes)
        self._places.setdefault(identity, []).append(seq)
        self.size_bytes += size_bytes

    def taken_by_broker(self, seq: int, now_s: float) -> None:
        """The broker acknowledged it; from now on the store has its time."""
        if message := self._sent.get(seq):
            self._first_taken_at_s.setdefault(seq, now_s)
            message.due_at_s = now_s + self._pause_s(self._tries.get(seq, 0))
            self._next_due_s = min(self._next_due_s, message.due_at_s)

    def connected_again(self, now_s: float) -> None:
        """A confirmation that came while there was no connection is lost: what is owed now has only its usual time."""
        soon_s = now_s + max(min(LEAST_PATIENCE_S, self._first_pause_s), PATIENCE * self._usual_s)
        for message in self._sent.values():
            message.due_at_s = min(message.due_at_s, soon_s)
        self._next_due_s = min(self._next_due_s, soon_s)
        self._probe_at_s = 0.0

    def confirmed(self, identities: bytes, now_s: float) -> list[int]:
        """The store named what it has; the places of those that are ours."""
        places: list[int] = []
        for start in range(0, len(identities) - IDENTITY_BYTES + 1, IDENTITY_BYTES):
            places += self._places.get(identities[start : start + IDENTITY_BYTES], ())
        if places:
            self._answered = True
            self._silent_tries = 0
        for seq in places:
            took_s = min(now_s - self._first_taken_at_s.pop(seq, now_s), self._longest_pause_s)
            self._usual_s += (took_s - self._usual_s) / 8
            self.forget(seq)
            self._tries.pop(seq, None)
        return places

    def forget(self, seq: int) -> None:
        """It is not on its way any more, e.g. since the connection broke before the broker took it."""
        message = self._sent.pop(seq, None)
        if message is None:
            return
        self.size_bytes -= message.size_bytes
        places = self._places[message.identity]
        places.remove(seq)
        if not places:
            del self._places[message.identity]

    def overdue(self, now_s: float) -> list[int]:
        """Those to send again now, oldest first; they are on their way no more."""
        if now_s < self._next_due_s or (not self._answered and now_s < self._probe_at_s):
            return []
        due = [seq for seq, message in self._sent.items() if message.due_at_s <= now_s]
        self._next_due_s = min((m.due_at_s for m in self._sent.values() if m.due_at_s > now_s), default=float("inf"))
        if not due:
            return []
        if not self._answered and len(due) > PROBES:
            due, self._next_due_s = due[:PROBES], now_s
        # Until something is confirmed, what comes next is a probe, and later each time.
        self._answered = False
        self._probe_at_s = now_s + self._pause_s(self._silent_tries)
        self._silent_tries += 1
        for seq in due:
            self.forget(seq)
            self._tries[seq] = self._tries.get(seq, 0) + 1
        return due

    def drop_all(self) -> list[int]:
        """The broker forgot what it was given: the places of all that it may have forgotten."""
        places = list(self._sent)
        for seq in places:
            self.forget(seq)
        self._first_taken_at_s.clear()
        self._probe_at_s = 0.0
        return places

    def _pause_s(self, tries: int) -> float:
        # A store that is behind by minutes must not get everything several times on top.
        first_s = max(self._first_pause_s, PATIENCE * self._usual_s)
        longest_s = min(self._longest_pause_s, first_s * 2.0 ** min(tries, 30))
        return longest_s * (1 + JITTER * self._dice())
