"""Messages between the broker's thread and the writer: bounded, and never a place where the broker's thread waits."""

from collections import deque
from collections.abc import Sequence
from threading import Condition

from ingest.decode import Delivery


class Inbox:
    """A queue that refuses what does not fit.

    At QoS 1 it cannot overflow: the broker sends no more than the receive maximum without acknowledgement, and
    acknowledgement waits for the commit. That is the back-pressure. QoS 0 promises nothing and is refused when full.

    Args:
        capacity: Most messages held.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._deliveries: deque[Delivery] = deque()
        self._arrived = Condition()
        self.refused = 0
        self.taken_bytes = 0

    @property
    def messages(self) -> int:
        """Messages in it."""
        return len(self._deliveries)

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Add messages; those of QoS 0 for which there is no room are counted as refused instead."""
        with self._arrived:
            if len(self._deliveries) + len(deliveries) <= self._capacity:
                self._deliveries.extend(deliveries)
            else:
                for delivery in deliveries:
                    if delivery.qos or len(self._deliveries) < self._capacity:
                        self._deliveries.append(delivery)
                    else:
                        self.refused += 1
            self._arrived.notify()

    def forget_connections_before(self, connection: int) -> None:
        """Drop what came over earlier connections and can be had again: the broker sends it anew.

        Only when there is more than fits, since a broker that lost its memory does not send it anew.
        """
        with self._arrived:
            if len(self._deliveries) >= self._capacity:
                self._deliveries = deque(
                    delivery for delivery in self._deliveries if delivery.connection >= connection or delivery.qos == 0
                )

    def take(self, *, most_messages: int, most_bytes: int, wait_s: float) -> list[Delivery]:
        """What is there, oldest first, up to the bounds but at least one; waits when nothing is."""
        taken: list[Delivery] = []
        with self._arrived:
            if not self._deliveries:
                self._arrived.wait(wait_s)
            size = 0
            while self._deliveries and len(taken) < most_messages:
                size += len(self._deliveries[0].payload)
                if taken and size > most_bytes:
                    break
                taken.append(self._deliveries.popleft())
            self.taken_bytes += size
        return taken
