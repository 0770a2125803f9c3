"""Bodies and answers of the completion audit."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from api.completion_audit.kinds.registry import KINDS
from api.completion_audit.rules import RuleVerdict, State, Verdict
from api.conventions.models import Answer, Body, Id, Name, Serial, Text
from api.visits.report_models import Diagnosis

Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Reason = Annotated[Text, Field(min_length=1)]
Names = Annotated[list[Name], Field(max_length=200)]
Words = Annotated[Text, Field(max_length=500)]

# Rules ----------------------------------------------------------------------------------------------


class Scope(Body):
    """Which visits a rule is about; what is left empty is no bound."""

    countries: Annotated[list[Annotated[str, Field(pattern="^[A-Z]{2}$")]], Field(max_length=200)] = Field(
        default_factory=list, description="of the site"
    )
    models: Names = Field(default_factory=list, description="codes of product models")
    job_kinds: Names = Field(default_factory=list, description="kinds of cases, or plan")
    provider_levels: Annotated[list[Annotated[Text, Field(max_length=32)]], Field(max_length=200)] = Field(
        default_factory=list, description="of the partner"
    )


class Rule(Body):
    """A rule: what to look for, in which visits, and what follows when it is found."""

    code: Code = Field(description="what findings and statistics call it; each once in a set")
    kind: Name = Field(description="what it looks for, `GET /v1/completion-audit/kinds`")
    parameters: dict[str, Any] = Field(default_factory=dict, max_length=20)
    verdict: RuleVerdict = Field(description="reject the visit, give it to a person, or note it only")
    if_unknown: Literal["ignore", "note", "manual"] = Field("ignore", description="when facts are missing")
    told: bool = Field(True, description="whether the partner reads what it has found")
    text: Words = Field("", description="what the partner reads instead of the kind's own words")
    scope: Scope = Field(default_factory=Scope)

    @model_validator(mode="after")
    def _known(self) -> Self:
        kind = KINDS.get(self.kind)
        if kind is None:
            raise ValueError(f"there is no kind {self.kind}; GET /v1/completion-audit/kinds lists them")
        try:
            parameters = kind.parameters.model_validate(self.parameters)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, one['loc'])) or 'parameters'}: {one['msg']}" for one in error.errors()
            )
            raise ValueError(f"the parameters of {self.kind} {self.code}: {faults}") from error
        # Whole, so that a default that changes one day does not change a rule.
        self.parameters = parameters.model_dump(mode="json")
        if self.verdict == "reject" and not self.told:
            raise ValueError(f"{self.code} rejects visits: its partner must be told why")
        return self


class Finding(Answer):
    """What a rule has found."""

    rule: str
    kind: str
    verdict: RuleVerdict
    message: str
    detail: dict[str, Any] = Field(default_factory=dict)
    unknown: bool = Field(False, description="facts were missing")
    told: bool = Field(True, description="whether the partner reads it")


class RuleCount(Answer):
    """How often a rule found something."""

    rule: str
    visits: int


# Checks ---------------------------------------------------------------------------------------------


class CheckHead(Answer):
    """Where the audit of a visit stands; partners see only the findings that are for them."""

    completion_check_id: int
    visit_id: int
    ticket_id: int | None
    serial: str
    provider_id: int
    technician_id: int
    completed_at: datetime
    state: State
    runs: int
    rule_set_version: int | None
    findings: list[Finding]
    checked_at: datetime | None
    claimed_by: str | None
    claimed_at: datetime | None
    decision: Literal["accepted", "refused"] | None
    decision_reason: str
    decided_by: str | None
    decided_at: datetime | None
    version: int


class Run(Answer):
    """Once that rules judged the visit, with what they saw; `facts` are for staff only."""

    number: int
    rule_set_id: int
    rule_set_version: int
    verdict: Verdict
    findings: list[Finding]
    facts: dict[str, Any] | None
    actor: str
    at: datetime


class Step(Answer):
    """What somebody did about it."""

    action: str
    from_state: State
    to_state: State
    reason: str
    content: dict[str, Any]
    actor: str
    at: datetime


class Check(CheckHead):
    """The audit of a visit with its history."""

    actions: list[str]
    history: list[Run] = Field(description="every run, the first first")
    steps: list[Step]


class NextCheck(Answer):
    """The check that was taken from the queue; null when there is none."""

    check: Check | None


class PartSerials(Body):
    """The serial number of a part that was fitted."""

    visit_part_id: Id
    serial_fitted: Serial


class Correction(Body):
    """What of the report is otherwise than reported; what is left out stays.

    The report that the customer signed is not rewritten: a correction stands beside it and counts for the audit.
    """

    reason: Reason
    serial_found: Serial | None = None
    diagnosis: Diagnosis | None = Field(None, description="only the levels given change")
    photos: Annotated[list[Id], Field(max_length=40)] = Field(default_factory=list, description="more photos: file_ids")
    in_warranty: bool | None = None
    warranty_note: Text | None = None
    signature_file_id: Id | None = None
    no_signature_reason: Text | None = None
    travel_minutes: Annotated[int, Field(ge=0, le=2880)] | None = None
    part_serials: Annotated[list[PartSerials], Field(max_length=50)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_dump(exclude={"reason"}, exclude_defaults=True):
            raise ValueError("corrects nothing; give what is otherwise")
        return self


class Because(Body):
    """Why somebody does something."""

    reason: Reason


class Assignment(Body):
    """To whom a check of the queue is given."""

    user_id: Id


class Recheck(Body):
    """By which rules to check again."""

    rules: Literal["then", "now"] = Field("then", description="those of the visit's completion, or those that hold now")


# Statistics -----------------------------------------------------------------------------------------


class Statistics(Answer):
    """How a partner's reports fare; of visits completed in the time asked about."""

    provider_id: int
    code: str
    name: str
    visits: int
    due: int = Field(description="not checked yet")
    passed_at_once: int = Field(description="the first run let them pass")
    pass_rate: float | None = Field(description="of those checked, three digits")
    rejected: int = Field(description="stand rejected now")
    manual: int = Field(description="wait for a person")
    accepted: int
    rejected_at_first: int
    manual_at_first: int
    top_reasons: list[RuleCount] = Field(description="the rules that most often kept the first run from passing")
