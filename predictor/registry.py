"""Trained models: a skops file each, and a row in `prediction.model` that knows its hash."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from careloop import __version__
from careloop.database.queries import load_queries
from careloop.errors import CareloopError
from predictor.calibration import Calibration
from predictor.features.matrix import FeaturePlan
from predictor.models import ComponentModel
from predictor.scoring import StoredModel
from predictor.timeline import from_hour

SQL = load_queries("predictor")

# Besides numbers, texts and scikit-learn's own estimators a file may hold these types and no others.
TRUSTED = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)

_PLAN_FIELDS = ("metrics", "units", "event_codes", "components", "attributes", "models")


class Registry:
    """Stores and finds models.

    Args:
        directory: Of the files; made when missing.

    Raises:
        CareloopError: The directory cannot be written to.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loaded: dict[int, StoredModel] = {}
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CareloopError(
                f"the directory of models {directory} cannot be made ({error.strerror}); "
                "set CARELOOP_PREDICTOR_MODEL_DIR or CARELOOP_STATE_DIR to one that can"
            ) from error

    def add(self, connection: Connection[DictRow], model: ComponentModel, now: datetime) -> StoredModel:
        """Write a model's file, then its row: a row always has its file."""
        content = skops.io.dumps(_to_plain(model))
        sha256 = hashlib.sha256(content).hexdigest()
        self._write(sha256, content)
        row = connection.execute(
            SQL["add_model"],
            {
                "kind": model.kind,
                "component": model.component,
                "trained_as_of": from_hour(model.trained_as_of_hour),
                "file_sha256": bytes.fromhex(sha256),
                "feature_names": [feature.name for feature in model.plan.features()],
                "training_rows": model.rows,
                "training_failures": model.failures,
                "metrics": Jsonb({**model.metrics, "threshold": model.threshold, "learner": model.learner}),
                "code_version": __version__,
                "created_at": now,
            },
        ).fetchone()
        if row is None:
            raise LookupError("add_model returned no row")
        stored = StoredModel(row["model_id"], sha256, model)
        self._loaded[stored.model_id] = stored
        return stored

    @property
    def trained_as_of(self) -> list[datetime]:
        """As of when each model in use was trained."""
        return [from_hour(stored.model.trained_as_of_hour) for stored in self._loaded.values()]

    def latest(self, connection: Connection[DictRow], now: datetime) -> list[StoredModel]:
        """The latest model of every kind and component that was trained as of `now` or earlier.

        Raises:
            CareloopError: A file is missing, was changed, or holds what it may not hold.
        """
        rows = connection.execute(SQL["latest_models"], {"now": now}).fetchall()
        for row in rows:
            if row["model_id"] not in self._loaded:
                self._loaded[row["model_id"]] = self._load(row["model_id"], bytes(row["file_sha256"]).hex())
        # Older ones are not asked for again unless time goes backwards.
        self._loaded = {row["model_id"]: self._loaded[row["model_id"]] for row in rows}
        return list(self._loaded.values())

    def _path(self, sha256: str) -> Path:
        return self._directory / f"{sha256}.skops"

    def _write(self, sha256: str, content: bytes) -> None:
        handle, name = tempfile.mkstemp(dir=self._directory, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(self._path(sha256))

    def _load(self, model_id: int, sha256: str) -> StoredModel:
        path = self._path(sha256)
        remedy = f"restore the file, or delete row {model_id} of prediction.model and train again"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CareloopError(
                f"the file of model {model_id} cannot be read: {path} ({error.strerror}); {remedy}"
            ) from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise CareloopError(f"the file of model {model_id} was changed: {path}; {remedy}")
        unknown = sorted(set(skops.io.get_untrusted_types(data=content)) - set(TRUSTED))
        if unknown:
            raise CareloopError(
                f"the file of model {model_id} holds types that are not trusted: {', '.join(unknown)}; {remedy}"
            )
        return StoredModel(model_id, sha256, _from_plain(skops.io.loads(content, trusted=list(TRUSTED))))


def _to_plain(model: ComponentModel) -> dict[str, Any]:
    return {
        "kind": model.kind,
        "component": model.component,
        "horizon_hours": model.horizon_hours,
        "plan": {name: list(getattr(model.plan, name)) for name in _PLAN_FIELDS},
        "learner": model.learner,
        "members": list(model.members),
        "calibration": [model.calibration.slope, model.calibration.offset],
        "threshold": model.threshold,
        "usual": model.usual,
        "trained_as_of_hour": model.trained_as_of_hour,
        "rows": model.rows,
        "failures": model.failures,
        "metrics": dict(model.metrics),
    }


def _from_plain(plain: Mapping[str, Any]) -> ComponentModel:
    slope, offset = plain["calibration"]
    return ComponentModel(
        kind=plain["kind"],
        component=plain["component"],
        horizon_hours=plain["horizon_hours"],
        plan=FeaturePlan(**{name: tuple(plain["plan"][name]) for name in _PLAN_FIELDS}),
        learner=plain["learner"],
        members=tuple(plain["members"]),
        calibration=Calibration(slope, offset),
        threshold=plain["threshold"],
        usual=np.asarray(plain["usual"]),
        trained_as_of_hour=plain["trained_as_of_hour"],
        rows=plain["rows"],
        failures=plain["failures"],
        metrics=dict(plain["metrics"]),
    )
