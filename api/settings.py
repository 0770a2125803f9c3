"""Settings of the API process."""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from careloop.settings import DatabaseSettings

# Levels of letters that no ACL file and no broker reads as something else.
_FILTER = re.compile(r"[A-Za-z0-9._ {}+#:-]+(?:/[A-Za-z0-9._ {}+#:-]*)*")


class DeviceSettings(DatabaseSettings):
    """How devices get identities, and how brokers learn of them; read by `careloop api` and `careloop devices`."""

    device_ca_certificate: Path | None = Field(
        None, description="CA that signs devices' certificates (`careloop devices init-ca`); passwords only without"
    )
    device_ca_key: Path | None = Field(None, description="its private key")
    device_certificate_days: float = Field(90.0, gt=0, le=3650, description="how long a device's certificate is valid")
    device_renewal_grace_days: float = Field(
        30.0, ge=0, le=3650, description="how long after its end a certificate can still be renewed"
    )
    device_crl_days: float = Field(
        30.0, ge=1, le=3650, description="how long a broker may use a list of revoked certificates"
    )
    device_claims_per_minute: int = Field(600, ge=1, description="most claims and renewals of one address")
    device_failures_per_minute: int = Field(
        20, ge=1, description="most refused ones of one address; then it is sent away for a while"
    )
    device_broker_url: str | None = Field(
        None, description="where devices with a password connect to, e.g. mqtts://broker.example.com:8883"
    )
    device_broker_certificate_url: str | None = Field(
        None, description="where devices with a certificate connect to, e.g. mqtts://broker.example.com:8884"
    )
    device_broker_ca_file: Path | None = Field(
        None, description="CA of the broker's own certificate, given to devices; none for a public one"
    )
    broker_accounts: Path | None = Field(
        None, description="broker accounts made by hand, a line NAME:PASSWORD each; the services' among them"
    )
    broker_services: str = Field("platform", description="which accounts are services, separated by commas")
    broker_service_reads: str = Field(
        "spBv1.0/#,homeassistant/#", description="topic filters that services read besides the contract's"
    )
    broker_service_writes: str = Field(
        "spBv1.0/+/NCMD/+,spBv1.0/+/DCMD/+/+", description="topic filters that services write besides"
    )
    broker_device_reads: str = Field("", description="topic filters each device reads besides; {id} is its own id")
    broker_device_writes: str = Field("", description="topic filters each device writes besides; {id} is its own id")
    broker_hook_secret: str = Field("", description="what EMQX shows in Careloop-Broker-Secret; without it, no answer")
    mosquitto_directory: Path | None = Field(
        None, description="Mosquitto's passwords, ACL and revoked certificates are written here; not at all if not set"
    )
    mosquitto_pid_file: Path | None = Field(
        None, description="Mosquitto's pid_file, to tell it to read them again; none where run.sh does"
    )
    mosquitto_every_s: float = Field(2.0, gt=0, le=3600, description="how often to look for changes of devices")

    @field_validator("device_broker_url", "device_broker_certificate_url")
    @classmethod
    def _is_mqtt(cls, url: str | None) -> str | None:
        if url is not None and not re.fullmatch(r"mqtts?://[^/@\s]+", url):
            raise ValueError("must look like mqtts://host:8883, without a password")
        return url

    @field_validator(
        "broker_services",
        "broker_service_reads",
        "broker_service_writes",
        "broker_device_reads",
        "broker_device_writes",
    )
    @classmethod
    def _are_filters(cls, text: str) -> str:
        for item in listed(text):
            if not _FILTER.fullmatch(item):
                raise ValueError(f"{item!r} is not a topic filter or name; separate several by commas")
        return text

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.device_ca_certificate is None) != (self.device_ca_key is None):
            raise ValueError("device_ca_certificate and device_ca_key go together")
        return self


def listed(text: str) -> tuple[str, ...]:
    """The items of a setting that lists some, separated by commas."""
    return tuple(item for item in (part.strip() for part in text.split(",")) if item)


class ApiSettings(DeviceSettings):
    """Environment `CARELOOP_…` of `careloop api`."""

    api_host: str = Field("127.0.0.1", description="address the API listens on")
    api_port: int = Field(8080, ge=1, le=65535, description="port the API listens on")
    api_connections: int = Field(10, ge=1, le=200, description="database connections of one API process")
    clock: Literal["system", "request"] = Field(
        "system", description="request: the header Careloop-Now gives the time (replays and tests only)"
    )
    duties_every_s: float = Field(
        5.0, gt=0, le=3600, description="how often to look for what is due, e.g. service levels that trip"
    )
    file_largest_bytes: int = Field(
        10 * 2**20, ge=1024, le=2**28, description="largest file that may be uploaded, bytes"
    )
    alert_delivery: bool = Field(True, description="whether this process delivers alerts and webhooks; any number may")
    alert_attempts: int = Field(20, ge=1, le=100, description="an alert is dead after so many failed attempts")
    alert_lease_s: float = Field(
        120.0, ge=1.0, le=3600.0, description="alerts of a deliverer that died are taken over after so many seconds"
    )
    alert_default_url: str = Field(
        "careloop-log://",
        description="Apprise URL of the alert target made when there is none yet, e.g. careloop-file:///srv/alerts.jsonl",
    )
