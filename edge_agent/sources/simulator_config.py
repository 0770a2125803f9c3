"""`kind = "simulator"`; apart from the fleet itself, which takes memory that only a simulation should."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, Field

from edge_agent.sources.source import SourceConfig

KindName = Literal["pressure_washer", "robot_vacuum", "gas_water_heater", "washing_machine"]


class SimulatorConfig(SourceConfig):
    """`kind = "simulator"`; `interval_s` is the time between readings of a machine, too."""

    kind: Literal["simulator"]
    interval_s: float = Field(3600.0, ge=0.1, le=86400, description="seconds between readings of a machine")
    seed: int = Field(1, description="the same seed gives the same fleet")
    start: AwareDatetime = Field(
        datetime(2026, 1, 1, tzinfo=UTC),
        description="what the fleet's age counts from; with --step also its first reading",
    )
    acceleration: float = Field(1.0, gt=0, le=1000, description="how much faster than usual everything wears")
    replaced_after_hours: float | None = Field(
        None, ge=0, description="failed components are replaced by themselves after this time"
    )
    fleet: Mapping[KindName, Annotated[int, Field(ge=0, le=9999)]] = Field(
        default_factory=lambda: dict.fromkeys(get_args(KindName), 12), description="number of machines by kind"
    )
