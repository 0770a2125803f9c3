"""A reading, and many of them as columns."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload


class Reading(NamedTuple):
    """One measured value of one metric of one asset.

    Attributes:
        time_s: Unix time in seconds.
        metric: Name of the metric, without the asset's base name.
        value: The value; booleans are 0.0 and 1.0.
        unit: Unit as sent, or an empty string.
    """

    time_s: float
    metric: str
    value: float
    unit: str


class Columns(Sequence[Reading]):
    """Readings as columns of equal length: to a store of hundreds of thousands a second, one by one is too slow.

    A sequence of readings like any other to whoever does not know.

    Attributes:
        times_s: Unix times in seconds, finite.
        metrics: Names of the metrics.
        values: The values; what is not finite is among them.
        units: Units as sent, or empty strings.
    """

    __slots__ = ("metrics", "times_s", "units", "values")

    def __init__(self, times_s: list[float], metrics: list[str], values: list[float], units: list[str]) -> None:
        self.times_s = times_s
        self.metrics = metrics
        self.values = values
        self.units = units

    def __len__(self) -> int:
        return len(self.times_s)

    @overload
    def __getitem__(self, place: int) -> Reading: ...
    @overload
    def __getitem__(self, place: slice) -> list[Reading]: ...
    def __getitem__(self, place: int | slice) -> Reading | list[Reading]:
        if isinstance(place, slice):
            return list(self)[place]
        return Reading(self.times_s[place], self.metrics[place], self.values[place], self.units[place])

    def __iter__(self) -> Iterator[Reading]:
        return map(Reading, self.times_s, self.metrics, self.values, self.units)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # like a list

    def __repr__(self) -> str:
        return repr(list(self))
