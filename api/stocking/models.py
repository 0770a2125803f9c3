"""Bodies and answers of forecasts, runs, proposals and idle stock."""

import math
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from api.conventions.models import Answer, Body, Currency, Id, Minor, Name, Time
from api.parts.models import Code, Sku
from api.stocking.rules import Idleness, ProposalKind, ProposalState

Chance = Annotated[float, Field(ge=0, le=1)]
Pieces = Annotated[float, Field(ge=0, le=10**9)]
ServiceLevel = Annotated[float, Field(ge=0.5, le=0.999, description="share of the pieces wanted that are there")]
Note = Annotated[str, Field(max_length=500)]

MOST_LINES = 1000


class NewForecast(Body):
    """A forecast whose lines follow."""

    method: Name
    as_of: Time | None = Field(None, description="what was known until then; now, if left out")
    review_days: Annotated[int, Field(ge=1, le=366, description="between two looks at the stock")] = 30


class Forecast(Answer):
    """What is foreseen; nothing is planned by it before it is complete."""

    forecast_id: int
    as_of: datetime
    method: str
    review_days: int
    lines: int
    created_at: datetime
    created_by: str
    completed_at: datetime | None
    scored_at: datetime | None


class NewLine(Body):
    """How many pieces of a part will be wanted at a warehouse until the next order has come."""

    sku: Sku
    warehouse: Code
    covered_days: Annotated[int, Field(ge=1, le=3660)]
    chance: Annotated[
        list[Chance], Field(min_length=1, max_length=1000, description="of 0, 1, 2 … pieces; the last: so many or more")
    ]
    from_history: Pieces = 0.0
    from_predictions: Pieces = 0.0
    from_plans: Pieces = 0.0

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = sum(self.chance)
        if not math.isclose(total, 1.0, abs_tol=1e-3):
            raise ValueError(f"the chances add up to {total:.4f}; they must make 1")
        return self


class NewLines(Body):
    """Lines of a forecast; one that is there already stays."""

    lines: Annotated[list[NewLine], Field(min_length=1, max_length=MOST_LINES)]


class Taken(Answer):
    """What became of lines."""

    taken: int
    there_already: int


class Line(Answer):
    """What is foreseen of a part at a warehouse, and what came of it."""

    line_id: int
    sku: str
    warehouse: str
    covered_days: int
    ends_at: datetime
    mean: float
    chance: list[float]
    enough_50: int
    enough_90: int
    enough_95: int
    from_history: float
    from_predictions: float
    from_plans: float
    used: int | None = Field(description="pieces used until its end; null before")


class Accuracy(Answer):
    """How good a forecast was, over its lines whose time has passed."""

    forecast_id: int
    as_of: datetime
    method: str
    lines: int
    foreseen: float
    used: int
    absolute_error: float | None
    pinball_50: float | None
    pinball_90: float | None
    pinball_95: float | None
    covered_90: float | None = Field(description="share of lines for which `enough_90` was enough")
    covered_95: float | None


class NewRun(Body):
    """What to keep, move and buy for how much money."""

    budget_minor: Minor
    currency: Currency = "EUR"
    service_level: ServiceLevel = 0.95
    forecast_id: Id | None = Field(None, description="the latest complete one, if left out")
    warehouse: Code | None = Field(None, description="only for this one")


class RunInList(Answer):
    """What came of a run."""

    run_id: int
    forecast_id: int
    warehouse: str | None
    service_level: float = Field(description="that was asked for")
    service_before: float = Field(description="expected with what is there")
    service_after: float = Field(description="expected with what is proposed")
    budget_minor: int
    spent_minor: int
    currency: str
    wanted: float
    short_before: float
    short_after: float
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """With the service levels worked out."""
        wanted = row["wanted"] or 1.0
        levels = {name: 1 - row[f"short_{name}"] / wanted for name in ("before", "after")}
        return cls(**row, service_before=levels["before"], service_after=levels["after"])


class CurvePoint(Answer):
    """So much money buys such a service level."""

    spent_minor: int
    service_level: float


class Run(RunInList):
    """A run with its curve."""

    curve: list[CurvePoint] = Field(description="beyond the budget, too")
    points_per_1000: float | None = Field(
        description="hundredths of service level that the last 1000 units of money of the budget bought"
    )
    left_out: dict[str, int] = Field(description="parts × warehouses that could not be considered, by the reason")
    proposals: dict[str, int] = Field(description="how many, by kind and state")


class Proposal(Answer):
    """Levels to set, pieces to move or to buy."""

    proposal_id: int
    run_id: int
    kind: ProposalKind
    sku: str
    warehouse: str
    origin: str | None = Field(serialization_alias="from")
    quantity: int | None
    min_quantity: int | None
    max_quantity: int | None
    min_before: int | None
    max_before: int | None
    cost_minor: int
    currency: str
    avoided: float = Field(description="expected pieces short that it avoids")
    reason: str
    state: ProposalState
    decided_by: str | None
    decided_at: datetime | None
    decision: str
    transfer_id: int | None
    purchase_line_id: int | None
    version: int


class Rejection(Body):
    """Why not."""

    reason: Name


class Acceptance(Body):
    """Accept what is still proposed of a run."""

    kinds: Annotated[tuple[ProposalKind, ...], Field(min_length=1)] = ("levels", "transfer", "purchase")
    most: Annotated[int, Field(ge=1, le=500)] = 200


class Accepted(Answer):
    """What came of accepting several."""

    accepted: list[int]
    refused: dict[int, str] = Field(description="by proposal, why it can't be done; it stays proposed")
    left: bool = Field(description="there may be more; ask again")


class Idle(Answer):
    """Stock that lies too long, or lasts too long."""

    kind: Idleness
    sku: str
    warehouse: str
    on_hand: int
    available: int
    stocked_at: datetime | None = Field(description="when it came in, on average")
    age_days: int | None
    last_used_at: datetime | None
    used_last_year: int
    cover_months: float | None
    max_quantity: int | None
    value_minor: int
    currency: str


class IdleSum(Answer):
    """Money in the stock of a warehouse."""

    kind: str = Field(description="dead, slow or moving")
    currency: str
    parts: int
    pieces: int
    value_minor: int
