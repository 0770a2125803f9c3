"""Estimates with their bounds: mean time between failures, mean time to repair, component life. Pure.

lifelines and scipy take seconds to import, so they are imported where they are used.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, stdev

from api.reports.lives import HOUR, Life

CONFIDENCE = 0.95
# Below this a bound on the mean repair time would span factors of thousands.
FEWEST_REPAIRS = 3
# Repair times are recorded to the minute.
SHORTEST_REPAIR_HOURS = 1 / 60


@dataclass(frozen=True)
class Estimate:
    """An estimate with its 95 % bounds, each None where there is none."""

    estimate: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class CurvePoint:
    """Kaplan-Meier from this age on: share surviving with its band, and how many were at risk just before."""

    hours: float
    survival: float
    lower: float
    upper: float
    at_risk: int


@dataclass(frozen=True)
class ComponentLife:
    """How long a component lasts.

    Attributes:
        lives: Lives observed.
        failed: Of them ended in a failure.
        censored: Of them ended otherwise.
        median_hours: Age by which half have failed; None where the curve does not come down that far.
        curve: From age 0, a point where the curve steps, and the end of observation.
        censored_hours: Ages at which lives were censored.
        note: What one must know to read the curve, or why there is none.
    """

    lives: int
    failed: int
    censored: int
    median_hours: Estimate
    curve: tuple[CurvePoint, ...]
    censored_hours: tuple[float, ...]
    note: str


def mtbf(exposure_hours: float, failures: int) -> Estimate:
    """Mean time between failures at a constant rate, observed for a fixed time.

    NIST/SEMATECH e-Handbook of Statistical Methods 8.4.5.1: 2T/χ²(1-α/2; 2n+2) and 2T/χ²(α/2; 2n); with no failure the
    one-sided lower bound 2T/χ²(1-α; 2) = T/-ln α.

    Args:
        exposure_hours: Operating time of all assets together.
        failures: In that time.
    """
    from scipy.stats import chi2  # noqa: PLC0415 - slow to import

    if exposure_hours <= 0:
        return Estimate(None, None, None)
    alpha = 1 - CONFIDENCE
    if failures == 0:
        return Estimate(None, exposure_hours / -math.log(alpha), None)
    return Estimate(
        exposure_hours / failures,
        2 * exposure_hours / float(chi2.ppf(1 - alpha / 2, 2 * failures + 2)),
        2 * exposure_hours / float(chi2.ppf(alpha / 2, 2 * failures)),
    )


def mttr(repair_hours: Sequence[float]) -> Estimate:
    """Mean time to repair, with bounds for lognormal times by the modified Cox method.

    Olsson, "Confidence intervals for the mean of a log-normal distribution", J. Stat. Education 13(1), 2005: with mean
    m and variance v of the n logarithms, exp(m + v/2 ± t(1-α/2; n-1)·√(v/n + v²/(2(n-1)))).
    """
    from scipy.stats import t  # noqa: PLC0415 - slow to import

    if not repair_hours:
        return Estimate(None, None, None)
    mean = fmean(repair_hours)
    count = len(repair_hours)
    if count < FEWEST_REPAIRS:
        return Estimate(mean, None, None)
    logarithms = [math.log(max(hours, SHORTEST_REPAIR_HOURS)) for hours in repair_hours]
    variance = stdev(logarithms) ** 2
    middle = fmean(logarithms) + variance / 2
    width = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * math.sqrt(
        variance / count + variance**2 / (2 * (count - 1))
    )
    # The arithmetic mean is not the lognormal one; a band that leaves it out would only confuse.
    return Estimate(mean, min(mean, math.exp(middle - width)), max(mean, math.exp(middle + width)))


def component_life(lives: Sequence[Life], since: datetime | None) -> ComponentLife:
    """Kaplan-Meier estimate by lifelines.

    Args:
        lives: Of one component of many assets.
        since: Start of the period: lives that ended before are left out, those that began before enter late.
    """
    seen = [life for life in lives if since is None or life.ends_at > since]
    note = ""
    begun_before = sum(1 for life in seen if since is not None and life.starts_at < since)
    if begun_before:
        note = f"{begun_before} of {len(seen)} began before the period and enter at their age then"
    fitted = _fit(seen, since)
    if fitted is None and begun_before < len(seen):
        # Too few were young in the period: the estimate breaks down at the first failures.
        seen = [life for life in seen if since is None or life.starts_at >= since]
        note = f"only the {len(seen)} installed within the period; the {begun_before} older ones cannot be used"
        fitted = _fit(seen, None)
    median_hours, curve = fitted or (Estimate(None, None, None), ())
    failed = sum(life.failed for life in seen)
    if not curve:
        note = "all began before the period: nothing is known of their youth" if seen else "nothing was observed"
    censored_hours = tuple(sorted(life.hours() for life in seen if not life.failed))
    return ComponentLife(len(seen), failed, len(seen) - failed, median_hours, curve, censored_hours, note)


def _fit(lives: Sequence[Life], since: datetime | None) -> tuple[Estimate, tuple[CurvePoint, ...]] | None:
    """Median and curve; None where there is nothing to estimate from."""
    from lifelines import KaplanMeierFitter  # noqa: PLC0415 - slow to import
    from lifelines.exceptions import StatError  # noqa: PLC0415 - slow to import
    from lifelines.utils import median_survival_times  # noqa: PLC0415 - slow to import

    entries = [max(0.0, (since - life.starts_at) / HOUR) if since else 0.0 for life in lives]
    if not lives or min(entries) > 0:
        return None
    fitter = KaplanMeierFitter(alpha=1 - CONFIDENCE)
    try:
        fitter.fit(
            [life.hours() for life in lives],
            [life.failed for life in lives],
            entry=entries if any(entries) else None,
        )
    except StatError:
        return None
    band = fitter.confidence_interval_
    lower, upper = (_or_none(value) for value in median_survival_times(band).iloc[0])
    table = fitter.event_table
    survival = fitter.survival_function_.iloc[:, 0]
    last = float(table.index[-1])
    curve = tuple(
        CurvePoint(
            float(hours),
            float(survival.loc[hours]),
            _share(band.iloc[:, 0].loc[hours], float(survival.loc[hours])),
            _share(band.iloc[:, 1].loc[hours], float(survival.loc[hours])),
            int(table.at_risk.loc[hours]),
        )
        for hours in table.index
        if hours in {0.0, last} or table.observed.loc[hours] > 0
    )
    return Estimate(_or_none(fitter.median_survival_time_), lower, upper), curve


def _share(bound: float, survival: float) -> float:
    """A bound of the band; where it is not defined (at 0 and 1) the estimate itself."""
    return survival if math.isnan(bound) else float(bound)


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
