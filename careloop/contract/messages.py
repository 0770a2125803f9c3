"""The messages that are not telemetry: events, and the retained state of an agent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

Severity = Literal["info", "warning", "error", "critical"]


class MessageError(ValueError):
    """The message breaks the contract; the text names the field."""


@dataclass(frozen=True)
class Event:
    """Something a machine reports once: an error code, a usage milestone.

    Attributes:
        time: When it happened, UTC.
        code: The machine's own code, e.g. `E04` or `error1`.
        severity: How bad the machine thinks it is.
        detail: Whatever else it says.
    """

    time: datetime
    code: str
    severity: Severity = "warning"
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The event as it goes on the wire."""
        return {
            "time": self.time.astimezone(UTC).isoformat(),
            "code": self.code,
            "severity": self.severity,
            "detail": dict(self.detail),
        }

    @classmethod
    def from_json(cls, message: object) -> "Event":
        """Parse one event; unknown fields are ignored.

        Raises:
            MessageError: A field is missing or wrong.
        """
        if not isinstance(message, Mapping):
            raise MessageError("an event is an object with time, code, severity and detail")
        code = message.get("code")
        if not isinstance(code, str) or not 1 <= len(code) <= 128 or not code.isprintable():
            raise MessageError("code must be a text of 1-128 printable characters")
        severity = message.get("severity", "warning")
        if severity not in get_args(Severity):
            raise MessageError(f"severity must be one of {', '.join(get_args(Severity))}")
        detail = message.get("detail", {})
        if not isinstance(detail, Mapping):
            raise MessageError("detail must be an object")
        return cls(_time(message.get("time")), code, severity, detail)


@dataclass(frozen=True)
class AgentState:
    """Retained: whether the agent of an asset is online, and what it is. The last will says offline."""

    online: bool
    agent_version: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The state as it goes on the wire."""
        return {"online": self.online, "agent_version": self.agent_version, "detail": dict(self.detail)}

    @classmethod
    def from_json(cls, message: object) -> "AgentState":
        """Parse a state message; unknown fields are ignored.

        Raises:
            MessageError: A field is missing or wrong.
        """
        if not isinstance(message, Mapping) or not isinstance(message.get("online"), bool):
            raise MessageError("a state is an object whose online is true or false")
        version = message.get("agent_version", "")
        detail = message.get("detail", {})
        if not isinstance(version, str) or not isinstance(detail, Mapping):
            raise MessageError("agent_version must be a text and detail an object")
        return cls(message["online"], version, detail)


def _time(given: object) -> datetime:
    if isinstance(given, int | float) and not isinstance(given, bool):
        try:
            return datetime.fromtimestamp(given, UTC)
        except (OverflowError, OSError, ValueError) as error:
            raise MessageError(f"time {given!r} is out of range") from error
    if isinstance(given, str):
        try:
            time = datetime.fromisoformat(given)
        except ValueError as error:
            raise MessageError(f"time {given[:40]!r} is not RFC 3339") from error
        if time.tzinfo is None:
            raise MessageError(f"time {given!r} has no offset")
        try:
            return time.astimezone(UTC)
        except OverflowError as error:
            raise MessageError(f"time {given!r} is out of range") from error
    raise MessageError("time must be an RFC 3339 text or Unix seconds")
