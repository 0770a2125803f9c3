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
