"""Settings of the scheduler."""

from datetime import time
from typing import Self

from pydantic import Field, model_validator

from careloop.settings import ApiClientSettings, DatabaseSettings


class SchedulerSettings(DatabaseSettings, ApiClientSettings):
    """What the scheduler needs to know."""

    scheduler_plans_every_s: float = Field(60.0, gt=0, description="how often plans are looked at, in seconds")
    scheduler_dispatch_every_s: float = Field(15.0, gt=0, description="how often jobs are dispatched, in seconds")
    scheduler_tick_s: float = Field(
        0.5, gt=0, le=2, description="how often leadership and due duties are looked at, in seconds"
    )
    scheduler_lease_s: float = Field(
        3.0, ge=1, le=60, description="how long a killed scheduler's duty stays claimed, in seconds"
    )
    scheduler_refresh_s: float = Field(600.0, gt=0, description="how old the list of assets may get, in seconds")
    scheduler_ask_again_s: float = Field(
        60.0, gt=0, description="how soon a part out of stock is asked for again, in seconds"
    )
    scheduler_work_opens: time = Field(time(8), description="start of visits, local time of the site")
    scheduler_work_closes: time = Field(time(17), description="end of visits, local time of the site")
    scheduler_notice_minutes: float = Field(
        30.0, ge=0, le=10080, description="an appointment starts no sooner than this from now, in minutes"
    )
    scheduler_horizon_days: int = Field(28, ge=1, le=365, description="how many days ahead appointments are made")

    scheduler_allocation_at: time = Field(time(2), description="when all open demand for parts is planned, UTC")
    scheduler_allocation_limit_s: float = Field(
        60.0, gt=0, le=3600, description="how long a better plan of all demand is searched, in seconds"
    )
    scheduler_allocation_gap: float = Field(
        0.005, ge=0, le=1, description="a plan is good enough this far above the proven bound, as a part of it"
    )

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> Self:
        if self.scheduler_work_opens >= self.scheduler_work_closes:
            raise ValueError(
                f"CARELOOP_SCHEDULER_WORK_OPENS ({self.scheduler_work_opens}) "
                f"must be before CARELOOP_SCHEDULER_WORK_CLOSES ({self.scheduler_work_closes})"
            )
        return self
