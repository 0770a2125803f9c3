"""What the platform tells an agent, and what the agent answers: desired configuration and commands.

Platform to agent: `DesiredConfig` (retained on `config`) and `Command` (on `command`, with a message expiry). Agent to
platform: `ConfigReport` (in its state's detail, as `config`) and `CommandResult` (on `command/result`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast, get_args

from careloop.contract.messages import MessageError

CommandKind = Literal["self_test", "set_interval", "upload_log"]
# `failed` is also what a command is that a kill interrupted: it is never executed a second time.
ResultStatus = Literal["done", "failed", "refused", "expired"]
ConfigStatus = Literal["applied", "refused", "rolled_back"]

CONTENT_TYPE = "application/json"
LARGEST_LOG_BYTES = 128 * 1024
LONGEST_REASON = 1000


@dataclass(frozen=True)
class DesiredConfig:
    """How an agent should be configured, over its own file.

    Attributes:
        version: Counts the changes, from 1.
        hash: Of the settings, as the platform made it; the agent repeats it and never computes it.
        settings: The remotely settable part: `sources`, `rules`, `batching`, `buffer`, `log_level`.
    """

    version: int
    hash: str
    settings: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The configuration as it goes on the wire."""
        return {"version": self.version, "hash": self.hash, "settings": dict(self.settings)}

    @classmethod
    def from_json(cls, message: object) -> "DesiredConfig":
        """Parse a desired configuration; unknown fields are ignored.

        Raises:
            MessageError: A field is missing or wrong.
        """
        if not isinstance(message, Mapping):
            raise MessageError("a desired configuration is an object with version, hash and settings")
        settings = message.get("settings")
        if not isinstance(settings, Mapping):
            raise MessageError("settings must be an object")
        return cls(_version(message.get("version"), least=1), _text(message, "hash", 128), settings)


@dataclass(frozen=True)
class ConfigReport:
    """What became of the desired configuration that the agent saw last.

    Attributes:
        version: Of that configuration; 0 when it has seen none.
        status: Whether it is in force. `applied` may still become `rolled_back` until it is `proved`.
        reason: Why it was refused or rolled back, naming the field.
        hash: Of the settings in force; empty when only the agent's own file is.
        proved: Whether the probation of what is in force is over.
    """

    version: int = 0
    status: ConfigStatus = "applied"
    reason: str = ""
    hash: str = ""
    proved: bool = True

    def to_json(self) -> dict[str, Any]:
        """The report as it stands in a state's detail."""
        return {
            "version": self.version,
            "status": self.status,
            "reason": self.reason,
            "hash": self.hash,
            "proved": self.proved,
        }

    @classmethod
    def from_json(cls, message: object) -> "ConfigReport":
        """Parse a report; unknown fields are ignored.

        Raises:
            MessageError: A field is missing or wrong.
        """
        if not isinstance(message, Mapping):
            raise MessageError("config must be an object with version and status")
        proved = message.get("proved", True)
        if not isinstance(proved, bool):
            raise MessageError("proved must be true or false")
        return cls(
            _version(message.get("version"), least=0),
            cast(ConfigStatus, _one_of(message, "status", get_args(ConfigStatus))),
            _text(message, "reason", LONGEST_REASON),
            _text(message, "hash", 128),
            proved,
        )


@dataclass(frozen=True)
class Command:
    """Something to do once.

    Attributes:
        command_id: Tells it from every other; an agent executes each id at most once.
        kind: What to do; text, since a newer platform may know more kinds than the agent, which then refuses.
        arguments: How, e.g. `{"source": "plc", "interval_s": 5}`.
        expires_at: Not to be begun from then on, UTC.
    """

    command_id: str
    kind: str
    expires_at: datetime
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The command as it goes on the wire."""
        return {
            "command_id": self.command_id,
            "kind": self.kind,
            "arguments": dict(self.arguments),
            "expires_at": self.expires_at.astimezone(UTC).isoformat(),
        }

    @classmethod
    def from_json(cls, message: object) -> "Command":
        """Parse a command; unknown fields are ignored.

        Raises:
            MessageError: A field is missing or wrong.
        """
        if not isinstance(message, Mapping):
            raise MessageError("a command is an object with command_id, kind, arguments and expires_at")
        arguments = message.get("arguments", {})
        if not isinstance(arguments, Mapping):
            raise MessageError("arguments must be an object")
        command_id, kind = _text(message, "command_id", 64), _text(message, "kind", 64)
        if not command_id or not kind:
            raise MessageError("command_id and kind must be texts of 1-64 characters")
        return cls(command_id, kind, _time(message, "expires_at"), arguments)


@dataclass(frozen=True)
class CommandResult:
    """What became of a command.

    Attributes:
        command_id: Whose.
        status: How it ended.
        finished_at: By the agent's clock, UTC.
        reason: Why it was not done.
        output: What it brought.
    """

    command_id: str
    status: ResultStatus
    finished_at: datetime
    reason: str = ""
    output: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The result as it goes on the wire."""
        return {
            "command_id": self.command_id,
            "status": self.status,
            "finished_at": self.finished_at.astimezone(UTC).isoformat(),
            "reason": self.reason,
            "output": dict(self.output),
        }

    @classmethod
    def from_json(cls, message: object) -> "CommandResult":
        """Parse a result; unknown fields are ignored.

        Raises:
            MessageError: A field is missing or wrong.
        """
        if not isinstance(message, Mapping):
            raise MessageError("a result is an object with command_id, status and finished_at")
        output = message.get("output", {})
        if not isinstance(output, Mapping):
            raise MessageError("output must be an object")
        return cls(
            _text(message, "command_id", 64),
            cast(ResultStatus, _one_of(message, "status", get_args(ResultStatus))),
            _time(message, "finished_at"),
            _text(message, "reason", LONGEST_REASON),
            output,
        )


def _text(message: Mapping[str, Any], name: str, longest: int) -> str:
    given = message.get(name, "")
    if not isinstance(given, str) or len(given) > longest:
        raise MessageError(f"{name} must be a text of at most {longest} characters")
    return given


def _one_of(message: Mapping[str, Any], name: str, known: tuple[str, ...]) -> str:
    given = message.get(name)
    if given not in known:
        raise MessageError(f"{name} must be one of {', '.join(known)}")
    return str(given)


def _version(given: object, *, least: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given < 2**31:
        raise MessageError(f"version must be a whole number from {least} up")
    return given


def _time(message: Mapping[str, Any], name: str) -> datetime:
    given = message.get(name)
    try:
        time = datetime.fromisoformat(given) if isinstance(given, str) else None
        if time is not None and time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise MessageError(f"{name} {given!r} is not RFC 3339") from error
    raise MessageError(f"{name} must be an RFC 3339 time with an offset")
