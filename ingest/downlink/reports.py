"""What agents say of configurations and commands, read from their messages; pure."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from careloop.contract.messages import AgentState, MessageError
from careloop.contract.remote import CommandResult, ConfigReport
from careloop.contract.topics import TopicError, parse_topic

# An even number of backslashes before it is text about an escape, not an escape; jsonb cannot hold the character.
_ZERO_CHARACTER = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class UnusableError(ValueError):
    """A message that cannot be read.

    Attributes:
        reason: Stable word for the dead letter.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


@dataclass(frozen=True)
class Heard:
    """An agent's own state.

    Attributes:
        agent_id: Whose.
        at: When it arrived.
        online: Whether it is there now: not said by its will, nor kept from before.
        report: Of its configuration; None where the state says nothing of it.
    """

    agent_id: str
    at: datetime
    online: bool
    report: ConfigReport | None


@dataclass(frozen=True)
class Finished:
    """A command's result.

    Attributes:
        agent_id: Whose.
        command_id: Of the command.
        result: What became of it.
    """

    agent_id: str
    command_id: UUID
    result: CommandResult


def read(topic: str, payload: bytes, at: datetime, *, retained: bool, most_bytes: int) -> Heard | Finished | None:
    """What a message says; None for what is not about an agent itself, or is the ingest's to judge.

    Args:
        topic: Its topic.
        payload: Its bytes.
        at: When it arrived.
        retained: Whether the broker had kept it from before.
        most_bytes: A larger payload is unusable.

    Raises:
        UnusableError: A result that cannot be read. States that cannot are ingest's dead letters, not ours.
    """
    try:
        agent_id, channel = parse_topic(topic)
    except TopicError as error:
        raise UnusableError("bad_topic", str(error)) from error
    if channel == "state":
        return _heard(agent_id, payload, at, retained=retained)
    if channel != "command/result":
        return None
    if len(payload) > most_bytes:
        raise UnusableError("too_large", f"{len(payload)} bytes; a result may have {most_bytes}")
    try:
        result = CommandResult.from_json(_parse(payload))
        return Finished(agent_id, UUID(result.command_id), result)
    except ValueError as error:
        raise UnusableError("malformed", str(error)) from error


def _heard(agent_id: str, payload: bytes, at: datetime, *, retained: bool) -> Heard | None:
    try:
        state = AgentState.from_json(_parse(payload))
        given = state.detail.get("config")
        report = None if given is None else ConfigReport.from_json(given)
    except ValueError:
        return None
    if "gateway" in state.detail:
        return None
    return Heard(agent_id, at, state.online and not retained, report)


def _parse(payload: bytes) -> Any:
    """Strict JSON: no NaN, no lone surrogates, and nothing that the database cannot hold."""
    if _ZERO_CHARACTER.search(payload):
        raise MessageError("the character U+0000 cannot be stored")
    return orjson.loads(payload)
