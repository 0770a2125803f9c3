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


class LoginSettings(DatabaseSettings):
    """How people come in: sessions, and the identity provider."""

    session_hours: float = Field(12.0, gt=0, le=24 * 90, description="how long a login lasts")
    login_failures_per_minute: int = Field(10, ge=1, description="most failed logins of one name, from wherever")
    login_address_failures_per_minute: int = Field(
        60, ge=1, description="most failed logins of one address; then it is sent away for a while"
    )
    oidc_issuer: str | None = Field(
        None, description="identity provider (OpenID Connect), as its tokens name it; passwords only without"
    )
    oidc_client_id: str = Field("", description="what the provider knows this desk as")
    oidc_client_secret: str = Field("", description="its secret there; none for a public client")
    oidc_redirect_url: str = Field("", description="page that the provider sends the browser back to")
    oidc_scopes: str = Field("openid email profile", description="what is asked for, with spaces between")
    oidc_role_claim: str = Field(
        "",
        description="claim that gives the role, e.g. groups or realm_access.roles; without, users keep their role here",
    )
    oidc_roles: str = Field(
        "", description="role by value of that claim, strongest first, e.g. careloop-admins=admin,service-desk=agent"
    )
    oidc_create_users: bool = Field(
        False, description="whether somebody with a role by claim becomes a user at the first login"
    )

    @field_validator("oidc_issuer", "oidc_redirect_url")
    @classmethod
    def _is_safe(cls, url: str | None) -> str | None:
        if url and not re.fullmatch(r"https://[^/@\s]+\S*|http://(?:127\.0\.0\.1|localhost)(?::\d+)?(?:/\S*)?", url):
            raise ValueError("must be an https:// address (http:// for 127.0.0.1 only), without a password")
        return url

    @model_validator(mode="after")
    def _says_all(self) -> Self:
        if self.oidc_issuer and not (self.oidc_client_id and self.oidc_redirect_url):
            raise ValueError("oidc_issuer needs oidc_client_id and oidc_redirect_url")
        if "openid" not in self.oidc_scopes.split():
            raise ValueError("oidc_scopes must have openid among them")
        if bool(self.oidc_role_claim) != bool(self.oidc_roles):
            raise ValueError("oidc_role_claim and oidc_roles go together")
        if self.oidc_create_users and not self.oidc_role_claim:
            raise ValueError("oidc_create_users needs oidc_role_claim: whom we do not know must bring a role")
        return self


class ApiSettings(DeviceSettings, LoginSettings):
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
    satisfaction_bad_score: int = Field(
        2, ge=0, le=5, description="answers up to this score open a follow-up; 0: none does"
    )
    stock_count_approval_minor: int = Field(
        10_000,
        ge=0,
        description="worth of a stock count's differences, in minor units of each currency, above which somebody else "
        "must approve it",
    )
    satisfaction_tries_per_minute: int = Field(60, ge=1, description="how often one address may use links of questions")
    settlement_key_file: Path | None = Field(
        None, description="PEM file of the private key that signs settlement for finance; nothing is signed without"
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
