"""Models on disk: what was stored comes back, what was changed does not."""

import os

import numpy as np
import pytest
import skops.io

from careloop.database.engine import connect
from careloop.errors import CareloopError
from predictor import registry as registry_module
from predictor.features.matrix import feature_matrix
from predictor.registry import Registry
from predictor.training import decision_grid, train_fleet


@pytest.fixture(scope="module")
def trained():
    return {}


@pytest.fixture
def model(park, trained):
    if not trained:
        history = park(assets=8, hours=40 * 24).with_failures(16).history()
        trained["history"] = history
        trained["model"] = train_fleet(history, history.grid.end_hour, least_grid_hours=12, failures_needed=5)[0]
    return trained["model"]


@pytest.fixture
def connection(database_url):
    with connect(database_url) as connection:
        yield connection


def only_file(directory):
    (path,) = directory.glob("*.skops")
    return path


def test_a_stored_model_says_the_same_after_a_restart(connection, tmp_path, model, trained, at):
    stored = Registry(tmp_path).add(connection, model, at(0))
    (loaded,) = Registry(tmp_path).latest(connection, at(1000))
    assert (loaded.model_id, loaded.sha256) == (stored.model_id, stored.sha256)
    history = trained["history"]
    matrix = feature_matrix(history, model.plan, decision_grid(history, history.grid.end_hour, 12))
    np.testing.assert_array_equal(loaded.model.probabilities(matrix), model.probabilities(matrix))
    assert loaded.model.plan == model.plan
    assert loaded.model.threshold == model.threshold
    row = connection.execute("SELECT * FROM prediction.model").fetchone()
    assert row["feature_names"] == [feature.name for feature in model.plan.features()]
    assert row["training_failures"] == model.failures


def test_the_latest_model_trained_by_then_is_used(connection, tmp_path, model, at):
    registry = Registry(tmp_path)
    first = registry.add(connection, model, at(0))
    second = registry.add(connection, model, at(0))
    connection.execute("UPDATE prediction.model SET trained_as_of = %s WHERE model_id = 1", (at(10),))
    connection.execute("UPDATE prediction.model SET trained_as_of = %s WHERE model_id = 2", (at(20),))
    assert [s.model_id for s in registry.latest(connection, at(9))] == []
    assert [s.model_id for s in registry.latest(connection, at(10))] == [first.model_id]
    assert [s.model_id for s in registry.latest(connection, at(30))] == [second.model_id]
    assert [s.model_id for s in registry.latest(connection, at(15))] == [first.model_id]


def test_a_changed_file_is_refused(connection, tmp_path, model, at):
    Registry(tmp_path).add(connection, model, at(0))
    path = only_file(tmp_path)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(CareloopError, match=r"model 1 was changed.*delete row 1"):
        Registry(tmp_path).latest(connection, at(1000))


def test_a_missing_file_is_named(connection, tmp_path, model, at):
    Registry(tmp_path).add(connection, model, at(0))
    only_file(tmp_path).unlink()
    with pytest.raises(CareloopError, match=r"file of model 1 cannot be read"):
        Registry(tmp_path).latest(connection, at(1000))


def test_a_file_with_another_type_is_refused_before_it_is_opened(connection, tmp_path, model, at, monkeypatch):
    plain = registry_module._to_plain(model)
    monkeypatch.setattr(registry_module, "_to_plain", lambda _: {**plain, "extra": os.path.join})
    Registry(tmp_path).add(connection, model, at(0))
    monkeypatch.setattr(skops.io, "loads", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(CareloopError, match=r"types that are not trusted: posixpath\.join"):
        Registry(tmp_path).latest(connection, at(1000))


def test_a_directory_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CareloopError, match=r"directory of models .* cannot be made.*CARELOOP_STATE_DIR"):
        Registry(tmp_path / "file" / "models")


def test_an_interrupted_write_leaves_no_row(connection, tmp_path, model, at, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Registry(tmp_path).add(connection, model, at(0))
    assert connection.execute("SELECT count(*) AS rows FROM prediction.model").fetchone()["rows"] == 0
