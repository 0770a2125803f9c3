"""The product model of an asset, as a category."""

from collections.abc import Sequence

import numpy as np

from predictor.timeline import FloatArray


def model_category(codes: Sequence[str], known: Sequence[str]) -> FloatArray:
    """Position of each asset's model code among the codes known in training; NaN for one never seen.

    >>> model_category(["B", "A", "C"], ["A", "B"]).tolist()
    [1.0, 0.0, nan]
    """
    position = {code: float(number) for number, code in enumerate(known)}
    return np.array([position.get(code, np.nan) for code in codes], dtype=float)
