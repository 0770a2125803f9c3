"""One model for all parts: boosted trees give the chance of 0, 1, 2, … pieces next month from a part's own past.

A part's months are few, but parts resemble one another: what 2,000 others did after such a past says more than its
own dozen demands. Every month of every series that lies before the origin is one example; its signs are computed from
the months before it, so what is learned is what can be known.
"""

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from predictor.demand.distributions import MOST_PIECES, FloatArray
from predictor.demand.signs import signs

MANY = 10
"""So many pieces and more are one class; how many more is taken from all parts alike."""
FIRST_MONTHS = 6
"""Months at the beginning that serve as past only."""
ENOUGH_EXAMPLES = 2000
THREADS = 1


class PooledModel:
    """Boosted trees over the months of all series.

    Args:
        history: Shape (series, months); trained on all of it.

    Raises:
        ValueError: there are too few months to learn from; `enough` tells.
    """

    def __init__(self, history: FloatArray) -> None:
        if not self.enough(history):
            raise ValueError(f"fewer than {ENOUGH_EXAMPLES} months with a past of {FIRST_MONTHS}, or all alike")
        examples, wanted = _examples(history)
        trees = HistGradientBoostingClassifier(
            max_iter=100,
            learning_rate=0.05,
            max_leaf_nodes=8,
            min_samples_leaf=100,
            l2_regularization=1.0,
            early_stopping=False,
            random_state=0,
        )
        # A second thread waits for the first in every leaf, and for minutes where cores are shared; one also adds up in
        # the same order everywhere.
        with threadpool_limits(THREADS):
            self._trees = trees.fit(examples, np.minimum(wanted, MANY))
        many = wanted[wanted >= MANY].astype(int)
        self._many = many if len(many) else np.array([MANY])

    @staticmethod
    def enough(history: FloatArray) -> bool:
        """Whether a model can be trained: enough months, and not all of one class."""
        later = history[:, FIRST_MONTHS:]
        later = later[~np.isnan(later)]
        return len(later) >= ENOUGH_EXAMPLES and len(np.unique(np.minimum(later, MANY))) > 1

    def forecast(self, history: FloatArray, *, most: int = MOST_PIECES) -> FloatArray:
        """Probabilities of 0 … `most` pieces in the month after the history, shape (series, most + 1)."""
        with threadpool_limits(THREADS):
            by_class = self._trees.predict_proba(signs(history))
        chance = np.zeros((len(history), most + 1))
        for column, pieces in enumerate(self._trees.classes_.astype(int)):
            if pieces < MANY:
                chance[:, min(pieces, most)] += by_class[:, column]
            else:
                shares = np.bincount(np.minimum(self._many, most), minlength=most + 1) / len(self._many)
                chance += by_class[:, [column]] * shares
        return chance


def _examples(history: FloatArray) -> tuple[FloatArray, FloatArray]:
    rows, wanted = [], []
    for month in range(FIRST_MONTHS, history.shape[1]):
        there = ~np.isnan(history[:, month])
        rows.append(signs(history[:, :month])[there])
        wanted.append(history[there, month])
    return np.concatenate(rows), np.concatenate(wanted)
