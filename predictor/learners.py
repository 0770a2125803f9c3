"""The kinds of classifier that a component's model may be made of."""

from typing import Protocol, cast

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from predictor.timeline import BoolArray, FloatArray


class Classifier(Protocol):
    """What scikit-learn's fitted classifiers have in common, as far as we use it."""

    def predict_proba(self, matrix: FloatArray) -> FloatArray:
        """Probability of each class; shape (n, 2)."""
        ...


class Learner(Protocol):
    """Fits a classifier.

    Args:
        matrix: Features, NaN where not known; shape (n, columns).
        failed: What became of each row; shape (n,).
        seed: For what chance there is.
    """

    def __call__(self, matrix: FloatArray, failed: BoolArray, *, seed: int) -> Classifier:
        """A fitted classifier."""
        ...


def boosted(matrix: FloatArray, failed: BoolArray, *, seed: int) -> Classifier:
    """Many small trees: with few failures, larger ones learn single machines by heart."""
    # A column that nobody ever measured breaks the binning (scikit-learn 1.9); made constant, it is never split on.
    unknown = np.isnan(matrix).all(axis=0)
    classifier = HistGradientBoostingClassifier(
        learning_rate=0.1,
        max_iter=100,
        max_leaf_nodes=4,
        min_samples_leaf=int(np.clip(len(failed) // 300, 20, 70)),
        max_features=0.5,
        l2_regularization=3.0,
        early_stopping=False,
        random_state=seed,
        # Categories would need a preprocessor, whose file we would have to trust.
        categorical_features=None,
    )
    return cast(Classifier, classifier.fit(np.where(unknown, 0.0, matrix), failed))


def logistic(matrix: FloatArray, failed: BoolArray, *, seed: int) -> Classifier:
    """A strongly shrunk line through all features: what few failures can support, at a hundredth of the time."""
    steps = [
        ("impute", SimpleImputer(keep_empty_features=True)),
        ("scale", StandardScaler()),
        ("line", LogisticRegression(C=0.001, max_iter=300, random_state=seed)),
    ]
    return cast(Classifier, Pipeline(steps).fit(matrix, failed))


BOOSTED_FROM_FAILURES = 15
"""With fewer failures trees lose to the line on short records (measured on the simulated fleet) and take their time."""

BOOSTED_FROM_ROWS = 10_000
"""On records so long they are tried anyway: on Azure PdM 11 failures in 28,000 rows teach them more than the line."""


def candidates(failures: int, rows: int) -> dict[str, Learner]:
    """The learners worth trying on a record; the better one on assets left out is taken.

    Args:
        failures: Number of failures on record.
        rows: Number of decision times whose outcome is known.
    """
    if failures < BOOSTED_FROM_FAILURES and rows < BOOSTED_FROM_ROWS:
        return {"logistic": logistic}
    return {"logistic": logistic, "boosted": boosted}
