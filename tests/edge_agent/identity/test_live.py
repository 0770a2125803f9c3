"""A device from its claim key on: real API, real Mosquitto with TLS, the agent as a process."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509

LIVE = """
[broker]
confirm = "broker"
reconnect_min_s = 0.05
reconnect_max_s = 0.2
[identity]
directory = "{directory}"
[batching]
interval_s = 0.1
[buffer]
file = "{buffer}"
[[sources]]
kind = "simulator"
interval_s = 0.1
seed = 5
start = "2026-01-01T00:00:00Z"
[sources.fleet]
robot_vacuum = 2
"""


@pytest.fixture
def claim(platform, tmp_path: Path):
    def run(serial: str, key: str, *words: str, into: Path | None = None) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "careloop", "edge", "claim", "--api", platform.api.url, "--serial", serial,
             "--into", str(into or tmp_path / "identity"), *words],
            env=os.environ | {"CARELOOP_EDGE_CLAIM_KEY": key},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def edge(claim, run_agent, listen, tmp_path: Path) -> SimpleNamespace:
    """A device: its configuration, its identity's place, and what it does."""
    config = tmp_path / "edge.toml"
    identity = tmp_path / "identity"
    config.write_text(LIVE.format(directory=identity, buffer=tmp_path / "buffer.sqlite"))
    run = partial(run_agent, {}, "--config", str(config))
    return SimpleNamespace(config=config, identity=identity, claim=claim, run=run, listen=listen)


def fleet_of(config: Path) -> list[str]:
    words = [sys.executable, "-m", "careloop", "edge", "fleet", "--config", str(config)]
    return [asset["serial"] for asset in json.loads(subprocess.check_output(words))]


def assets_of(serials: list[str]) -> list[str]:
    return [word for serial in serials for word in ("--asset", serial)]


def test_a_certificate_renews_in_a_running_agent_and_nothing_is_lost(platform, edge, eventually) -> None:
    serials = fleet_of(edge.config)
    key = platform.claim_key(gateway=True, asset_pattern="*")
    done = edge.claim("GW-1", key, "--certificate", *assets_of(serials))
    assert done.returncode == 0, done.stderr
    identity = edge.identity
    assert {file.name: file.stat().st_mode & 0o777 for file in identity.iterdir()} == dict.fromkeys(
        ("identity.json", "device.pem", "broker-ca.pem"), 0o600
    )
    assert identity.stat().st_mode & 0o777 == 0o700
    assert key not in done.stdout + done.stderr
    first = serial_in(identity)

    heard = edge.listen(platform.platform_url, "careloop/v1/+/telemetry", "careloop/v1/+/state")
    agent = edge.run()

    def connections() -> int:
        return "".join(agent.log).count("connected to the broker as GW-1")

    # By the third the first certificate has run out, so one that went on with it would be refused.
    eventually(lambda: connections() >= 3 or agent.process.poll() is not None, "it connected with each new certificate")
    assert len(platform.devices()[0]["certificates"]) >= 3
    agent.process.terminate()
    assert agent.process.wait(20) == 0
    assert serial_in(identity) != first
    # Its last words were not needed: it said goodbye before each new connection.
    states = [json.loads(message.payload) for message in heard.of("state") if message.topic.endswith("GW-1/state")]
    assert all("will" not in state.get("detail", {}) for state in states)
    gapless(heard.readings(at_least=100), serials)
    log = "".join(agent.log)
    assert "for the next start" not in log
    assert "renewed the certificate of GW-1" in log
    assert "PRIVATE KEY" not in log


def serial_in(identity: Path) -> int:
    return x509.load_pem_x509_certificate((identity / "device.pem").read_bytes()).serial_number


def gapless(readings: dict[tuple[str, str, float], float], serials: list[str]) -> None:
    """Every machine's every reading, ten a second, is there from the first to the last."""
    times: dict[tuple[str, str], list[float]] = {}
    for serial, metric, time_s in readings:
        times.setdefault((serial, metric), []).append(time_s)
    assert {serial for serial, _ in times} == set(serials)
    for series, moments in times.items():
        steps = {round((after - before) * 10) for before, after in pairwise(sorted(moments))}
        assert steps == {1}, f"{series}: {steps}"


def test_a_certificate_renewed_while_the_broker_is_away_is_the_one_it_comes_back_with(
    platform, edge, eventually
) -> None:
    serials = fleet_of(edge.config)
    assert edge.claim("GW-1", platform.claim_key(gateway=True, asset_pattern="*"), "--certificate",
                      *assets_of(serials)).returncode == 0  # fmt: skip
    agent = edge.run()
    eventually(lambda: "connected to the broker" in "".join(agent.log), "it connected")
    platform.stop_broker()
    eventually(lambda: "".join(agent.log).count("renewed the certificate") >= 2, "it renewed twice meanwhile")
    before = "".join(agent.log).count("connected to the broker")
    platform.start_broker()
    heard = edge.listen(platform.platform_url, "careloop/v1/+/telemetry")
    eventually(lambda: "".join(agent.log).count("connected to the broker") > before, "it came back")
    # What was measured meanwhile comes now, and what was stored before is not looked at.
    assert len(heard.readings(at_least=100)) >= 100
    agent.process.terminate()
    assert agent.process.wait(20) == 0


@pytest.mark.parametrize("certificate_life_s", [4.0])
def test_a_machine_that_was_switched_off_for_too_long_comes_back(platform, edge, eventually) -> None:
    serials = fleet_of(edge.config)
    assert edge.claim("GW-1", platform.claim_key(gateway=True, asset_pattern="*"), "--certificate",
                      *assets_of(serials)).returncode == 0  # fmt: skip
    certificate = x509.load_pem_x509_certificate((edge.identity / "device.pem").read_bytes())
    eventually(lambda: datetime.now(UTC) > certificate.not_valid_after_utc, "the certificate has run out")
    agent = edge.run()
    eventually(lambda: "connected to the broker as GW-1" in "".join(agent.log), "it renewed it and connected")
    assert serial_in(edge.identity) != certificate.serial_number


def test_a_password_connects_by_tls(platform, edge) -> None:
    serials = fleet_of(edge.config)
    done = edge.claim("GW-2", platform.claim_key(gateway=True, asset_pattern="*"), *assets_of(serials))
    assert done.returncode == 0, done.stderr
    said = json.loads((edge.identity / "identity.json").read_text())
    assert (said["kind"], said["agent_id"]) == ("password", "GW-2")
    assert said["password"] not in done.stdout + done.stderr
    heard = edge.listen(platform.platform_url, "careloop/v1/+/telemetry")
    agent = edge.run()
    gapless(heard.readings(at_least=40), serials)
    assert said["password"] not in "".join(agent.log)


def test_a_claim_is_repeated_only_by_its_own_directory(platform, claim, tmp_path) -> None:
    key = platform.claim_key()
    assert claim("KW-1", key, "--certificate").returncode == 0
    again = claim("KW-1", key, "--certificate")
    assert again.returncode == 2
    assert "holds the identity of KW-1 already" in again.stderr
    other = claim("KW-1", key, "--certificate", into=tmp_path / "other")
    assert other.returncode == 2
    assert "is claimed already" in other.stderr
    assert not (tmp_path / "other" / "identity.json").exists()
    wrong = claim("KW-2", "clk_wrong", into=tmp_path / "wrong")
    assert "refused (401)" in wrong.stderr
    assert len(wrong.stderr.splitlines()) == 1
