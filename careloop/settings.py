"""Settings that several processes share: database, broker, clock, address of the API.

Read from the environment (`CARELOOP_…`) when a process's `main` builds them, never at import; what the environment does
not say is read from secret files of the same name in lower case, where containers keep them.
"""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

SECRETS_DIRECTORY = Path("/run/secrets")


class SharedSettings(BaseSettings):
    """Base of every process's settings; the prefix is the same everywhere, so one environment serves all."""

    model_config = SettingsConfigDict(env_prefix="CARELOOP_", extra="ignore", frozen=True)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least severe log line written")
    log_format: Literal["text", "json"] = Field("text", description="json: one JSON object a log line")
    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="port of /metrics, /live and /ready, 0 for none; for `up` the first of one for each process, "
        "0 for free ones",
    )
    stalled_after_s: float = Field(
        180.0, gt=0, description="a loop silent for so long has stalled: /live answers 503, in seconds"
    )
    metrics_host: str = Field("127.0.0.1", description="address that they are served on, without any login")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings names the parameters
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings names the parameters
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given in code, then the environment, then secret files such as `/run/secrets/careloop_api_key`."""
        if not SECRETS_DIRECTORY.is_dir():
            return init_settings, env_settings
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, secrets_dir=SECRETS_DIRECTORY)


class DatabaseSettings(SharedSettings):
    """Where PostgreSQL or TimescaleDB is."""

    database_url: str = Field(
        "postgresql://careloop@127.0.0.1:5432/careloop", description="PostgreSQL or TimescaleDB, as a libpq URL"
    )

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, url: str) -> str:
        if not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://, e.g. postgresql://user:password@127.0.0.1:5432/careloop")
        return url


class BrokerSettings(SharedSettings):
    """Where the MQTT broker is, e.g. `mqtt://user:password@127.0.0.1:1883` or `mqtts://…:8883`."""

    broker_url: str = Field("mqtt://127.0.0.1:1883", description="MQTT 5 broker; mqtts:// for TLS")
    broker_ca_file: str | None = Field(None, description="CA certificate to check an mqtts:// broker by")

    @field_validator("broker_url")
    @classmethod
    def _is_mqtt(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
            raise ValueError("must look like mqtt://user:password@host:1883 or mqtts://host:8883")
        return url


class ApiClientSettings(SharedSettings):
    """How a process reaches the REST API."""

    api_url: str = Field("http://127.0.0.1:8080", description="address of the REST API")
    api_key: str = Field("", description="API key of this process (role service)")
