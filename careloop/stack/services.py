"""Which service processes `careloop up` runs, and where a newcomer finds them."""

from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from careloop.stack.embedded import EmbeddedStack
from careloop.stack.ports import free_port
from careloop.stack.process import ServiceProcess

# In this order they get their metrics ports, whatever runs.
PROCESSES = ("api", "ingest", "predictor", "scheduler", "edge")


def metrics_ports(first: int) -> dict[str, int]:
    """The metrics port of each process.

    Args:
        first: Of the first; the others' follow. 0 takes free ones.

    >>> metrics_ports(9464)["ingest"]
    9465
    """
    if first:
        return {name: first + place for place, name in enumerate(PROCESSES)}
    taken: set[int] = set()
    while len(taken) < len(PROCESSES):
        taken.add(free_port())
    return dict(zip(PROCESSES, taken, strict=True))


def at_port(port: int) -> dict[str, str]:
    """The environment that makes a process serve its metrics there."""
    return {"CARELOOP_METRICS_PORT": str(port)}


def platform_services(stack: EmbeddedStack, ports: Mapping[str, int]) -> list[ServiceProcess]:
    """The processes in the order to start: the API first, which predictor and scheduler call.

    Args:
        stack: Started.
        ports: Metrics port by process.
    """
    return [
        stack.service("api", "api", environment=at_port(ports["api"])),
        stack.service("ingest", "ingest", environment=at_port(ports["ingest"])),
        stack.service("predictor", "predictor", "run", environment=at_port(ports["predictor"])),
        stack.service("scheduler", "scheduler", "run", environment=at_port(ports["scheduler"])),
    ]


def places(stack: EmbeddedStack, ports: Mapping[str, int]) -> str:
    """Where everything is, as lines for a newcomer; passwords are left out, since screens get shared."""
    metrics = ", ".join(f"{name} {port}" for name, port in ports.items())
    return "\n".join(
        [
            f"careloop is up on {stack.engine}; Ctrl-C stops it",
            f"  API docs   {stack.api_url}/docs",
            f"  broker     {without_password(stack.broker_url('device'))}",
            f"  database   {without_password(stack.database_url)}",
            f"  metrics    http://127.0.0.1:PORT/metrics, /live, /ready: {metrics}",
            f"  state      {stack.directory}",
            f"  secrets    {stack.secrets.path} (the administrator's API key is api_key.admin)",
            f"  logs       {stack.directory / 'logs'}",
        ]
    )


def without_password(url: str) -> str:
    """A URL as it may be shown.

    >>> without_password("mqtt://device:s3cret@127.0.0.1:1883")
    'mqtt://device@127.0.0.1:1883'
    """
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=login.split(":")[0] + at + host))
