"""What an agent counts, and what a poll brought."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass
class Tally:
    """What was counted since the start of the process, or since a step began.

    Attributes:
        accepted_readings: Stored in the buffer.
        accepted_events: Stored in the buffer, alarms of the rules among them.
        thinned_readings: Left out by rules for adding little.
        windowed_readings: Gone into windows, of which min, max and mean are sent instead.
        refused_readings: No finite number, or no usable time.
        refused_events: Its serial number or detail cannot go on the wire.
        published_messages: Confirmed by the store, or by the broker where that is enough.
        failed_polls: Times that a source could not be read.
        connections: Connections made to the broker.
    """

    accepted_readings: int = 0
    accepted_events: int = 0
    thinned_readings: int = 0
    windowed_readings: int = 0
    refused_readings: int = 0
    refused_events: int = 0
    published_messages: int = 0
    failed_polls: int = 0
    connections: int = 0

    def since(self, before: "Tally") -> "Tally":
        """What was counted after `before`."""
        return Tally(**{name: value - getattr(before, name) for name, value in vars(self).items()})


class Polled(NamedTuple):
    """What a poll brought.

    Attributes:
        readings: How many, before the rules.
        error: Why none; empty when it went well.
    """

    readings: int
    error: str = ""
