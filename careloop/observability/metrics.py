"""Prometheus metrics of the server processes, by prometheus-client.

Each room declares its own in a `metrics.py`, on a registry that its `main` makes; nothing is registered on import.
"""

import gc
from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    Metric,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from careloop import __version__
from careloop.observability.server import Render

# Seconds; from a fast commit to one that is near every deadline.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LONG_SECONDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)


def make_registry(process: str) -> CollectorRegistry:
    """A registry with what every process shows: memory, processor, open files, garbage collection, its version."""
    # When each counter was made is of no use here, and is a series more for each.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus-client has no types there
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    if hasattr(gc, "get_stats"):
        GCCollector(registry=registry)
    info = Gauge("careloop_build_info", "Always 1; says which version runs", ["process", "version"], registry=registry)
    info.labels(process, __version__).set(1)
    return registry


def render_from(registry: CollectorRegistry) -> Render:
    """The registry as text, in the format that the client asks for."""

    def render(accept: str) -> tuple[str, bytes]:
        encode, content_type = choose_encoder(accept)
        return content_type, encode(registry)

    return render


def counted_elsewhere(registry: CollectorRegistry, name: str, text: str, read: Callable[[], float]) -> None:
    """A counter whose value is asked for at each scrape: for what is counted anyway, by a plain number.

    Args:
        registry: That it is shown from.
        name: Ends in `_total`.
        text: Its help.
        read: The number so far; never falls.
    """

    class Elsewhere(Collector):
        def collect(self) -> Iterable[Metric]:
            yield CounterMetricFamily(name.removesuffix("_total"), text, value=read())

    registry.register(Elsewhere())
