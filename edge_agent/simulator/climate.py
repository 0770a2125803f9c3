"""Chance and weather of a simulated fleet: functions of the seed and the time, without any state to carry along.

So the fleet is the same whatever the steps it is driven by, and goes on after a restart from a few numbers.
"""

import random
from functools import lru_cache
from math import pi, sin

HOURS_A_DAY = 24
SECONDS_A_DAY = 86400

# A prime, so that the stride below visits every place before it repeats.
TABLE_LENGTH = 65521
STRIDE = 7919
# More draws than any tick takes.
DRAWS_A_TICK = 32


class Chance:
    """Draws by place: `normal[i]` and `uniform[i]`, from `start(offset, tick)` on."""

    def __init__(self, seed: int) -> None:
        source = random.Random(f"chance:{seed}")  # noqa: S311 - a simulation, nothing to guard
        normal = [source.gauss(0.0, 1.0) for _ in range(TABLE_LENGTH)]
        uniform = [source.random() for _ in range(TABLE_LENGTH)]
        # The first places again at the end, so that a tick's draws never wrap.
        self.normal = [*normal, *normal[:DRAWS_A_TICK]]
        self.uniform = [*uniform, *uniform[:DRAWS_A_TICK]]

    @staticmethod
    def start(offset: int, tick: int) -> int:
        """Where a machine's draws for a tick begin; the machine's offset keeps it apart from the others."""
        return (offset + tick * STRIDE) % TABLE_LENGTH


def own_chance(seed: int, *what: object) -> random.Random:
    """Draws of one thing's own: a component's life, a day's use."""
    return random.Random(":".join(map(str, (seed, *what))))  # noqa: S311 - a simulation, nothing to guard


@lru_cache(maxsize=4096)
def ambient_celsius(seed: int, hour: int) -> float:
    """Temperature where the machines stand, by hours since 1970: season, time of day, and the day's weather."""
    day, hour_of_day = divmod(hour, HOURS_A_DAY)
    weather = own_chance(seed, "weather", day).gauss(0.0, 2.0)
    season = 8.0 * sin(2 * pi * (day % 365.25 - 105) / 365.25)
    return 13.0 + season + 3.0 * sin(2 * pi * (hour_of_day - 9) / HOURS_A_DAY) + weather
