"""The method in use: the pooled trees and the part's own shrunk rate, as one distribution.

The two are wrong in different places (the trees for parts unlike the others, the rate for parts that stop or come in
lots), so their linear pool is better calibrated than either. Weight, discount and trees were tuned on months 16–27 of
the real parts and looked at once on months 28–39; docs/decisions/0034 has the figures.
"""

import numpy as np

from predictor.demand import shrinkage
from predictor.demand.distributions import MOST_PIECES, FloatArray, pool
from predictor.demand.pooled import MANY, PooledModel

WEIGHT_OF_TREES = 0.7


class ChosenMethod:
    """Forecasts next month's demand of all series together.

    Args:
        history: Shape (series, months), NaN where not sold; the trees are trained on it, where it is long enough.
    """

    def __init__(self, history: FloatArray) -> None:
        self._trees = PooledModel(history) if PooledModel.enough(history) else None

    def forecast(self, history: FloatArray, *, most: int = MOST_PIECES) -> FloatArray:
        """Probabilities of 0 … `most` pieces in the month after the history, shape (series, most + 1).

        >>> few = np.array([[0.0, 1, 0, 0], [2, 0, 3, 1]])
        >>> ChosenMethod(few).forecast(few, most=2).shape
        (2, 3)
        """
        own = shrinkage.forecast(history, most=most)
        if self._trees is None:
            return own
        # The trees know "many" as one class; of parts whose every month is there, they can say nothing.
        rate, _ = shrinkage.shrunk_rate(history)
        weight = np.where(rate < MANY / 2, WEIGHT_OF_TREES, 0.0)
        return pool([self._trees.forecast(history, most=most), own], [weight, 1 - weight])
