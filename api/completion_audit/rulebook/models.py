"""Bodies and answers of rule sets and trials."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from api.completion_audit.models import Rule, RuleCount
from api.completion_audit.rules import SetState, State, Verdict
from api.conventions.models import Answer, Body, Id, Name, Text, Time

# Rule sets ------------------------------------------------------------------------------------------


def _each_once(rules: list[Rule]) -> list[Rule]:
    codes = [rule.code for rule in rules]
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise ValueError(f"has twice: {', '.join(twice)}")
    return rules


Rules = Annotated[list[Rule], Field(max_length=200)]


class NewRuleSet(Body):
    """A draft; with `copy_of`, that set's rules to begin with."""

    name: Name
    note: Text = ""
    copy_of: Id | None = Field(None, description="a rule set's number (rule_set_id); leave out rules then")
    rules: Rules | None = None

    @field_validator("rules")
    @classmethod
    def _once(cls, rules: list[Rule] | None) -> list[Rule] | None:
        return None if rules is None else _each_once(rules)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.copy_of is None) == (self.rules is None):
            raise ValueError("give rules or copy_of, and not both")
        return self


class RuleSetChange(Body):
    """What of a draft may change; only what is given does. `rules` replaces all of them."""

    name: Name | None = None
    note: Text | None = None
    rules: Rules | None = None

    @field_validator("rules")
    @classmethod
    def _once(cls, rules: list[Rule] | None) -> list[Rule] | None:
        return None if rules is None else _each_once(rules)


class Activation(Body):
    """From when a draft judges visits."""

    active_from: Time | None = Field(None, description="not in the past; now if left out")


class RuleSetHead(Answer):
    """A rule set without its rules."""

    rule_set_id: int
    number: int = Field(description="1, 2, 3 …: `rule_set_version` of checks")
    name: str
    note: str
    state: SetState
    active_from: datetime | None = Field(description="visits completed from then on are judged by it")
    created_at: datetime
    created_by: str
    activated_by: str | None
    retired_at: datetime | None
    version: int


class RuleSet(RuleSetHead):
    """A rule set."""

    rules: list[Rule]


class KindShown(Answer):
    """A kind of rule, with the JSON Schema of its parameters."""

    name: str
    looks_for: str
    parameters: dict[str, Any]


# Trials ---------------------------------------------------------------------------------------------


class NewTrial(Body):
    """Past visits to try a rule set on."""

    since: Time = Field(description="visits whose appointment began from then on")
    until: Time
    provider_id: Id | None = None
    sample: Annotated[int, Field(ge=1, le=2000)] = Field(500, description="at most so many, by chance")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.until <= self.since:
            raise ValueError("until must be after since")
        return self


class Counts(Answer):
    """How many visits end how."""

    passed: int
    rejected: int
    manual: int


class Difference(Answer):
    """A visit of which the two sets say something else."""

    visit_id: int
    state: State | None = Field(description="of its check; null where it was never checked")
    recorded: Verdict | None = Field(description="what its latest run said")
    against: Verdict
    tried: Verdict
    against_reasons: list[str] = Field(description="codes of the other set's rules that keep it from passing")
    tried_reasons: list[str]


class TrialOutcome(Answer):
    """What a trial has shown."""

    tried: Counts
    against: Counts
    moves: dict[str, int] = Field(description="how many go from what to what, e.g. passed>rejected")
    tried_rules: list[RuleCount]
    against_rules: list[RuleCount]
    differences: list[Difference] = Field(description="at most 500, by number of the visit")
    overruled: int = Field(description="visits that a person accepted and the tried set would reject")


class Trial(Answer):
    """A rule set tried on past visits."""

    completion_trial_id: int
    rule_set_id: int
    against_id: int | None = Field(description="the set that held at the time of the trial")
    since: datetime
    until: datetime
    provider_id: int | None
    found: int = Field(description="completed visits of partners in that time")
    judged: int
    outcome: TrialOutcome
    actor: str
    at: datetime
