import pytest

from careloop.database.engine import connect


@pytest.fixture
def desk(api):
    with api.client("agent") as client:
        yield client


@pytest.fixture
def seen(database_url):
    """Says what ingest would have heard of an agent."""

    def hear(agent_id: str, *, online: bool = True, detail: str = '{"assets": 3}', **report: object) -> None:
        with connect(database_url) as connection:
            connection.execute(
                "INSERT INTO telemetry.agent_state (agent_id, online, agent_version, detail, changed_at) "
                "VALUES (%s, %s, '1.2', %s, '2026-01-01Z') ON CONFLICT DO NOTHING",
                (agent_id, online, detail),
            )
            if report:
                connection.execute(
                    "INSERT INTO telemetry.agent_report (agent_id, seen_at, config_version, config_status, "
                    "config_reason, config_since) VALUES (%s, '2026-02-01Z', %s, %s, %s, '2026-02-01Z')",
                    (agent_id, report["version"], report["status"], report.get("reason", "")),
                )

    return hear
