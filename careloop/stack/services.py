"""Which service processes `careloop up` runs, and where a newcomer finds them."""

from urllib.parse import urlsplit, urlunsplit

from careloop.stack.embedded import EmbeddedStack
from careloop.stack.process import ServiceProcess


def platform_services(stack: EmbeddedStack) -> list[ServiceProcess]:
    """The processes in the order to start: the API first, which predictor and scheduler call.

    Args:
        stack: Started.
    """
    return [
        stack.service("api", "api"),
        stack.service("ingest", "ingest"),
        stack.service("predictor", "predictor", "run"),
        stack.service("scheduler", "scheduler", "run"),
    ]


def places(stack: EmbeddedStack) -> str:
    """Where everything is, as lines for a newcomer; passwords are left out, since screens get shared."""
    return "\n".join(
        [
            f"careloop is up on {stack.engine}; Ctrl-C stops it",
            f"  API docs   {stack.api_url}/docs",
            f"  broker     {without_password(stack.broker_url('device'))}",
            f"  database   {without_password(stack.database_url)}",
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
