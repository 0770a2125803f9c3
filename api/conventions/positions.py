"""Points on the Earth: pure."""

import math
from dataclasses import dataclass

# Mean radius of the Earth, IUGG 1980.
EARTH_RADIUS_KM = 6371.0088


@dataclass(frozen=True)
class Position:
    """A point on the Earth, in degrees."""

    latitude: float
    longitude: float

    @classmethod
    def of(cls, latitude: float | None, longitude: float | None) -> "Position | None":
        """The position, when both coordinates are known."""
        return None if latitude is None or longitude is None else cls(latitude, longitude)


def great_circle_km(one: Position, other: Position) -> float:
    """Distance over the Earth taken as a sphere, by the haversine formula (R. W. Sinnott, Sky & Telescope 68, 1984)."""
    latitude, latitude_other = math.radians(one.latitude), math.radians(other.latitude)
    half_north = (latitude_other - latitude) / 2
    half_east = math.radians(other.longitude - one.longitude) / 2
    chord = math.sin(half_north) ** 2 + math.cos(latitude) * math.cos(latitude_other) * math.sin(half_east) ** 2
    # Rounding can push the chord of antipodes a hair above 1.
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, chord)))
