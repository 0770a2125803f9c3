"""What an agent says of itself when it comes online: what it runs on, and what it can do."""

from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, get_args

from pydantic import BaseModel

from careloop.contract.remote import CommandKind
from edge_agent.config import EdgeConfig
from edge_agent.rules import AnyRule
from edge_agent.sources.kinds import KINDS


def birth(config: EdgeConfig, started_at: datetime) -> dict[str, Any]:
    """Part of the detail of the agent's own state.

    Args:
        config: What it was started with; its hash tells whether two agents were started with the same.
        started_at: When.
    """
    return {
        "started_at": started_at.astimezone(UTC).isoformat(timespec="seconds"),
        "config_hash": blake2b(config.model_dump_json().encode(), digest_size=8).hexdigest(),
        "capabilities": {
            "sources": _kinds(kind.config for kind in KINDS),
            "rules": _kinds(get_args(get_args(AnyRule)[0])),
            "commands": list(get_args(CommandKind)),
            "confirm": config.broker.confirm,
        },
    }


def _kinds(models: Iterable[type[BaseModel]]) -> list[str]:
    """The words that choose between models, each the only value of its model's `kind`."""
    return [str(get_args(model.model_fields["kind"].annotation)[0]) for model in models]
