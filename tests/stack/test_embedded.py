"""The embedded stack as one thing."""

import hashlib
import stat
from pathlib import Path

import psutil
import psycopg
import pytest

from careloop.database.engine import connect
from careloop.errors import CareloopError
from careloop.stack.embedded import EmbeddedStack
from careloop.stack.ports import free_port, port_is_free


def _insert_key(stack: EmbeddedStack, name: str, key: str) -> None:
    with connect(stack.database_url) as connection:
        connection.execute(
            "INSERT INTO service.api_key (name, role, key_hash, created_at) VALUES (%s, 'service', %s, now())",
            [name, hashlib.sha256(key.encode()).digest()],
        )
    stack.secrets.put(f"api_key.{name}", key)


def test_each_service_gets_its_own_login_and_no_other(state_directory: Path) -> None:
    with EmbeddedStack(state_directory) as stack:
        for name in ("predictor", "scheduler"):
            _insert_key(stack, name, f"key of {name}")
        environments = {
            name: stack.environment_of(name) for name in ("edge", "ingest", "predictor", "scheduler", "api")
        }
        for service in ("ingest", "predictor", "scheduler", "api"):
            with connect(environments[service]["CARELOOP_DATABASE_URL"]) as connection:
                row = connection.execute(
                    "SELECT session_user AS name, pg_has_role(%s, 'member') AS member", [f"careloop_{service}"]
                ).fetchone()
            assert row == {"name": f"careloop_{service}_login", "member": True}
        assert "CARELOOP_DATABASE_URL" not in environments["edge"]
        assert "//device:" in environments["edge"]["CARELOOP_BROKER_URL"]
        assert "//platform:" in environments["ingest"]["CARELOOP_BROKER_URL"]
        assert environments["scheduler"]["CARELOOP_API_KEY"] == "key of scheduler"
        assert environments["api"]["CARELOOP_API_PORT"] == str(stack.api_port)
        with (
            connect(environments["ingest"]["CARELOOP_DATABASE_URL"]) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("SELECT * FROM service.asset")


def test_secrets_are_kept_between_runs_and_read_by_the_owner_only(state_directory: Path) -> None:
    with EmbeddedStack(state_directory) as stack:
        first = stack.database_url_of("ingest").split("@")[0]
        _insert_key(stack, "predictor", "a key")
    assert stat.S_IMODE((state_directory / "secrets.json").stat().st_mode) == 0o600
    with EmbeddedStack(state_directory) as stack:
        assert stack.database_url_of("ingest").split("@")[0] == first
        assert stack.api_key("predictor", "service") == "a key"


def test_a_second_stack_over_the_same_directory_is_refused_and_harms_nothing(state_directory: Path) -> None:
    with EmbeddedStack(state_directory) as stack:
        with (
            pytest.raises(CareloopError, match=r"a careloop stack \(pid \d+\) already runs over"),
            EmbeddedStack(state_directory),
        ):
            pass
        with connect(stack.database_url) as connection:
            connection.execute("SELECT 1")
        assert stack.broker
        assert stack.broker.is_running


def test_what_is_not_embedded_is_left_alone(state_directory: Path, database_url: str) -> None:
    with EmbeddedStack(state_directory, database_url=database_url, broker_url="mqtt://127.0.0.1:1") as stack:
        assert stack.environment_of("ingest")["CARELOOP_DATABASE_URL"] == database_url
        assert stack.environment_of("edge")["CARELOOP_BROKER_URL"] == "mqtt://127.0.0.1:1"
        assert not (state_directory / "postgres").exists()
    with connect(database_url) as connection:
        connection.execute("SELECT 1")


def test_a_taken_port_is_named_and_nothing_keeps_running(state_directory: Path, embedded_broker) -> None:
    postgres_port = free_port()
    stack = EmbeddedStack(state_directory, postgres_port=postgres_port, broker_port=embedded_broker.port)
    with pytest.raises(CareloopError, match=f"port {embedded_broker.port} for the MQTT broker is in use"), stack:
        pass
    assert port_is_free(postgres_port)


def test_the_brokers_process_leaves_when_its_parent_closes_the_pipe(state_directory: Path) -> None:
    with EmbeddedStack(state_directory) as stack:
        assert stack.broker
        process = psutil.Process(stack.broker.pid)
        assert process.is_running()
    assert not process.is_running()
