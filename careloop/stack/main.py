"""Wires and runs `careloop up`; the only place here that reads a clock."""

import signal
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Event
from typing import Any

from careloop.logs import configure_logging
from careloop.stack.embedded import EmbeddedStack
from careloop.stack.ports import listens
from careloop.stack.readiness import ReadinessWatch
from careloop.stack.services import at_port, metrics_ports, places, platform_services
from careloop.stack.settings import StackSettings
from careloop.stack.simulation import register_fleet, write_edge_config
from careloop.stack.supervisor import Supervisor


def run(chosen: Mapping[str, Any], *, simulate: bool) -> int:
    """Run everything until Ctrl-C or SIGTERM: the services stop first, then the broker, then the database."""
    settings = StackSettings(**chosen)
    configure_logging(settings.log_level, settings.log_format, process="up")
    stop = Event()

    # Only this process gets them: every child has a session of its own. A second Ctrl-C changes nothing.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    stack = EmbeddedStack(
        settings.state_directory,
        database_url=settings.database_url,
        broker_url=settings.broker_url,
        postgres_port=settings.postgres_port,
        broker_port=settings.broker_port,
        api_port=settings.api_port,
    )
    with stack:
        stack.api_key("admin", "admin")
        ports = metrics_ports(settings.metrics_port)
        edge_port = ports.pop("edge")
        with Supervisor(platform_services(stack, ports), time.monotonic, stack.revive) as supervisor:
            readiness = ReadinessWatch(ports, stop)
            readiness.start()
            supervisor.watch_until(lambda: listens(stack.api_port), stop)
            if simulate and not stop.is_set():
                config = write_edge_config(stack.directory, datetime.now(UTC))
                register_fleet(stack, config, stop)
                words = ("edge", "run", "--config", str(config))
                supervisor.add(stack.service("edge", *words, environment=at_port(edge_port)))
                ports["edge"] = edge_port
                readiness.add("edge", edge_port)
            if not stop.is_set():
                print(places(stack, ports), flush=True)
            supervisor.watch(stop)
            print("stopping", flush=True)
    print("stopped", flush=True)
    return 0
