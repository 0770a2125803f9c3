"""What a forecast is worth in the store: pieces kept against demand served at once.

Every part has its own store with an order-up-to level, looked at each month: what is missing to the level is ordered
and there a month later; demand that can't be served waits. So the level must cover two months: the one until the
next look and the one until the order is there.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from predictor.demand.distributions import FloatArray, over_months, quantile

COVERED_MONTHS = 2
SERVICE_LEVELS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
COMPARED_FILL_RATES = (0.8, 0.9, 0.95)


def simulate(levels: FloatArray, demand: FloatArray) -> tuple[float, float]:
    """Share of the demanded pieces served at once, and pieces on hand on average per part and month.

    Args:
        levels: Order-up-to level as of the beginning of each month, shape (series, months).
        demand: Of the same shape; NaN where the part was not sold, which then counts nowhere.

    >>> simulate(np.array([[2.0, 2, 2]]), np.array([[1.0, 2, 0]]))
    (0.6666666666666666, 0.3333333333333333)
    """
    on_hand, waiting, coming = levels[:, 0].copy(), np.zeros(len(levels)), np.zeros(len(levels))
    served = kept = 0.0
    sold = ~np.isnan(demand)
    for month in range(demand.shape[1]):
        on_hand += coming
        late = np.minimum(waiting, on_hand)
        on_hand, waiting = on_hand - late, waiting - late
        coming = np.maximum(levels[:, month] - (on_hand - waiting), 0)
        wanted = np.where(sold[:, month], demand[:, month], 0)
        at_once = np.minimum(wanted, on_hand)
        on_hand, waiting = on_hand - at_once, waiting + wanted - at_once
        served += float(at_once.sum())
        kept += float(on_hand[sold[:, month]].sum())
    return served / max(float(np.nansum(demand)), 1.0), kept / max(int(sold.sum()), 1)


def outcome(chances: Sequence[FloatArray], demand: FloatArray) -> dict[str, object]:
    """The curve of fill rate against stock over the service levels, and the stock at equal fill rates.

    Args:
        chances: The predictive distribution as of the beginning of each month.
        demand: Shape (series, months).
    """
    covered = [over_months(chance, COVERED_MONTHS) for chance in chances]
    curve = []
    for level in SERVICE_LEVELS:
        fill_rate, stock = simulate(np.stack([quantile(chance, level) for chance in covered], axis=1), demand)
        curve.append({"service_level": level, "fill_rate": round(fill_rate, 4), "average_stock": round(stock, 4)})
    compared = {f"{rate:g}": _stock_at(curve, rate) for rate in COMPARED_FILL_RATES}
    return {"curve": curve, "average_stock_at_fill_rate": compared}


def _stock_at(curve: Sequence[dict[str, float]], fill_rate: float) -> float | None:
    """By straight lines between the points of the curve; None where it does not reach."""
    for low, high in pairwise(curve):
        if low["fill_rate"] <= fill_rate <= high["fill_rate"] and high["fill_rate"] > low["fill_rate"]:
            share = (fill_rate - low["fill_rate"]) / (high["fill_rate"] - low["fill_rate"])
            return round(low["average_stock"] + share * (high["average_stock"] - low["average_stock"]), 4)
    return None
