"""Asks a server, at a given rate or as fast as it answers, and takes the time."""

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.api.wire import Asked, Connection

# As many as callers of a desk's pages at one moment; the API has ten connections to its database.
CONNECTIONS = 16

Ask = Callable[[], Asked]


@dataclass
class Times:
    """How long answers took, in milliseconds, from the moment at which they were due to be asked for."""

    by_name: dict[str, list[float]] = field(default_factory=dict)

    def percentile(self, name: str, percent: int) -> float:
        """A percentile of one operation's times."""
        times = self.by_name[name]
        return round(statistics.quantiles(times, n=100, method="inclusive")[percent - 1], 2)


def mixed(host: str, asks: Mapping[str, Ask], per_s: float, seconds: float) -> Times:
    """All operations in turn at a rate that does not wait for answers, as callers don't.

    A late answer makes those after it late only as far as the server is late: each is timed from when it was due.
    """
    return asyncio.run(_mixed(host, asks, per_s, seconds))


async def _mixed(host: str, asks: Mapping[str, Ask], per_s: float, seconds: float) -> Times:
    times = Times({name: [] for name in asks})
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    every = [Connection(host) for _ in range(CONNECTIONS * 4)]
    for connection in every:
        idle.put_nowait(connection)
    names = list(asks)
    began = time.perf_counter()

    async def one(name: str, asked: Asked, due: float) -> None:
        connection = await idle.get()
        await connection.ask(asked)
        times.by_name[name].append((time.perf_counter() - due) * 1000)
        idle.put_nowait(connection)

    async with asyncio.TaskGroup() as group:
        for number in range(int(per_s * seconds)):
            name = names[number % len(names)]
            asked = asks[name]()
            due = began + number / per_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(name, asked, due))
    await asyncio.gather(*(connection.close() for connection in every))
    return times


def rate(host: str, ask: Ask, seconds: float, connections: int = CONNECTIONS) -> float:
    """How many a second a server answers when each connection asks again as soon as it has its answer."""
    return asyncio.run(_rate(host, ask, seconds, connections))


async def _rate(host: str, ask: Ask, seconds: float, connections: int) -> float:
    every = [Connection(host) for _ in range(connections)]
    began = time.perf_counter()
    counts = [0] * connections

    async def run(number: int) -> None:
        while time.perf_counter() - began < seconds:
            await every[number].ask(ask())
            counts[number] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(run(number))
    spent = time.perf_counter() - began
    await asyncio.gather(*(connection.close() for connection in every))
    return sum(counts) / spent


def median(rates: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(rates)
