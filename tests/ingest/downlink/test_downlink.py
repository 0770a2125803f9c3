"""Configurations and commands through a real ingest process, broker and database."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from careloop.contract.identity import identity_of
from careloop.contract.remote import Command, CommandResult, ConfigReport, DesiredConfig
from careloop.database.engine import connect

NOTIFY = "SELECT pg_notify('careloop_downlink', '')"
FAST = {"CARELOOP_INGEST_DOWNLINK_RETRY_S": "0.5"}


class FakeAgent:
    """An agent's side of the wire, by hand."""

    def __init__(self, broker, agent_id: str, wait_until) -> None:
        url = urlsplit(broker.url_of("platform"))
        self.agent_id = agent_id
        self.heard: list[tuple[str, bytes, bool]] = []
        self._wait_until = wait_until
        self._subscribed = False
        self.client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"{agent_id}-x", protocol=MQTTProtocolVersion.MQTTv5
        )
        self.client.username_pw_set(url.username, url.password)
        self.client.on_message = lambda _c, _u, m: self.heard.append((m.topic.split("/", 3)[3], m.payload, m.retain))
        self.client.on_subscribe = lambda *_: setattr(self, "_subscribed", True)
        self.client.connect("127.0.0.1", url.port)
        self.client.loop_start()

    def subscribe(self) -> None:
        self.client.subscribe([(f"careloop/v1/{self.agent_id}/{name}", 1) for name in ("config", "command", "stored")])
        self._wait_until(lambda: self._subscribed, "subscribed")

    def report(self, report: ConfigReport, online: bool = True) -> None:
        state = {"online": online, "agent_version": "1", "detail": {"config": report.to_json()}}
        self.publish("state", json.dumps(state).encode(), retain=True)

    def publish(self, channel: str, payload: bytes, *, retain: bool = False) -> bytes:
        topic = f"careloop/v1/{self.agent_id}/{channel}"
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = f"careloop/v1/{self.agent_id}/stored"
        self.client.publish(topic, payload, qos=1, retain=retain, properties=properties).wait_for_publish(10)
        return identity_of(topic, payload)

    def configs(self) -> list[DesiredConfig]:
        return [DesiredConfig.from_json(json.loads(payload)) for name, payload, _ in self.heard if name == "config"]

    def commands(self) -> list[Command]:
        return [Command.from_json(json.loads(payload)) for name, payload, _ in self.heard if name == "command"]

    def stored(self) -> bytes:
        return b"".join(payload for name, payload, _ in self.heard if name == "stored")


@pytest.fixture
def agent_of(wait_until):
    agents: list[FakeAgent] = []

    def make(broker, agent_id: str) -> FakeAgent:
        agents.append(FakeAgent(broker, agent_id, wait_until))
        return agents[-1]

    yield make
    for agent in agents:
        agent.publish("config", b"", retain=True)
        agent.publish("state", b"", retain=True)
        agent.client.disconnect()
        agent.client.loop_stop()


@pytest.fixture
def agent_id() -> str:
    return f"gw-{uuid.uuid4().hex[:8]}"


def want(database_url: str, agent_id: str, version: int, settings: str = "{}") -> None:
    with connect(database_url) as connection:
        connection.execute(
            "INSERT INTO service.agent_config VALUES (%(a)s, %(v)s, %(s)s, 'h' || %(v)s, now(), 'me') "
            "ON CONFLICT (agent_id) DO UPDATE SET version = %(v)s, settings = %(s)s, hash = 'h' || %(v)s",
            {"a": agent_id, "v": version, "s": settings},
        )
        connection.execute(NOTIFY)


def tell(database_url: str, agent_id: str, expires_in_s: float = 60) -> str:
    with connect(database_url) as connection:
        row = connection.execute(
            "INSERT INTO service.agent_command (agent_id, kind, arguments, issued_at, issued_by, expires_at) "
            "VALUES (%s, 'self_test', '{}', now(), 'me', now() + %s) RETURNING command_id",
            (agent_id, timedelta(seconds=expires_in_s)),
        ).fetchone()
        connection.execute(NOTIFY)
        return str(row["command_id"])


def result_of(command_id: str, **more: object) -> bytes:
    values = {"status": "done", "output": {"n": 1}, **more}
    return json.dumps(CommandResult(command_id, finished_at=datetime.now(UTC), **values).to_json()).encode()


