"""`kind = "mqtt"`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from edge_agent.sources.payload.config import LinesConfig, parts_of


def _is_topic(topic: str) -> str:
    for number, level in enumerate(levels := topic.split("/")):
        if "#" in level and (level != "#" or number != len(levels) - 1):
            raise ValueError(f"{topic!r}: # stands alone, at the end")
        if "+" in level and level != "+":
            raise ValueError(f"{topic!r}: + stands alone between slashes")
        if "}{" in level:
            raise ValueError(f"{topic!r}: something must stand between two names in braces")
    parts_of(topic)
    return topic


Topic = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_is_topic)]


class MqttConfig(LinesConfig):
    """`kind = "mqtt"`: topics of a local broker, e.g. of Home Assistant or of Tasmota devices."""

    kind: Literal["mqtt"]
    url: str = Field("mqtt://127.0.0.1:1883", description="mqtt://host:1883 or mqtts://host:8883 of the local broker")
    topics: Annotated[Sequence[Topic], Field(min_length=1)] = Field(
        description="filters; {serial} stands for a level that names the asset, {metric} for one that names the metric"
    )
    # Narrower than in other sources would be wrong: a payload may be one value.
    format: Literal["json", "csv", "regex", "value"] = Field(  # type: ignore[assignment] # one more than lines have
        "json", description="of each payload; value: one number or text alone"
    )
    client_id: str | None = Field(None, min_length=1, max_length=64, description="careloop-NAME when left out")
    user: str | None = None
    secret_env: str | None = Field(None, description="environment variable with the password")
    secret_file: Path | None = Field(None, description="file with the password")
    ca_file: Path | None = None
    qos: Literal[0, 1] = Field(1, description="1: what was not yet on disk here is sent again by the broker")
    session_hours: float = Field(24.0 * 7, ge=0, le=24 * 365, description="how long the broker queues for us")
    inflight: int = Field(200, ge=1, le=5000, description="most messages taken and not yet on disk")
    take_retained: bool = Field(False, description="also what the broker kept from before, whose age nobody knows")

    @field_validator("url")
    @classmethod
    def _is_mqtt(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or parts.path not in {"", "/"}:
            raise ValueError("must look like mqtt://127.0.0.1:1883 or mqtts://host:8883")
        if "@" in parts.netloc:
            raise ValueError("no user or password in the url; use user and secret_env or secret_file")
        return url

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.secret_env is not None and self.secret_file is not None:
            raise ValueError("secret_env or secret_file, not both")
        if (self.secret_env is not None or self.secret_file is not None) != (self.user is not None):
            raise ValueError("user goes with secret_env or secret_file")
        return self

    @property
    def comes_by_itself(self) -> bool:
        """The broker decides."""
        return True

    def names_the_asset(self) -> list[str]:
        """The topics may name it, too."""
        in_topics = all("serial" in parts_of(topic) for topic in self.topics)
        return [*super().names_the_asset(), *(["{serial} in every topic"] if in_topics else [])]
