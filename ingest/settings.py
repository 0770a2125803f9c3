"""Settings of the ingest process."""

import re
from datetime import timedelta
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from careloop.settings import BrokerSettings, DatabaseSettings
from ingest.decode import Formats
from ingest.formats.patterns import parse_patterns
from ingest.storage.policy import StoragePolicy

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class IngestSettings(DatabaseSettings, BrokerSettings):
    """Everything `careloop ingest` can be told."""

    ingest_worker: str = Field(
        "ingest-1",
        description="name of this worker and its MQTT client id; the broker keeps its messages while it is away",
    )
    ingest_shared: bool = Field(
        False,
        description="share the load with other workers ($share/careloop-ingest/…) on Mosquitto or EMQX; the embedded "
        "broker does not survive the death of a worker that shares (docs/mqtt-contract.md)",
    )
    ingest_session_days: int = Field(7, ge=1, le=365, description="how long the broker keeps messages for this worker")
    ingest_in_flight: int = Field(
        2000, ge=1, le=65535, description="messages taken from the broker and not yet acknowledged (receive maximum)"
    )
    ingest_batch_messages: int = Field(1000, ge=1, le=10000, description="most messages stored in one transaction")
    ingest_batch_bytes: int = Field(8 * 2**20, ge=1, description="most payload bytes stored in one transaction")
    ingest_max_message_bytes: int = Field(2**20, ge=1024, description="larger messages become dead letters")
    ingest_dead_letter_bytes: int = Field(65536, ge=0, description="bytes kept of a message that is too large")
    ingest_future_hours: float = Field(24, ge=0, description="how far ahead of this machine's clock a time may be")
    ingest_learned_metrics: int = Field(
        5000, ge=0, le=20000, description="most metrics learned that no product model declares"
    )
    ingest_learned_metrics_per_asset: int = Field(
        100, ge=0, description="most metrics that one asset may teach while this process runs"
    )
    ingest_sparkplug_groups: str = Field(
        "", description="Sparkplug B group ids to listen to, with commas between them; + is all of them, empty none"
    )
    ingest_sparkplug_serial: str = Field(
        "{source}",
        description="how a serial number is made of Sparkplug's {group}, {node} and {device}; {source} is the device, "
        "or the edge node when there is none",
    )
    ingest_json_topics: str = Field(
        "",
        description="topics of plain JSON objects, with commas between them: zigbee2mqtt/{serial}, "
        "tele/{serial}/SENSOR, v1/gateway/telemetry (without {serial} the object's fields are serial numbers)",
    )
    ingest_json_timezone: str = Field(
        "",
        description="zone of times without an offset in JSON objects, e.g. Europe/Berlin; empty takes the arrival",
    )
    ingest_home_assistant_prefix: str = Field(
        "", description="discovery prefix of Home Assistant's sensors, usually homeassistant; empty does not listen"
    )
    ingest_rollup_seconds: float = Field(15, gt=0, description="how often changed hours are rolled up")
    ingest_compress_after_days: int = Field(
        1, ge=0, description="TimescaleDB: compress older readings; PostgreSQL: put older days in order; 0 never"
    )
    ingest_retention_days: int = Field(0, ge=0, description="drop older readings (rollups stay); 0 keeps them for ever")
    ingest_retention_hourly_days: int = Field(0, ge=0, description="drop older hourly rollups; 0 keeps them for ever")
    ingest_retention_daily_days: int = Field(0, ge=0, description="drop older daily rollups; 0 keeps them for ever")
    ingest_retention_event_days: int = Field(0, ge=0, description="delete older events; 0 keeps them for ever")
    ingest_retention_identity_days: int = Field(
        60,
        ge=40,
        description="delete older message identities, by which a message that comes again is recognised; an agent's "
        "buffer keeps messages for 30 days",
    )
    ingest_retention_dead_letter_days: int = Field(
        90, ge=0, description="delete older dead letters; 0 keeps them for ever"
    )
    ingest_retention_command_days: int = Field(
        365, ge=0, description="delete older results of commands; 0 keeps them for ever"
    )

    ingest_downlink_retry_s: float = Field(
        30, ge=0.1, le=3600, description="first pause before a configuration or command is sent to an agent again"
    )

    @field_validator("ingest_worker")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("must be 1-64 letters, digits, dots, underscores or hyphens")
        return name

    @field_validator("ingest_json_topics")
    @classmethod
    def _are_patterns(cls, text: str) -> str:
        parse_patterns(text)
        return text

    @field_validator("ingest_json_timezone")
    @classmethod
    def _is_zone(cls, name: str) -> str:
        try:
            return ZoneInfo(name).key if name else ""
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{name!r} is not a time zone, e.g. Europe/Berlin or UTC") from error

    @field_validator("ingest_sparkplug_groups", "ingest_home_assistant_prefix")
    @classmethod
    def _are_levels(cls, text: str) -> str:
        for part in text.split(","):
            if any(sign in part for sign in "#$") or ("+" in part and part.strip() != "+") or part.strip(" ") == "/":
                raise ValueError(f"{part.strip()!r} cannot stand in a topic")
        return text

    @field_validator("ingest_sparkplug_serial")
    @classmethod
    def _is_template(cls, template: str) -> str:
        if not any(name in template for name in ("{source}", "{node}", "{device}")):
            raise ValueError("must hold {source}, {node} or {device}, or all assets would be one")
        return template

    @model_validator(mode="after")
    def _days_fit(self) -> Self:
        days = self.ingest_retention_days
        if days and days < 7:
            raise ValueError("INGEST_RETENTION_DAYS must be 0 or at least 7, or late readings could not be rolled up")
        if days and self.ingest_compress_after_days >= days:
            raise ValueError("INGEST_COMPRESS_AFTER_DAYS must be less than INGEST_RETENTION_DAYS")
        hourly, daily = self.ingest_retention_hourly_days, self.ingest_retention_daily_days
        if hourly and (not days or hourly < days):
            raise ValueError("INGEST_RETENTION_HOURLY_DAYS must be 0 or at least INGEST_RETENTION_DAYS, and needs that")
        if daily and (not hourly or daily < hourly):
            raise ValueError(
                "INGEST_RETENTION_DAILY_DAYS must be 0 or at least INGEST_RETENTION_HOURLY_DAYS, and needs that"
            )
        return self

    @property
    def formats(self) -> Formats:
        """The formats that are switched on beside careloop's own."""
        groups = tuple(group.strip() for group in self.ingest_sparkplug_groups.split(",") if group.strip())
        return Formats(
            sparkplug_groups=groups,
            sparkplug_serial=self.ingest_sparkplug_serial,
            json_topics=parse_patterns(self.ingest_json_topics),
            json_zone=ZoneInfo(self.ingest_json_timezone) if self.ingest_json_timezone else None,
            home_assistant_prefix=self.ingest_home_assistant_prefix.strip("/ "),
            follow_sequences=not self.ingest_shared,
        )

    @property
    def storage_policy(self) -> StoragePolicy:
        """The ages as maintenance takes them."""
        return StoragePolicy(
            compress_after=timedelta(days=self.ingest_compress_after_days),
            keep_readings=timedelta(days=self.ingest_retention_days),
            keep_hourly=timedelta(days=self.ingest_retention_hourly_days),
            keep_daily=timedelta(days=self.ingest_retention_daily_days),
            keep_events=timedelta(days=self.ingest_retention_event_days),
            keep_identities=timedelta(days=self.ingest_retention_identity_days),
            keep_dead_letters=timedelta(days=self.ingest_retention_dead_letter_days),
            keep_command_results=timedelta(days=self.ingest_retention_command_days),
        )
