"""What the rules see of a completed visit: numbers and codes, no person's words; frozen with each run."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    """A part of the facts."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Times(Fact):
    """When what happened, by our clock."""

    opened_at: datetime | None
    starts_at: datetime
    ends_at: datetime
    departed_at: datetime | None
    checked_in_at: datetime | None
    work_began_at: datetime | None
    checked_out_at: datetime | None
    completed_at: datetime

    @property
    def on_site_minutes(self) -> float | None:
        """From check-in to check-out."""
        if self.checked_in_at is None or self.checked_out_at is None:
            return None
        return (self.checked_out_at - self.checked_in_at).total_seconds() / 60


class Devices(Fact):
    """What is known of the devices that told of it.

    Attributes:
        clock_off_s: How far the clock that was off most was off, either way; None when none told its time.
        told_late_s: The longest time that something told took to arrive; 0 when nothing was told.
        after_the_end: Entries that arrived when the visit was over.
        check_in_km: From the place of the check-in to the site; None when either is not known.
    """

    clock_off_s: float | None
    told_late_s: float
    after_the_end: int
    check_in_km: float | None


class Report(Fact):
    """The completion report, as it is with the partner's corrections.

    Attributes:
        warranty_noted: Why the maker bears it, or not, against the warranty's answer, is told.
        photos: How many photos the report has, with those of the procedure's steps.
        unsigned_noted: Why there is no signature is told.
        corrected: Fields that differ from what was reported first.
    """

    serial_found: str | None
    symptom: str | None
    fault: str | None
    cause: str | None
    remedy: str | None
    solved: bool | None
    outcome: str | None
    in_warranty: bool | None
    warranty_noted: bool
    photos: int
    signed: bool
    unsigned_noted: bool
    replaced: list[str]
    travel_minutes: int | None
    corrected: list[str] = []


class Warranty(Fact):
    """The warranty's answer, as it was at completion."""

    covered: bool
    parts: bool
    labour: bool
    travel: bool
    bearer: str
    reason: str


class BillLine(Fact):
    """A fee line; amounts before tax."""

    kind: str
    code: str
    quantity: int
    unit: str
    net_minor: int
    customer_minor: int


class Bill(Fact):
    """What the work costs, and what the customer pays of it, with tax in `gross_minor`."""

    currency: str
    gross_minor: int
    lines: list[BillLine]


class Charges(Fact):
    """What of the case the customer was charged and not given back, with tax.

    Attributes:
        currency: None where nothing was ever charged.
        visit_minor: By this visit's report.
        agreed_minor: Fees that the customer agreed to at booking.
        other_minor: Anything else, e.g. by another visit or at the desk.
    """

    currency: str | None
    visit_minor: int
    agreed_minor: int
    other_minor: int


class PartUse(Fact):
    """A part of the job, and what the ledger of stock says of it.

    Attributes:
        used: Pieces that this visit tells it has built in, less what it brought back.
        used_by_job: The same of all visits of the job.
        moved: Pieces that the ledger says were consumed for the job, less what came back.
        fits: Whether the catalogue lets it into the model; None when it says nothing of the part.
        serialised: Each piece has a serial number of its own.
        serials: How many of this visit's pieces have theirs told.
        old_without_fate: Lines of it whose old part's fate is not told although the part's rule wants the old one.
    """

    sku: str
    used: int
    used_by_job: int
    moved: int
    fits: bool | None
    serialised: bool
    serials: int
    old_without_fate: int


class Base(Fact):
    """The partner's warehouse that is nearest to the site, over the ground."""

    code: str
    km: float


class Earlier(Fact):
    """An earlier completed visit of the same machine.

    Attributes:
        same_day: On the same day of the site.
        days: From its completion to this one's.
    """

    visit_id: int
    completed_at: datetime
    same_day: bool
    days: float
    same_provider: bool
    same_technician: bool
    same_job: bool
    job_kind: str
    component: str | None
    fault: str | None


class Reuse(Fact):
    """A photo whose very bytes the partner also gave for another machine."""

    file_id: int
    asset_id: int


class Facts(Fact):
    """A completed visit as the rules see it.

    Attributes:
        job_kind: The kind of its case, or `plan`.
        component: Of its case.
        levels_known: Levels of the fault catalogue that there are for the product kind.
        report: None when it was completed without one.
        warranty: None when it was not asked.
        bill: None without fee lines.
        charges: Of the case; nothing of work of a plan.
        located: Whether the site's position is known.
        base: None when the partner has no warehouse with a position, or the site has none.
        earlier: The latest first, at most twenty.
        installed_by: The earliest completed visit that installed the machine, before this one.
    """

    visit_id: int
    job_id: int
    ticket_id: int | None
    job_kind: str
    component: str | None
    country: str | None
    model: str
    product_kind: str
    provider_id: int
    provider_level: str
    technician_id: int
    asset_id: int
    serial: str
    times: Times
    devices: Devices
    levels_known: list[str]
    report: Report | None
    warranty: Warranty | None
    bill: Bill | None
    charges: Charges
    parts: list[PartUse]
    located: bool
    base: Base | None
    earlier: list[Earlier]
    installed_by: int | None
    reused: list[Reuse]

    @property
    def voided(self) -> bool:
        """Whether what the visit charged was given back."""
        return self.bill is not None and self.bill.gross_minor > 0 and self.charges.visit_minor == 0
