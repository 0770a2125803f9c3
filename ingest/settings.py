"""Settings of the ingest process."""

import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from careloop.settings import BrokerSettings, DatabaseSettings

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
    ingest_rollup_seconds: float = Field(15, gt=0, description="how often changed hours are rolled up")
    ingest_compress_after_days: int = Field(30, ge=0, description="TimescaleDB: compress older readings; 0 never")
    ingest_retention_days: int = Field(0, ge=0, description="drop older readings (rollups stay); 0 keeps them for ever")

    ingest_downlink_retry_s: float = Field(
        30, ge=0.1, le=3600, description="first pause before a configuration or command is sent to an agent again"
    )

    @field_validator("ingest_worker")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("must be 1-64 letters, digits, dots, underscores or hyphens")
        return name

    @model_validator(mode="after")
    def _days_fit(self) -> Self:
        days = self.ingest_retention_days
        if days and days < 7:
            raise ValueError("INGEST_RETENTION_DAYS must be 0 or at least 7, or late readings could not be rolled up")
        if days and self.ingest_compress_after_days >= days:
            raise ValueError("INGEST_COMPRESS_AFTER_DAYS must be less than INGEST_RETENTION_DAYS")
        return self
