"""How keys and tokens are made, who may make whom, and what a role must be tied to."""

import re
import secrets
from collections.abc import Mapping
from typing import get_args

from api.conventions.roles import ROLES, Role

PREFIX = "ck_"
SESSION_PREFIX = "cs_"

# Which roles' users somebody may make, change and let in again. Nobody raises others above what is entrusted to them.
GRANTS: Mapping[Role, frozenset[Role]] = {
    "admin": frozenset(ROLES),
    "desk_lead": frozenset({"agent", "dispatcher", "technician", "partner_manager", "customer"}),
    "agent": frozenset({"customer"}),
    "partner_manager": frozenset({"technician", "partner_manager"}),
}

# Roles that an identity provider's claim may give: those that see all cases and are tied to nobody.
BY_CLAIM: tuple[Role, ...] = ("admin", "desk_lead", "agent", "dispatcher", "engineer")

_SCOPE = re.compile(r"[a-z][a-z-]{0,31}:(?:read|write)")


def new_key() -> str:
    """A key of 256 random bits, recognisable in a leak by its prefix."""
    return PREFIX + secrets.token_urlsafe(32)


def new_session_token() -> str:
    """A session's token of 256 random bits."""
    return SESSION_PREFIX + secrets.token_urlsafe(32)


def may_grant(role: Role, wanted: Role) -> bool:
    """Whether a role may make, change or let in users of a role.

    >>> may_grant("desk_lead", "agent"), may_grant("desk_lead", "admin"), may_grant("technician", "technician")
    (True, False, False)
    """
    return wanted in GRANTS.get(role, frozenset())


def misfit(
    role: Role, customer_id: int | None, provider_id: int | None, technician_id: int | None
) -> tuple[str, str] | None:
    """What does not fit between a role and whom it is tied to: the field and what is wrong, if anything.

    >>> misfit("customer", None, None, None)
    ('customer_id', 'a customer must be tied to a customer')
    >>> misfit("agent", None, 3, None)
    ('provider_id', 'only a technician or a partner manager belongs to a partner')
    """
    if role == "customer" and customer_id is None:
        return "customer_id", "a customer must be tied to a customer"
    if role != "customer" and customer_id is not None:
        return "customer_id", "only the role customer is tied to a customer"
    if role == "partner_manager" and provider_id is None:
        return "provider_id", "a partner manager must belong to a partner"
    if role not in {"technician", "partner_manager"} and provider_id is not None:
        return "provider_id", "only a technician or a partner manager belongs to a partner"
    if role != "technician" and technician_id is not None:
        return "technician_id", "only the role technician is tied to a technician"
    return None


def is_scope(text: str) -> bool:
    """Whether a text has a scope's form.

    >>> is_scope("tickets:read"), is_scope("tickets"), is_scope("api-keys:write")
    (True, False, True)
    """
    return _SCOPE.fullmatch(text) is not None


def read_role_claims(text: str) -> dict[str, Role]:
    """What a setting `value=role,value=role` says, strongest role first, as it stands there.

    Raises:
        ValueError: It does not say it in this form, or names a role that no claim may give.

    >>> read_role_claims("Careloop-Admins=admin, desk=agent")
    {'Careloop-Admins': 'admin', 'desk': 'agent'}
    """
    claims: dict[str, Role] = {}
    for item in (part.strip() for part in text.split(",")):
        if not item:
            continue
        value, _, role = item.rpartition("=")
        if not value or role not in get_args(Role) or role not in BY_CLAIM:
            raise ValueError(f"{item!r} is not VALUE=ROLE with a role of: {', '.join(BY_CLAIM)}")
        claims[value] = role
    return claims
