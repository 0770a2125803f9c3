"""Bodies and answers of users, logins, API keys and the audit."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, EmailStr, Field

from api.access.rules import is_scope
from api.conventions.models import Answer, Body, Id, Name, Time
from api.conventions.roles import Role


def _short(text: str) -> str:
    if len(text) > 254:
        raise ValueError("must have at most 254 characters")
    return text


def _scope(text: str) -> str:
    if not is_scope(text):
        raise ValueError("must look like tickets:read or tickets:write")
    return text


def _plain(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the character NUL")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("must not contain half a character") from error
    return text


Login = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{1,127}$", description="upper and lower case are the same"),
    AfterValidator(str.lower),
]
Email = Annotated[EmailStr, AfterValidator(_short)]
# Spaces at the ends are part of it, as somebody typed it.
Password = Annotated[
    str, Field(min_length=1, max_length=256, json_schema_extra={"format": "password"}), AfterValidator(_plain)
]
Scope = Annotated[str, Field(max_length=40), AfterValidator(_scope)]


class _WithPassword(Body):
    model_config = ConfigDict(str_strip_whitespace=False)


class Credentials(_WithPassword):
    """What somebody types to log in."""

    login: Name
    password: Password


class PasswordChange(_WithPassword):
    """One's own new password, and the old one."""

    current_password: Password
    new_password: Password


class NewPassword(_WithPassword):
    """A new password for somebody else."""

    new_password: Password


class NewUser(Body):
    """Somebody who may log in; the password is set by PUT /v1/users/{user_id}/password."""

    login: Login
    name: Name
    role: Role
    email: Email | None = Field(None, description="an identity provider's user is known by it at the first login")
    customer_id: Id | None = Field(None, description="whose things alone a `customer` sees")
    provider_id: Id | None = Field(None, description="whose cases alone a `technician` or `partner_manager` sees")
    technician_id: Id | None = Field(None, description="which technician it is; brings that one's partner with it")


class UserChange(Body):
    """What of a user may change; only what is given does."""

    name: Name | None = None
    email: Email | None = None
    role: Role | None = None
    customer_id: Id | None = None
    provider_id: Id | None = None
    technician_id: Id | None = None
    active: bool | None = Field(None, description="false ends all sessions at once")


class User(Answer):
    """Somebody who may log in."""

    user_id: int
    login: str
    name: str
    role: Role
    email: str | None
    customer_id: int | None
    provider_id: int | None
    technician_id: int | None
    active: bool
    has_password: bool
    oidc_subject: str | None
    created_at: datetime
    last_login_at: datetime | None
    version: int


class Me(Answer):
    """Who makes this call, and what it sees."""

    key: str = Field(description="`key:12` for an API key, `user:3` for somebody who logged in")
    name: str
    role: Role
    scopes: list[str] | None = Field(description="null: all that the role may")
    user_id: int | None
    customer_id: int | None
    provider_id: int | None
    technician_id: int | None


class Session(Answer):
    """A login; `token` goes into `Authorization: Bearer`."""

    token: str
    expires_at: datetime
    user: User


class OidcStart(Answer):
    """Where to send the browser; it keeps `browser_secret` to itself until it comes back."""

    authorization_url: str
    state: str
    browser_secret: str
    expires_at: datetime


class OidcFinish(Body):
    """What the browser came back with."""

    state: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_plain)]
    code: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_plain)]
    browser_secret: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_plain)]
    iss: Annotated[str, Field(max_length=1000), AfterValidator(_plain)] | None = None


class NewApiKey(Body):
    """Whom the key is for."""

    name: Name
    role: Role
    scopes: list[Scope] | None = Field(
        None, min_length=1, max_length=100, description="what of the role, e.g. `tickets:read`; all of it if left out"
    )
    expires_at: Time | None = None
    customer_id: Id | None = None
    provider_id: Id | None = None
    technician_id: Id | None = None


class ApiKey(Answer):
    """A key, without the key itself."""

    api_key_id: int
    name: str
    role: Role
    scopes: list[str] | None
    customer_id: int | None
    provider_id: int | None
    technician_id: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class CreatedApiKey(ApiKey):
    """A new key; `key` is shown this once."""

    key: str


class AuditLine(Answer):
    """One write: what was there before, and after; of an update only what changed."""

    audit_id: int
    at: datetime
    actor: str
    actor_key: str = Field(description="who that was without doubt: `user:3`, `key:12`; names repeat")
    request_id: str | None
    table_name: str
    action: Literal["insert", "update", "delete"]
    row_key: str
    ticket_id: int | None
    customer_id: int | None
    asset_id: int | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
