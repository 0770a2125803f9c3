"""The product model of an asset."""

from collections.abc import Sequence

import numpy as np

from predictor.timeline import FloatArray


def is_model(codes: Sequence[str], known: Sequence[str]) -> FloatArray:
    """Whether each asset is of each product model known in training: 1 or 0; NaN throughout for a model never seen.

    >>> is_model(["B", "C"], ["A", "B"]).tolist()
    [[0.0, 1.0], [nan, nan]]
    """
    same = np.array([[float(code == other) for other in known] for code in codes], dtype=float)
    same = same.reshape(len(codes), len(known))
    same[[code not in known for code in codes]] = np.nan
    return same
