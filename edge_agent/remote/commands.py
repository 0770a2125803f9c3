"""Commands by id, so that each is begun at most once; pure.

At most once, and never without an answer: `begin` is on disk before a command is executed, its result is stored in the
same transaction as `end`. A kill in between leaves it begun, and the next start answers `failed`, "interrupted",
instead of executing it again: what it did, nobody can know. An id is remembered until its command has long expired; a
message that comes later than that is refused as expired.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from careloop.contract.remote import Command, CommandResult

FORGET_AFTER_S = 86400.0
MOST_REMEMBERED = 1000
INTERRUPTED = "interrupted: the agent was killed during it, or the power failed; it is not executed again"


@dataclass(frozen=True)
class Entry:
    """A command that was begun.

    Attributes:
        expires_s: Unix time when it expires.
        ended: Whether its result is stored.
    """

    expires_s: float
    ended: bool = False


@dataclass
class CommandBook:
    """The commands that an agent has begun."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def __contains__(self, command_id: str) -> bool:
        return command_id in self.entries

    def refusal(self, command: Command, now: datetime) -> CommandResult | None:
        """The result of a command that is not to be begun; None when it is."""
        if command.expires_at <= now:
            reason = f"expired at {command.expires_at.isoformat()}; the agent's clock said {now.isoformat()}"
            return CommandResult(command.command_id, "expired", now, reason)
        if len(self.entries) >= MOST_REMEMBERED:
            return CommandResult(command.command_id, "refused", now, f"{MOST_REMEMBERED} commands have not expired yet")
        return None

    def begin(self, command: Command) -> None:
        """It will be executed, or answered, now; store the book before that is done."""
        self.entries[command.command_id] = Entry(command.expires_at.timestamp())

    def end(self, command_id: str) -> None:
        """Its result goes into the same transaction as the book."""
        self.entries[command_id] = Entry(self.entries[command_id].expires_s, ended=True)

    def interrupted(self, now: datetime) -> list[CommandResult]:
        """At a start: the results of those that a kill cut short; `end` each."""
        return [
            CommandResult(command_id, "failed", now, INTERRUPTED)
            for command_id, entry in self.entries.items()
            if not entry.ended
        ]

    def forget(self, now: datetime) -> None:
        """Drop those that expired long ago."""
        before_s = now.timestamp() - FORGET_AFTER_S
        self.entries = {
            command_id: entry
            for command_id, entry in self.entries.items()
            if not entry.ended or entry.expires_s > before_s
        }

    def to_text(self) -> str:
        """What `from_text` reads."""
        return json.dumps({name: [entry.expires_s, entry.ended] for name, entry in self.entries.items()})

    @classmethod
    def from_text(cls, text: str | None) -> "CommandBook":
        """What was stored; a book that cannot be read (a damaged disk) is an empty one."""
        try:
            stored: Mapping[str, tuple[float, bool]] = json.loads(text) if text else {}
            return cls({name: Entry(float(expires_s), bool(ended)) for name, (expires_s, ended) in stored.items()})
        except (ValueError, TypeError, AttributeError):
            return cls()
