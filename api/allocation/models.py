"""Bodies and answers of demands for parts, of what was decided for them, and of plans of all demands."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, model_validator

from api.allocation.rules import DemandState, Kind, MadeBy
from api.conventions.models import Answer, Body, Count, Currency, Id, Name, Text, Time
from api.parts.models import Code, Sku

Days = Annotated[int, Field(ge=0, le=36_500)]
SmallMinor = Annotated[int, Field(ge=0, le=10**9, description="money in minor units")]


class NewDemand(Body):
    """A part that a case or a job needs."""

    ticket_id: Id | None = None
    job_id: Id | None = None
    sku: Sku
    quantity: Count = 1
    needed_by: Time | None = Field(None, description="when it is to be at the site; without, the case's own due date")
    to_warehouse: Code | None = Field(None, description="where it is to be; without, the warehouse at the site")
    strict: bool = Field(default=False, description="by that date or not at all")
    at_once: bool = Field(default=True, description="false: leave it to the nightly plan of all demands")

    @model_validator(mode="after")
    def _for_somebody(self) -> "NewDemand":
        if self.ticket_id is None and self.job_id is None:
            raise ValueError("give ticket_id or job_id: what needs the part?")
        return self


class OptionShown(Answer):
    """One way to meet a demand; all costs in minor units of the policy's currency."""

    kind: Kind
    sku: str = Field(description="what the customer gets")
    warehouse: str = Field(description="where it comes from; of a purchase where it is delivered to")
    to_warehouse: str | None = Field(description="where it is sent to first")
    quantity: int
    available_at: datetime = Field(description="when it can be at the site")
    freight_minor: int
    lateness_minor: int = Field(description="what coming later than needed costs")
    risk_minor: int = Field(description="expected cost of pieces missing where it is taken")
    age_credit_minor: int = Field(description="holding cost saved by using old stock; counts against the others")
    extra_minor: int = Field(description="ordering, taking a kit apart, a dearer part")
    total_minor: int
    reason: str


class UnfitShown(Answer):
    """Why somewhere is no option."""

    warehouse: str
    sku: str
    reason: str


class Decision(Answer):
    """What was decided for a demand, and everything it was chosen from."""

    at: datetime
    actor: str
    made_by: MadeBy = Field(description="for itself, by a plan of all demands, or because something moved")
    chosen: int | None = Field(description="place among the options, from 0; null when refused")
    reason: str
    promised_at: datetime | None
    options: list[OptionShown]
    refusals: list[UnfitShown]


class Demand(Answer):
    """A demand and its answer."""

    part_demand_id: int
    ticket_id: int | None
    job_id: int | None
    sku: str
    quantity: int
    needed_by: datetime
    priority: str
    strict: bool
    to_warehouse: str | None
    state: DemandState
    kind: Kind | None
    given_sku: str | None = Field(description="what the customer gets: an alternative may be another part")
    warehouse: str | None
    reservation_id: int | None
    transfer_id: int | None
    purchase_line_id: int | None
    total_minor: int | None
    reason: str
    promised_at: datetime | None = Field(description="when it can be at the site; refused, when at the earliest")
    arrived_at: datetime | None
    decided_at: datetime | None
    created_by: str
    created_at: datetime
    version: int


class DecidedDemand(Demand):
    """A demand with the last decision about it."""

    decision: Decision | None = Field(description="null before any, and for partners: it shows all warehouses")


class Cancellation(Body):
    """A demand is given up."""

    reason: Annotated[Text, Field(min_length=1)]


class Policy(Answer):
    """What counts how much in deciding; money in minor units of the currency."""

    currency: str
    late_low_minor: int
    late_normal_minor: int
    late_high_minor: int
    late_urgent_minor: int
    refusal_days: int
    holding_bp: int
    oldest_days: int
    shortage_minor: int
    service_level_bp: int
    freight_base_minor: int
    freight_kg_minor: int
    order_minor: int
    kit_minor: int
    alternative_minor: int
    version: int


class PolicyChange(Body):
    """What is to count differently; what is left out stays."""

    currency: Currency | None = None
    late_low_minor: SmallMinor | None = Field(None, description="a day late, for a case of this priority")
    late_normal_minor: SmallMinor | None = None
    late_high_minor: SmallMinor | None = None
    late_urgent_minor: SmallMinor | None = None
    refusal_days: Annotated[int, Field(ge=1, le=36_500)] | None = Field(None, description="a refusal counts as so late")
    holding_bp: Annotated[int, Field(ge=0, le=100_000)] | None = Field(
        None, description="holding a part for a year, in hundredths of a percent of its cost"
    )
    oldest_days: Days | None = None
    shortage_minor: SmallMinor | None = Field(None, description="a piece that is missing for somebody later")
    service_level_bp: Annotated[int, Field(ge=5000, le=9999)] | None = Field(
        None, description="how sure a warehouse's minimum is meant to make it"
    )
    freight_base_minor: SmallMinor | None = Field(None, description="where no lane is entered")
    freight_kg_minor: SmallMinor | None = None
    order_minor: SmallMinor | None = None
    kit_minor: SmallMinor | None = None
    alternative_minor: SmallMinor | None = None


class ShelfRef(Answer):
    """A part in a warehouse."""

    warehouse_id: int
    part_id: int


class TakeShown(Answer):
    """Pieces that an option takes from a shelf."""

    shelf: ShelfRef
    pieces: int


class LaneShown(Answer):
    """A way that shipments go."""

    from_warehouse_id: int
    to_warehouse_id: int


class PlanOption(Answer):
    """An option as careloop.allocation.model knows it."""

    kind: Kind
    part_id: int
    warehouse_id: int
    quantity: int
    available_at: datetime
    takes: list[TakeShown]
    lane: LaneShown | None
    freight_base_minor: int
    freight_minor: int
    lateness_minor: int
    age_credit_minor: int
    extra_minor: int
    reason: str


class PlanDemand(Answer):
    """A demand that can be planned anew, with its options."""

    demand_id: int
    needed_by: datetime
    options: list[PlanOption]
    refusal_minor: int
    priority: int


class ShelfShown(Answer):
    """What can be taken of a part in a warehouse, and what each piece risks."""

    key: ShelfRef
    available: int
    risk_minor: list[int]


class SnapshotShown(Answer):
    """All demand that can be planned anew, with what there is for it."""

    as_of: datetime
    currency: str
    demands: list[PlanDemand]
    shelves: list[ShelfShown]
    open_lanes: list[LaneShown]


class ChoiceGiven(Body):
    """What a plan chose for a demand."""

    demand_id: Id
    kind: Kind | None
    part_id: Id | None
    warehouse_id: Id | None
    reason: Annotated[Text, Field(min_length=1)]


class PlanGiven(Body):
    """A plan of all demands."""

    as_of: Time
    solver: Name
    cost_minor: Annotated[int, Field(ge=-(10**15), le=10**15)]
    greedy_cost_minor: Annotated[int, Field(ge=-(10**15), le=10**15)]
    bound_minor: Annotated[int, Field(ge=-(10**15), le=10**15)]
    choices: Annotated[list[ChoiceGiven], Field(max_length=5000)]


class ChoiceResult(Answer):
    """What became of a choice."""

    demand_id: int
    result: Annotated[str, Field(description="applied, kept (it was so already) or refused")]
    detail: str


class PlanResult(Answer):
    """What became of a plan."""

    applied: int
    kept: int
    refused: int
    results: list[ChoiceResult]
