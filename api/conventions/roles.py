"""Roles, and who makes a call."""

from dataclasses import dataclass
from typing import Literal, get_args

Role = Literal[
    "admin", "desk_lead", "agent", "dispatcher", "technician", "partner_manager", "engineer", "customer", "service"
]
ROLES: tuple[Role, ...] = get_args(Role)

# Those who see all cases, and those in the field, who may see only those of their partner.
STAFF: tuple[Role, ...] = ("agent", "dispatcher", "engineer", "service")
FIELD: tuple[Role, ...] = ("technician", "partner_manager")


@dataclass(frozen=True)
class Principal:
    """Who makes a call.

    Attributes:
        key: `key:12` for an API key, `user:3` for somebody who logged in.
        name: The key's or the user's name, written wherever the caller changes something.
        role: What it may do.
        scopes: What of that, e.g. `tickets:read`; None for all of it.
        user_id: Who logged in; None for a key.
        customer_id: The customer whose things alone it sees.
        provider_id: The service partner whose cases alone it sees.
        technician_id: Which technician it is.
    """

    key: str
    name: str
    role: Role
    scopes: frozenset[str] | None = None
    user_id: int | None = None
    customer_id: int | None = None
    provider_id: int | None = None
    technician_id: int | None = None

    @property
    def scoped(self) -> bool:
        """Whether it sees a part only."""
        return self.customer_id is not None or self.provider_id is not None
