"""What a kind of rule is, and what it can answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from api.completion_audit.facts import Facts


class Parameters(BaseModel):
    """The parameters of a kind; what is not declared is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Nothing(Parameters):
    """Of a kind that has none."""


@dataclass(frozen=True)
class Found:
    """Something that the rule looks for is there.

    Attributes:
        message: What it is, and what would put it in order, in words for the partner.
        detail: The figures behind it, for machines.
    """

    message: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unknown:
    """The rule cannot tell, because facts are missing.

    Attributes:
        message: Which.
    """

    message: str


Answer = Sequence[Found] | Unknown

Minutes = Annotated[int, Field(ge=0, le=100_000)]
Days = Annotated[int, Field(ge=0, le=3650)]
Factor = Annotated[float, Field(ge=0, le=100)]
Kilometres = Annotated[float, Field(ge=0, le=20_100)]

NONE: tuple[Found, ...] = ()


@dataclass(frozen=True)
class Kind:
    """A kind of rule.

    Attributes:
        name: What rules call it.
        looks_for: One line for whoever writes rules.
        parameters: Their model.
        look: The rule itself; pure.
    """

    name: str
    looks_for: str
    parameters: type[Parameters]
    look: Callable[[Facts, Any], Answer]