def test_a_configuration_is_retained_and_its_report_is_stored(fleet, broker, agent_of, agent_id, wait_until) -> None:
    fleet.worker(broker, **FAST)
    want(fleet.database_url, agent_id, 1, '{"log_level": "DEBUG"}')
    wait_until(lambda: fleet.rows("SELECT 1 FROM telemetry.config_delivery WHERE sent_at IS NOT NULL"), "sent")
    agent = agent_of(broker, agent_id)
    agent.subscribe()
    wait_until(agent.configs, "the retained configuration comes")
    assert agent.configs()[0] == DesiredConfig(1, "h1", {"log_level": "DEBUG"})
    wait_until(lambda: len(agent.configs()) > 1, "it comes again while nothing is reported")
    agent.report(ConfigReport(1, "refused", "rules.0: no", "", proved=False))
    # The broker also keeps what agents of other tests said last.
    sql = (
        "SELECT config_version, config_status, config_reason, config_proved FROM telemetry.agent_report "
        f"WHERE agent_id = '{agent_id}'"
    )
    wait_until(lambda: fleet.rows(sql) == [(1, "refused", "rules.0: no", False)], "the refusal is stored")
    want(fleet.database_url, agent_id, 2)
    wait_until(lambda: agent.configs()[-1].version == 2, "the next version comes")
    agent.report(ConfigReport(2, "applied", "", "h2"))
    wait_until(lambda: fleet.rows(sql) == [(2, "applied", "", True)], "the application is stored")
    said = len(agent.configs())
    # A fresh agent in its place, which has seen nothing, and a broker that might have forgotten.
    agent.report(ConfigReport())
    wait_until(lambda: len(agent.configs()) > said, "it comes again")


def test_a_command_waits_for_its_agent_and_its_result_is_confirmed(
    fleet, mosquitto, agent_of, agent_id, wait_until
) -> None:
    fleet.worker(mosquitto, **FAST)
    command_id = tell(fleet.database_url, agent_id)
    sql = "SELECT attempts > 0 AS tried, sent_at IS NOT NULL AS sent FROM telemetry.command_delivery"
    wait_until(lambda: fleet.rows(sql) == [(True, False)], "tried, and nobody was there")
    agent = agent_of(mosquitto, agent_id)
    agent.subscribe()
    agent.report(ConfigReport())
    wait_until(agent.commands, "it comes")
    assert (agent.commands()[0].command_id, agent.commands()[0].kind) == (command_id, "self_test")
    identity = agent.publish("command/result", result_of(command_id))
    wait_until(lambda: agent.stored() == identity, "its result is confirmed")
    agent.publish("command/result", result_of(command_id, status="failed", reason="again"))
    wait_until(lambda: len(agent.stored()) == 32, "the second, too")
    assert fleet.rows("SELECT status, output FROM telemetry.command_result") == [("done", {"n": 1})]
    assert fleet.rows(sql) == [(True, True)]


def test_what_nobody_can_use_is_a_dead_letter_and_does_not_stop_the_rest(
    fleet, broker, agent_of, agent_id, wait_until
) -> None:
    fleet.worker(broker, **FAST)
    command_id = tell(fleet.database_url, agent_id)
    agent, other = agent_of(broker, agent_id), agent_of(broker, f"{agent_id}-other")
    agent.subscribe()
    for payload in (b"{", b"\xff", b"[]", b'{"command_id": "7", "status": "done"}',
                    result_of(command_id, output={"text": "a\0b"}), result_of(str(uuid.uuid4()))):  # fmt: skip
        agent.publish("command/result", payload)
    other.publish("command/result", result_of(command_id))
    agent.publish("command/result", result_of(command_id, output={"text": "a\\u0000b"}))
    wait_until(lambda: fleet.rows("SELECT 1 FROM telemetry.command_result"), "the good one is stored")
    reasons = "SELECT reason, count(*) FROM telemetry.dead_letter GROUP BY 1 ORDER BY 1"
    wait_until(lambda: fleet.rows(reasons) == [("malformed", 5), ("unknown_command", 2)], "the others are kept")
    # All but that of the other agent are confirmed to this one.
    wait_until(lambda: len(agent.stored()) == 7 * 16, "all are accounted for")


def test_an_expired_command_is_not_sent(fleet, broker, agent_of, agent_id, wait_until) -> None:
    worker = fleet.worker(broker, **FAST)
    worker.kill()
    tell(fleet.database_url, agent_id, 0.2)
    agent = agent_of(broker, agent_id)
    agent.subscribe()
    fleet.worker(broker, f"{fleet.name}-b", **FAST)
    fresh = tell(fleet.database_url, agent_id)
    wait_until(agent.commands, "the fresh one comes")
    assert {command.command_id for command in agent.commands()} == {fresh}


def test_one_of_two_workers_sends_and_the_other_takes_over(fleet, broker, agent_of, agent_id, wait_until) -> None:
    first, second = fleet.worker(broker, f"{fleet.name}-a"), fleet.worker(broker, f"{fleet.name}-b")
    agent = agent_of(broker, agent_id)
    agent.subscribe()
    before = tell(fleet.database_url, agent_id)
    wait_until(agent.commands, "it comes")
    leaders = [worker for worker in (first, second) if "sends configurations" in worker.log.read_text()]
    assert len(leaders) == 1
    leader = leaders[0]
    leader.kill()
    after = tell(fleet.database_url, agent_id)
    wait_until(lambda: len(agent.commands()) > 1, "the other sends")
    assert [command.command_id for command in agent.commands()] == [before, after]
    agent.publish("command/result", result_of(after))
    wait_until(lambda: fleet.rows("SELECT 1 FROM telemetry.command_result"), "and hears")
