"""What was handed to the network and the broker has not acknowledged, on the connection that there is."""

from typing import NamedTuple

from edge_agent.wire.window import Window


class Sent(NamedTuple):
    """A message that the broker has not acknowledged.

    Attributes:
        seq: Its place in the buffer; None for a state.
        serial: Whose state it is.
        size_bytes: Its size.
        sent_at_s: When it was sent, monotonic.
        confirmed_by_store: Whether the store is to confirm it.
    """

    seq: int | None
    serial: str
    size_bytes: int
    sent_at_s: float
    confirmed_by_store: bool


class Underway:
    """Messages by packet id, under a window of bytes.

    Attributes:
        slots: Most messages at a time.
        window: Most bytes at a time.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.window = Window()
        self._sent: dict[int, Sent] = {}
        self._size_bytes = 0
        self.states = 0

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def places(self) -> set[int]:
        """Places in the buffer."""
        return {message.seq for message in self._sent.values() if message.seq is not None}

    def free(self, share: int) -> tuple[int, int]:
        """Messages and bytes that may be sent now, when one part of so many is left to others; 0 leaves nothing."""
        return (
            leave(self.slots, share) - len(self._sent),
            leave(self.window.size_bytes, share) - self._size_bytes,
        )

    def sent(self, packet_id: int, message: Sent) -> None:
        """A message was handed over."""
        self._sent[packet_id] = message
        self._size_bytes += message.size_bytes
        self.states += message.seq is None

    def acknowledged(self, packet_id: int, now_s: float) -> Sent | None:
        """The broker answered; which message it was."""
        message = self._sent.pop(packet_id, None)
        if message is not None:
            self._size_bytes -= message.size_bytes
            self.states -= message.seq is None
            self.window.acknowledged(message.size_bytes, message.sent_at_s, now_s)
        return message

    def broke(self) -> list[Sent]:
        """The connection is gone; what it may have lost."""
        lost = list(self._sent.values())
        self.window.broke(self._size_bytes)
        self._sent.clear()
        self._size_bytes = self.states = 0
        return lost


def leave(whole: int, share: int) -> int:
    """What remains when one part of `share` is left to others; all when it is 0.

    >>> leave(100, 4), leave(100, 0), leave(1, 4)
    (75, 100, 1)
    """
    return whole - whole // share if share else whole
