"""Bodies and answers of claim keys, claims, devices, and of the brokers that ask."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from api.conventions.models import Answer, Body, Count, Name, Serial, Time

Pattern = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._*?-]{1,64}$", description="`*` is any run of characters, `?` one")
]
Pem = Annotated[str, Field(min_length=1, max_length=16_384)]
Secret = Annotated[str, Field(min_length=32, max_length=256, pattern=r"^[A-Za-z0-9._~+/=-]+$")]
Assets = Annotated[list[Serial], Field(max_length=10_000)]
Kind = Literal["password", "certificate"]
DeviceState = Literal["active", "revoked", "released"]

MOST_WILDCARDS = 3


class NewClaimKey(Body):
    """Which machines a claim key is for."""

    model: Name = Field(description="product model of what claims; of a gateway's batch, of the machines behind it")
    batch: Name
    gateway: bool = False
    serial_pattern: Pattern | None = Field(None, description="or else serials")
    serials: list[Serial] | None = Field(None, min_length=1, max_length=100_000)
    asset_pattern: Pattern | None = Field(None, description="machines that a gateway may bring along; none if left out")
    register_assets: bool = Field(False, description="register a serial number that is no asset yet, or refuse it")
    max_claims: Count
    expires_at: Time

    @model_validator(mode="after")
    def _fits(self) -> "NewClaimKey":
        if (self.serial_pattern is None) == (self.serials is None):
            raise ValueError("give either serial_pattern or serials")
        if self.asset_pattern is not None and not self.gateway:
            raise ValueError("asset_pattern is for a gateway's batch; set gateway")
        for pattern in (self.serial_pattern, self.asset_pattern):
            if pattern is not None and pattern.count("*") > MOST_WILDCARDS:
                raise ValueError(f"a pattern may have {MOST_WILDCARDS} stars at most")
        return self


class ClaimKey(Answer):
    """A claim key, without the key itself."""

    claim_key_id: int
    batch: str
    model: str
    gateway: bool
    serial_pattern: str | None
    serials: list[str] | None
    asset_pattern: str | None
    register_assets: bool
    max_claims: int
    claims: int
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class CreatedClaimKey(ClaimKey):
    """A new claim key; `key` is shown this once."""

    key: str


class Claim(Body):
    """A device asks for an identity."""

    claim_key: Annotated[str, Field(min_length=1, max_length=128)]
    serial: Serial
    want: Kind | None = Field(None, description="a certificate if there is a csr, else a password")
    csr: Pem | None = Field(None, description="certificate request in PEM; its private key stays on the device")
    device_secret: Secret | None = Field(
        None, description="made by the device: by it the same claim can be sent again, and gets the same password"
    )
    assets: Assets | None = Field(None, description="serial numbers of the machines behind a gateway")

    @model_validator(mode="after")
    def _fits(self) -> "Claim":
        if self.want == "password" and self.csr is not None:
            raise ValueError("a csr is for a certificate; leave it out or want a certificate")
        if self.want == "certificate" and self.csr is None:
            raise ValueError("a certificate needs a csr")
        if self.csr is not None and self.device_secret is not None:
            raise ValueError("device_secret is for a password; the csr's key is proof enough")
        return self


class Renewal(Body):
    """A device asks for its next identity, and proves the present one by certificate and signature, or by password."""

    agent_id: Serial
    csr: Pem | None = None
    device_secret: Secret | None = None
    certificate: Pem | None = Field(None, description="the present certificate")
    signature: Annotated[str, Field(max_length=2048)] | None = Field(
        None, description="Base64: 'careloop renewal v1', a zero byte and the csr (DER), signed with the present key"
    )
    password: Annotated[str, Field(max_length=256)] | None = Field(None, description="the present password")

    @model_validator(mode="after")
    def _fits(self) -> "Renewal":
        if (self.certificate is None) == (self.password is None):
            raise ValueError("prove the present identity by either certificate and signature, or password")
        if (self.certificate is None) != (self.signature is None):
            raise ValueError("certificate and signature go together")
        if self.certificate is not None and self.csr is None:
            raise ValueError("a certificate is renewed by a csr")
        if (self.csr is None) == (self.device_secret is None):
            raise ValueError("give a csr for a certificate, or a device_secret for a password")
        return self


class BrokerAddress(Answer):
    """Where the device connects to."""

    url: str | None
    ca: str | None = Field(description="PEM of the CA that signed the broker's certificate; null: a public one")


class Identity(Answer):
    """A device's identity, told to it alone."""

    device_id: int
    agent_id: str
    kind: Kind
    username: str
    password: str | None = None
    certificate: str | None = None
    ca: str | None = Field(None, description="PEM of the CA that signed the device's certificate")
    issued_at: datetime
    expires_at: datetime | None = None
    broker: BrokerAddress
    assets: list[str]


class Device(Answer):
    """A device, without its secrets."""

    device_id: int
    agent_id: str
    batch: str
    claim_key_id: int
    gateway: bool
    kind: Kind
    state: DeviceState
    assets: list[str]
    claimed_at: datetime
    renewed_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None


class Certificate(Answer):
    """A certificate as it was issued."""

    serial_number: str
    issued_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class DeviceInFull(Device):
    """A device with its certificates, oldest first."""

    certificates: list[Certificate]


class GatewayAssets(Body):
    """The machines that a gateway speaks for; they replace those before."""

    assets: Assets


class EmqxAuthentication(BaseModel):
    """What EMQX 5 asks when a client connects; fields that its template has besides are ignored."""

    username: str | None = None
    password: str | None = None
    clientid: str | None = None
    cert_common_name: str | None = None


class EmqxAuthorization(BaseModel):
    """What EMQX 5 asks when a client publishes or subscribes; fields that its template has besides are ignored."""

    username: str | None = None
    topic: Annotated[str, Field(min_length=1, max_length=65_535)]
    action: Literal["publish", "subscribe"]


class EmqxAuthenticated(Answer):
    """EMQX 5's answer format; `expire_at` (Unix seconds) is left out where there is none."""

    result: Literal["allow", "deny", "ignore"]
    is_superuser: bool = False
    expire_at: int | None = None


class EmqxAuthorized(Answer):
    """EMQX 5's answer format."""

    result: Literal["allow", "deny", "ignore"]
