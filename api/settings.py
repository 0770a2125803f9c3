"""Settings of the API process."""

from typing import Literal

from pydantic import Field

from careloop.settings import DatabaseSettings


class ApiSettings(DatabaseSettings):
    """Environment `CARELOOP_…` of `careloop api`."""

    api_host: str = Field("127.0.0.1", description="address the API listens on")
    api_port: int = Field(8080, ge=1, le=65535, description="port the API listens on")
    api_connections: int = Field(10, ge=1, le=200, description="database connections of one API process")
    clock: Literal["system", "request"] = Field(
        "system", description="request: the header Careloop-Now gives the time (replays and tests only)"
    )
    alert_delivery: bool = Field(True, description="whether this process delivers alerts; any number may")
    alert_attempts: int = Field(20, ge=1, le=100, description="an alert is dead after so many failed attempts")
    alert_lease_s: float = Field(
        120.0, ge=1.0, le=3600.0, description="alerts of a deliverer that died are taken over after so many seconds"
    )
    alert_default_url: str = Field(
        "careloop-log://",
        description="Apprise URL of the alert target made when there is none yet, e.g. careloop-file:///srv/alerts.jsonl",
    )
