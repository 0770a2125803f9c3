"""The assets of one kind, what their product models declare, and what is known to have happened to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from careloop.client import Asset, Component, ProductModel
from careloop.errors import CareloopError
from careloop.stepping import parse_time
from predictor.moments import Moments
from predictor.readings import EarlyLife, ReadingGrid
from predictor.timeline import FloatArray, IntArray, to_ms


@dataclass(frozen=True)
class Fleet:
    """All assets whose product models are of one kind; they share one predictor per component.

    Attributes:
        kind: Kind of product model.
        horizon_hours: How far ahead failures are predicted: the longest that its product models declare.
        metrics: Names of the declared metrics, sorted.
        units: Canonical unit by metric.
        components: Names of the declared components, sorted.
        attributes: Names of the assets' numeric attributes, sorted.
        asset_ids: Numbers of the assets, ascending; shape (assets,).
        serials: Serial number of each asset.
        models: Model code of each asset.
        installed_ms: When each was installed, milliseconds since 1970; shape (assets,).
        attribute_values: Shape (assets, attributes), NaN where an asset lacks one.
        declared: What the product model says, by model code and component.
    """

    kind: str
    horizon_hours: int
    metrics: tuple[str, ...]
    units: Mapping[str, str]
    components: tuple[str, ...]
    attributes: tuple[str, ...]
    asset_ids: IntArray
    serials: tuple[str, ...]
    models: tuple[str, ...]
    installed_ms: IntArray
    attribute_values: FloatArray
    declared: Mapping[tuple[str, str], Component]

    def __len__(self) -> int:
        return len(self.serials)


@dataclass(frozen=True)
class History:
    """What is known about a fleet. Features and labels cut it at the decision time themselves.

    Attributes:
        fleet: Whose history it is.
        grid: Readings by asset, metric and hour.
        early_life: The first week of each asset's readings.
        event_codes: Codes that occur, sorted.
        events: Series `asset × len(event_codes) + code`.
        failures: Series `asset × len(components) + component`.
        replacements: Same series, whatever the reason.
        renewals: Same series, only replacements that were not because of a failure.
    """

    fleet: Fleet
    grid: ReadingGrid
    early_life: EarlyLife
    event_codes: tuple[str, ...]
    events: Moments
    failures: Moments
    replacements: Moments
    renewals: Moments


@dataclass(frozen=True)
class Decisions:
    """Decision points: which asset, as of which full hour.

    Attributes:
        asset: Position of the asset in the fleet; shape (n,).
        hour: Hours since 1970; shape (n,).
    """

    asset: IntArray
    hour: IntArray

    def __len__(self) -> int:
        return len(self.asset)

    def where(self, keep: np.ndarray) -> "Decisions":
        """Only the decisions that a mask or positions keep."""
        return Decisions(self.asset[keep], self.hour[keep])


def fleets(product_models: Sequence[ProductModel], assets: Sequence[Asset]) -> list[Fleet]:
    """Sort assets into fleets by the kind of their product model; kinds without assets are left out.

    Raises:
        CareloopError: An asset is of a product model that is not among those given.
    """
    models = {model["code"]: model for model in product_models}
    by_kind: dict[str, list[Asset]] = {}
    for asset in sorted(assets, key=lambda asset: asset["asset_id"]):
        if asset["model"] not in models:
            raise CareloopError(
                f"asset {asset['serial']} is of product model {asset['model']}, which the API does not list"
            )
        by_kind.setdefault(models[asset["model"]]["kind"], []).append(asset)
    return [
        _fleet(kind, [model for model in product_models if model["kind"] == kind], members)
        for kind, members in sorted(by_kind.items())
    ]


def _fleet(kind: str, models: Sequence[ProductModel], assets: Sequence[Asset]) -> Fleet:
    units = {metric["name"]: metric["unit"] for model in models for metric in model["metrics"]}
    numeric = [{name: value for name, value in asset["attributes"].items() if _is_number(value)} for asset in assets]
    attributes = tuple(sorted({name for values in numeric for name in values}))
    return Fleet(
        kind=kind,
        horizon_hours=max(model["horizon_hours"] for model in models),
        metrics=tuple(sorted(units)),
        units=units,
        components=tuple(sorted({component["name"] for model in models for component in model["components"]})),
        attributes=attributes,
        asset_ids=np.array([asset["asset_id"] for asset in assets], dtype=np.int64),
        serials=tuple(asset["serial"] for asset in assets),
        models=tuple(asset["model"] for asset in assets),
        installed_ms=np.array([to_ms(parse_time(asset["installed_at"])) for asset in assets], dtype=np.int64),
        attribute_values=np.array(
            [[float(values.get(name, np.nan)) for name in attributes] for values in numeric], dtype=float
        ).reshape(len(assets), len(attributes)),
        declared={
            (model["code"], component["name"]): component for model in models for component in model["components"]
        },
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
