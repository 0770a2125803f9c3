"""`kind = "http"`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from edge_agent.sources.payload.config import PayloadConfig, parts_of

SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})


class HttpConfig(PayloadConfig):
    """`kind = "http"`: a JSON document, asked for at every interval."""

    kind: Literal["http"]
    url: str = Field(description="http:// or https://; {id} is replaced by each id in serials")
    method: Literal["GET", "POST"] = "GET"
    body: str | None = Field(None, description="what is posted")
    headers: Mapping[str, str] = Field(default_factory=dict)
    user: str | None = Field(None, description="basic authentication, with the secret as password")
    secret_env: str | None = Field(None, description="environment variable with the password or token")
    secret_file: Path | None = Field(None, description="file with the password or token")
    secret_header: str | None = Field(None, description="send the secret in this header, not as a bearer token")
    timeout_s: float = Field(10.0, gt=0, le=300)
    max_bytes: int = Field(1024 * 1024, ge=1, le=64 * 1024 * 1024, description="largest answer")
    ca_file: Path | None = Field(None, description="CA certificate of the device, for https")

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ValueError("must look like http://192.168.1.20/status or https://…")
        if "@" in parts.netloc:
            raise ValueError("no user or password in the url; use user and secret_env or secret_file")
        if set(parts_of(url)) - {"id"}:
            raise ValueError("only {id} can be in it, for the ids in serials")
        return url

    @field_validator("headers")
    @classmethod
    def _has_no_secret(cls, headers: Mapping[str, str]) -> Mapping[str, str]:
        secret = [name for name in headers if name.lower() in SECRET_HEADERS]
        if secret:
            raise ValueError(f"{secret[0]} is a secret; use secret_env or secret_file, and secret_header if it must be")
        return headers

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.secret_env is not None and self.secret_file is not None:
            raise ValueError("secret_env or secret_file, not both")
        has_secret = self.secret_env is not None or self.secret_file is not None
        if not has_secret and (self.user is not None or self.secret_header is not None):
            raise ValueError("user and secret_header need secret_env or secret_file")
        if self.user is not None and self.secret_header is not None:
            raise ValueError("user or secret_header, not both")
        if self.body is not None and self.method != "POST":
            raise ValueError('body is for method = "POST"')
        if "{id}" in self.url and not self.serials:
            raise ValueError("{id} in the url needs serials")
        return self

    def names_the_asset(self) -> list[str]:
        """The url may name it, too."""
        return [*super().names_the_asset(), *(["{id} in the url"] if "{id}" in self.url else [])]
