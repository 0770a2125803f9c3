"""What became of messages."""

from dataclasses import dataclass, field


@dataclass
class Outcomes:
    """What became of messages since the last `collect`, by their place in the buffer.

    Attributes:
        delivered: Confirmed.
        returned: To be sent again.
        refused: Never to be taken.
        too_large: Never to be taken in one piece.
        taken: Acknowledged by the broker, whoever confirms them in the end.
        opened: Whether a connection was opened.
    """

    delivered: list[int] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    too_large: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    opened: bool = False
