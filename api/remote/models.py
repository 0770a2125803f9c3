"""Bodies and answers about agents."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from api.conventions.models import Answer, Body, Name

CommandState = Literal["queued", "sent", "done", "failed", "refused", "expired"]
ConfigState = Literal["pending", "applied", "refused", "rolled_back"]
IntervalSeconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
ExpiresIn = Annotated[
    float, Field(ge=1, le=7 * 86400, allow_inf_nan=False, description="not to be begun after so many seconds")
]


class Settings(Body):
    """The remotely settable part of an agent's configuration; the agent judges what is inside each section.

    What is left out is as in the agent's own file; `{}` takes everything back.
    """

    sources: dict[Name, dict[str, Any]] = Field({}, description='by name of a source: {"interval_s": seconds}')
    rules: list[dict[str, Any]] = Field([], max_length=1000, description="all `[[rules]]`, instead of the file's")
    batching: dict[str, Any] = Field({}, description="fields of `[batching]`")
    buffer: dict[str, Any] = Field({}, description="the bounds among the fields of `[buffer]`")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class NewConfig(Body):
    """How an agent should be configured."""

    settings: Settings


class ConfigReport(Answer):
    """What the agent said of the configuration that it saw last.

    Attributes:
        version: Of that configuration; 0 when it has seen none.
        status: Whether it is in force.
        proved: Whether its probation is over; `applied` may become `rolled_back` until then.
        reason: Why it was refused or rolled back, naming the field.
        hash: Of the settings in force; empty when only the agent's own file is.
        since: When that was first reported.
    """

    version: int
    status: Literal["applied", "refused", "rolled_back"]
    proved: bool
    reason: str
    hash: str
    since: datetime


class Config(Answer):
    """An agent's desired configuration, and what became of it; `pending` until the agent has seen this version."""

    agent_id: str
    version: int
    settings: dict[str, Any]
    hash: str
    changed_at: datetime
    changed_by: str
    state: ConfigState
    sent_at: datetime | None
    reported: ConfigReport | None


class Agent(Answer):
    """An agent, as it reports itself; `detail` is in its own words."""

    agent_id: str
    online: bool
    version: str
    config_version: int
    config_hash: str
    last_seen: datetime
    detail: dict[str, Any]


class NoArguments(Body):
    """None."""


class IntervalArguments(Body):
    """Which source is to be read how often; for how long, or else until the next configuration."""

    source: Name
    interval_s: IntervalSeconds
    for_s: Annotated[float, Field(ge=1, le=30 * 86400, allow_inf_nan=False)] | None = None


class LogArguments(Body):
    """How much of the log's end is wanted."""

    kilobytes: Annotated[int, Field(ge=1, le=128)] = 64


class NewSelfTest(Body):
    """Read every source once, look at buffer, disk and clock, and time the way to the broker and back."""

    kind: Literal["self_test"]
    arguments: NoArguments = NoArguments()
    expires_in_s: ExpiresIn = 3600


class NewInterval(Body):
    """Read a source more or less often."""

    kind: Literal["set_interval"]
    arguments: IntervalArguments
    expires_in_s: ExpiresIn = 3600


class NewLogUpload(Body):
    """Send the end of the agent's log."""

    kind: Literal["upload_log"]
    arguments: LogArguments = LogArguments()
    expires_in_s: ExpiresIn = 3600


NewCommand = Annotated[NewSelfTest | NewInterval | NewLogUpload, Field(discriminator="kind")]


class CommandSummary(Answer):
    """A command, without what it brought."""

    command_id: UUID
    agent_id: str
    kind: Literal["self_test", "set_interval", "upload_log"]
    arguments: dict[str, Any]
    issued_at: datetime
    issued_by: str
    expires_at: datetime
    state: CommandState
    sent_at: datetime | None
    finished_at: datetime | None
    reason: str


class Command(CommandSummary):
    """A command, with what it brought."""

    output: dict[str, Any]
