"""What a kind of machine is made of. Tables of these stand in `catalogue.py`; `machine.py` is their only physics."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from careloop.contract.messages import Severity

RUNNING_HOURS = "running_hours"


@dataclass(frozen=True)
class Metric:
    """One measured quantity.

    Its value is `base + own offset + load·(intensity − 1) + season·(ambient − 18 °C) + wear's effects + noise`, cut off
    at `low` and `high`.

    Attributes:
        name: Its name, the same unit under the same name for every kind.
        unit: Its unit, as the pint library reads it.
        base: Value of a new average machine at normal load and 18 °C.
        noise: Standard deviation from one reading to the next.
        spread: Standard deviation from one machine to another.
        load: Change per unit of the day's intensity of use.
        season: Change per degree of ambient temperature.
        always: Reported in standby as well; otherwise only while the machine runs.
        low: Smallest value the sensor gives.
        high: Largest value the sensor gives.
        decimals: The sensor's resolution.
    """

    name: str
    unit: str
    base: float = 0.0
    noise: float = 0.0
    spread: float = 0.0
    load: float = 0.0
    season: float = 0.0
    always: bool = False
    low: float = 0.0
    high: float = 1e6
    decimals: int = 2


@dataclass(frozen=True)
class Effect:
    """How a component's wear moves a metric: by `gain · visible wear ** power`."""

    metric: str
    gain: float
    power: float = 3.0


@dataclass(frozen=True)
class Symptom:
    """An error event that comes ever more often near the end of a component's life.

    Attributes:
        code: The machine's code; two components may raise the same.
        per_hour: Events per running hour when the component is about to fail.
        severity: As the machine sees it.
    """

    code: str
    per_hour: float
    severity: Severity = "warning"


@dataclass(frozen=True)
class Component:
    """A part that wears out.

    Attributes:
        name: Its name.
        sku: Stock-keeping unit of the part that replaces it.
        part_name: That part's name.
        skill: What a technician must be able to do.
        labour_minutes: Time to replace it.
        failure_cost_minor: What a failure costs, in euro cents.
        planned_cost_minor: What a planned replacement costs, in euro cents.
        life_hours: Scale of its life (63 % have failed), in running hours.
        shape: Weibull shape; above 1 means wear, and the larger the less spread.
        effects: What its wear does to metrics.
        symptoms: What its wear makes the machine report.
        failure_code: The machine's code when it fails; always critical.
    """

    name: str
    sku: str
    part_name: str
    skill: str
    labour_minutes: int
    failure_cost_minor: int
    planned_cost_minor: int
    life_hours: float
    shape: float
    effects: Sequence[Effect]
    symptoms: Sequence[Symptom]
    failure_code: str


@dataclass(frozen=True)
class Kind:
    """A kind of machine, and its product model.

    Attributes:
        kind: The kind.
        code: Code of its product model.
        name: Name of its product model.
        prefix: Start of its serial numbers.
        hours_a_day: Least and most hours that machines of this kind run on an average day.
        window: Hours of the day between which they run.
        sessions: Least and most runs a day.
        idle_days: Share of days on which one does not run at all.
        metrics: What it measures, besides `running_hours`.
        components: What wears out.
        nuisance: An event that means nothing, and how often it comes per running hour.
    """

    kind: Literal["pressure_washer", "robot_vacuum", "gas_water_heater", "washing_machine"]
    code: str
    name: str
    prefix: str
    hours_a_day: tuple[float, float]
    window: tuple[float, float]
    sessions: tuple[int, int]
    idle_days: float
    metrics: Sequence[Metric]
    components: Sequence[Component]
    nuisance: Symptom

    def to_json(self) -> dict[str, Any]:
        """The product model as others register it: metrics with units, components with their parts and costs."""
        return {
            "kind": self.kind,
            "code": self.code,
            "name": self.name,
            "metrics": [
                *({"name": metric.name, "unit": metric.unit} for metric in self.metrics),
                {"name": RUNNING_HOURS, "unit": "h"},
            ],
            "components": [
                {
                    "name": component.name,
                    "sku": component.sku,
                    "part_name": component.part_name,
                    "skill": component.skill,
                    "labour_minutes": component.labour_minutes,
                    "failure_cost_minor": component.failure_cost_minor,
                    "planned_cost_minor": component.planned_cost_minor,
                }
                for component in self.components
            ],
        }
