"""Settings of `careloop up` and of everything that starts an embedded stack."""

import os
from pathlib import Path

import platformdirs
from pydantic import Field

from careloop.settings import SharedSettings


class StackSettings(SharedSettings):
    """Where the embedded stack lives and listens."""

    state_dir: Path | None = Field(
        None,
        description="everything kept between runs; by default the user's data directory, as root /var/lib/careloop",
    )
    database_url: str | None = Field(None, description="use this server instead of the embedded PostgreSQL")
    broker_url: str | None = Field(None, description="use this broker instead of the embedded one")
    api_port: int = Field(8080, ge=1, le=65535, description="port of the REST API on 127.0.0.1")
    broker_port: int = Field(1883, ge=1, le=65535, description="port of the embedded MQTT broker on 127.0.0.1")
    postgres_port: int = Field(5433, ge=1, le=65535, description="port of the embedded PostgreSQL on 127.0.0.1")

    @property
    def state_directory(self) -> Path:
        """The directory set, or the default one, as an absolute path."""
        return (self.state_dir or default_state_directory()).expanduser().absolute()


def default_state_directory() -> Path:
    """Where state is kept when nothing is set.

    As root PostgreSQL runs as `nobody`, who may not enter root's home.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/careloop")
    return Path(platformdirs.user_data_dir("careloop"))
