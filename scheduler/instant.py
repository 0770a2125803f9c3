"""The time a duty works as of."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Instant:
    """The time a duty works as of.

    Attributes:
        now: Facts strictly before it are known.
        simulated: It was given by a conductor; then the API is told it too.
    """

    now: datetime
    simulated: bool

    @property
    def told(self) -> datetime | None:
        """What API calls are told as their time; None lets the API use its own clock."""
        return self.now if self.simulated else None
