"""Roles, and who makes a call."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["admin", "desk", "dispatcher", "technician", "service"]


@dataclass(frozen=True)
class Principal:
    """Who makes a call.

    Attributes:
        api_key_id: Number of the API key.
        name: Its name, written wherever the caller changes something.
        role: What it may do.
    """

    api_key_id: int
    name: str
    role: Role
