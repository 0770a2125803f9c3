"""Real data through the real processes, by the command that people type."""

import json
import subprocess
from pathlib import Path

import pytest

from careloop.database.engine import connect
from careloop.stack.postgres import EmbeddedPostgres
from careloop.stack.process import careloop_command

KEYS = {
    "readings_sent", "readings_stored", "readings_lost", "readings_doubled", "dead_letters", "tickets_raised",
    "failures_in_window", "failures_caught_24h", "false_alerts_per_machine_year", "parts_reserved", "jobs_dispatched",
    "alerts_sent", "engine", "seconds",
}  # fmt: skip


def replay(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = careloop_command("replay", "azure-pdm", *map(str, words))
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_every_reading_arrives_once_and_every_ticket_gets_its_part_and_its_visit(
    shared_data: Path, empty_database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "out.json"
    azure = shared_data / "azure_pdm"
    done = replay(azure, "--machines", "12", "--train-until", "2015-05-01", "--until", "2015-05-20",
                  "--json", file, "--database-url", empty_database_url)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(file.read_text())
    assert result.keys() >= KEYS
    assert result["readings_sent"] == result["readings_stored"] > 150_000
    assert (result["readings_lost"], result["readings_doubled"], result["dead_letters"]) == (0, 0, 0)
    assert result["tickets_raised"] >= 1
    assert result["failures_caught_24h"] >= result["failures_in_window"] - 2
    assert result["tickets_without_part_or_job"] == 0
    assert result["parts_reserved"] == result["jobs_dispatched"] == result["tickets_raised"]
    assert result["alerts_sent"] >= 2 * result["tickets_raised"]
    with connect(empty_database_url) as connection:
        assert_loop_is_closed(connection)
    again = replay(azure, "--machines", "1", "--database-url", empty_database_url)
    assert again.returncode == 2
    assert "already holds 12 assets" in again.stderr


def assert_loop_is_closed(connection) -> None:
    """Cases whose component failed are confirmed and ended with their job, and the part is used."""
    rows = connection.execute(
        """
        SELECT t.state, t.outcome, t.evidence, j.state AS job, r.state AS part, t.opened_at < f.failed_at AS ahead
        FROM service.failure f
        JOIN service.ticket t ON t.asset_id = f.asset_id AND t.component = f.component AND t.opened_at < f.failed_at
             AND t.opened_at > f.failed_at - interval '48 hours'
        JOIN service.job j USING (ticket_id) JOIN service.reservation r USING (job_id)
        JOIN service.replacement p
            ON p.asset_id = f.asset_id AND p.component = f.component AND p.replaced_at = f.failed_at
        """
    ).fetchall()
    assert rows
    for row in rows:
        assert (row["state"], row["outcome"], row["job"], row["part"]) == (
            "resolved", "confirmed", "completed", "consumed"
        )  # fmt: skip
        assert {"probability"} <= row["evidence"].keys()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/nowhere"], "/nowhere is not a directory"),
        (["{azure}", "--train-until", "2016-01-01"], "--train-until 2016-01-01 must lie inside the recording"),
        (["{azure}", "--json", "/nowhere/out.json"], "the directory /nowhere is not there"),
        (
            ["{azure}", "--database-url", "postgresql://x@127.0.0.1:1/x", "--machines", "1"],
            "cannot connect to the database",
        ),
        (["{azure}", "--reset"], "--reset goes with --database-url"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_two(shared_data: Path, words: list[str], said: str) -> None:
    done = replay(*(word.format(azure=shared_data / "azure_pdm") for word in words))
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_reset_starts_over(postgres: EmbeddedPostgres, empty_database_url: str, shared_data: Path) -> None:
    words = [
        shared_data / "azure_pdm",
        "--machines",
        "1",
        "--until",
        "2015-01-05",
        "--database-url",
        empty_database_url,
    ]
    first, second = replay(*words), replay(*words, "--reset")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
