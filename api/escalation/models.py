"""Bodies and answers of ladders and escalations."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from api.conventions.models import Answer, Body, Id, Name, Text
from api.conventions.roles import Role
from api.escalation.rules import Decider, Decision, Occasion, Step
from api.sla.rules import ClockKind

State = Literal["open", "decided", "lapsed"]
Words = Annotated[list[Name], Field(min_length=1, max_length=50)]


class LadderStep(Body):
    """A step: what sets it going, and what is done then."""

    on: Occasion = Field(description="a clock warns, its target has passed, or a case came back")
    clock: ClockKind | None = Field(None, description="of which clock; any if left out")
    after_minutes: Annotated[int, Field(ge=0, le=100_000)] = Field(
        0, description="business minutes after that; plain ones for a case that came back"
    )
    reopened_count: Annotated[int, Field(ge=1, le=100)] = 1
    role: Role | None = Field(None, description="who hears of it, and is to decide from then on")
    user_id: Id | None = Field(None, description="the user who is to decide, in particular")
    tell_provider: bool = Field(False, description="whether the case's service partner hears of it")
    raise_priority: bool = False
    owner_user_id: Id | None = Field(None, description="whose the case becomes")
    queue: Name | None = Field(None, description="where the case goes")

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        acts = (self.role, self.user_id, self.owner_user_id, self.queue)
        if all(act is None for act in acts) and not self.tell_provider and not self.raise_priority:
            raise ValueError("does nothing; name a role, a user, a queue, an owner, tell_provider or raise_priority")
        return self

    @property
    def step(self) -> Step:
        """As the rules know it."""
        return Step(**self.model_dump())


class LadderChange(Body):
    """What of a ladder may change; escalations that are open keep their steps."""

    name: Name = ""
    place: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    active: bool = True
    kinds: Words | None = None
    priorities: Words | None = None
    queues: Words | None = None
    steps: Annotated[list[LadderStep], Field(min_length=1, max_length=20)] = Field(default=[])


class NewLadder(LadderChange):
    """Steps for some cases; of all ladders the first, by place, that fits a case and has such steps holds."""

    name: Name
    steps: Annotated[list[LadderStep], Field(min_length=1, max_length=20)]


class EscalationLadder(Answer):
    """Steps for some cases."""

    ladder_id: int
    name: str
    place: int
    active: bool
    kinds: list[str] | None
    priorities: list[str] | None
    queues: list[str] | None
    steps: list[LadderStep]
    version: int


class NewDecision(Body):
    """What was decided, which ends an escalation."""

    decision: Decision
    text: Annotated[Text, Field(min_length=1)] = Field(description="in words, for whoever works on the case")


class NewEscalation(Body):
    """Somebody has to decide about a case, whatever its clocks say."""

    role: Decider = Field("desk_lead", description="who is to decide")
    reason: Annotated[Text, Field(min_length=1)] = Field(description="why, for whoever decides")


class GoneStep(Answer):
    """A step that was gone."""

    step: int
    at: datetime
    done: list[str]


class Escalation(Answer):
    """A case that somebody must decide about."""

    escalation_id: int
    ticket_id: int
    title: str
    priority: str
    ticket_state: str
    ladder: str | None = Field(description="whose steps it goes; null when it was opened by hand")
    cause: str = Field(examples=["clock:solution", "reopened:2", "by_hand:1"])
    state: State
    steps: list[LadderStep]
    steps_gone: int
    next_at: datetime | None = Field(description="when the next step is due, where that is known")
    role: Role | None = Field(description="who is to decide")
    user_id: int | None
    opened_at: datetime
    opened_by: str | None = Field(description="who opened it by hand")
    opened_because: str | None = Field(description="why it was opened by hand")
    decision: Decision | None
    text: str | None
    decided_by: str | None
    ended_at: datetime | None
    version: int


class EscalationWithSteps(Escalation):
    """An escalation with the steps that were gone."""

    gone: list[GoneStep]


def stored(step: Step) -> dict[str, object]:
    """A step as it is kept in JSON."""
    return asdict(step)
