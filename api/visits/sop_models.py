"""Bodies and answers of procedures and of the fault catalogue."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from api.conventions.models import Answer, Body, Name, Text
from api.visits.rules import StepKind

ItemCode = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Limit = Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
Level = Literal["symptom", "fault", "cause", "remedy"]
JobKind = Literal[
    "preventive", "repair", "complaint", "consultation", "installation", "return", "exchange", "recall", "plan"
]
PARENT_OF: dict[str, str | None] = {"symptom": None, "fault": "symptom", "cause": "fault", "remedy": "cause"}


class Tip(Body):
    """What to read before work."""

    code: ItemCode
    text: Annotated[Text, Field(min_length=1)]


class Limited(Body):
    """What can be measured, and between which limits it must lie."""

    code: ItemCode
    text: Annotated[Text, Field(min_length=1)]
    unit: Annotated[Text, Field(max_length=32)] = ""
    minimum: Limit | None = None
    maximum: Limit | None = None

    @field_validator("maximum")
    @classmethod
    def _in_order(cls, maximum: float | None, others: ValidationInfo) -> float | None:
        minimum = others.data.get("minimum")
        if maximum is not None and minimum is not None and maximum < minimum:
            raise ValueError("must not be below minimum")
        return maximum


class Check(Limited):
    """What must be in order on site before work: passed, failed, or not applicable where that is allowed."""

    photo: bool = Field(False, description="passes only with a photo")
    optional: bool = Field(False, description="may be not applicable")


class Step(Limited):
    """What to do: tick it, enter a value, take a photo or choose."""

    kind: StepKind = "tick"
    mandatory: bool = True
    choices: Annotated[list[Name], Field(max_length=50)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Step":
        if (self.kind == "choice") != bool(self.choices):
            raise ValueError("choices: a step of kind choice has some, any other has none")
        if self.kind != "value" and (self.minimum is not None or self.maximum is not None):
            raise ValueError("minimum, maximum: are limits of a value")
        return self


class NewSop(Body):
    """A procedure, or the next version of it: POST with the code of one that is there makes that."""

    code: ItemCode
    title: Name
    model: Name | None = Field(None, description="code of the product model it is for; left out, any")
    product_kind: Name | None = None
    job_kind: JobKind | None = None
    tips: Annotated[list[Tip], Field(max_length=50)] = Field(default_factory=list)
    checks: Annotated[list[Check], Field(max_length=100)] = Field(default_factory=list)
    steps: Annotated[list[Step], Field(max_length=300)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _codes_once(self) -> "NewSop":
        for what, items in (("tips", self.tips), ("checks", self.checks), ("steps", self.steps)):
            codes = [item.code for item in items]
            twice = sorted({code for code in codes if codes.count(code) > 1})
            if twice:
                raise ValueError(f"{what}: {', '.join(twice)} stands twice")
        return self


class Sop(Answer):
    """A version of a procedure; it never changes."""

    sop_id: int
    code: str
    version: int
    title: str
    model: str | None
    product_kind: str | None
    job_kind: str | None
    tips: list[Tip]
    checks: list[Check]
    steps: list[Step]
    made_by: str
    made_at: datetime
    superseded_at: datetime | None


class NewFaultCode(Body):
    """An entry of the fault catalogue of a product kind; below a symptom its faults, their causes, their remedies."""

    product_kind: Name
    code: ItemCode
    level: Level
    parent: ItemCode | None = Field(None, description="code of the entry one level above; a symptom has none")
    text: Annotated[Text, Field(min_length=1)]


class FaultCodeChange(Body):
    """What of an entry may change; old reports keep what they said."""

    text: Annotated[Text, Field(min_length=1)] | None = None
    active: bool | None = None


class FaultCode(Answer):
    """An entry of the fault catalogue."""

    fault_code_id: int
    product_kind: str
    code: str
    level: str
    parent: str | None
    text: str
    active: bool
    version: int
