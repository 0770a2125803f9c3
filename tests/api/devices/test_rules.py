"""Who may reach which topic, decided in one place for every broker."""

from datetime import UTC, datetime, timedelta

import pytest

from api.conventions.limits import Limiter
from api.devices.broker_files import acl_lines, password_lines
from api.devices.passwords import hash_password, is_password, password_from
from api.devices.provisioning import Provisioning, read_accounts
from api.devices.rules import (
    OtherTopics,
    Right,
    allows,
    covers,
    device_rights,
    is_in_batch,
    is_own_client_id,
    key_fault,
    matches,
    may_still_renew,
    service_rights,
)
from careloop.contract.topics import CHANNELS, topic
from careloop.errors import CareloopError

NOW = datetime(2026, 7, 1, tzinfo=UTC)
UP = {"telemetry", "event", "state", "command/result"}
OTHER = OtherTopics(("spBv1.0/#",), ("spBv1.0/+/NCMD/+",), ("spBv1.0/+/NCMD/{id}",), ("spBv1.0/+/NDATA/{id}",))


def test_a_device_speaks_for_itself_and_its_machines_and_hears_itself_only() -> None:
    rights = device_rights("GW-1", ["KW-1", "KW-2"], OtherTopics())
    for serial in ("GW-1", "KW-1", "KW-2", "KW-3"):
        for channel in CHANNELS:
            name = topic(serial, channel)
            assert allows(rights, "publish", name) is (channel in UP and serial != "KW-3"), name
            assert allows(rights, "subscribe", name) is (channel not in UP and serial == "GW-1"), name
    for wide in ("#", "careloop/#", "careloop/v1/+/command", "careloop/v1/GW-1/#", "careloop/v1/GW-1/+", "$SYS/#"):
        assert not allows(rights, "subscribe", wide), wide
    assert not allows(rights, "publish", "careloop/v1/+/telemetry")


def test_services_hear_everybody_and_answer() -> None:
    rights = service_rights(OTHER)
    for channel in CHANNELS:
        assert allows(rights, "subscribe", f"careloop/v1/+/{channel}") is (channel in UP)
        assert allows(rights, "publish", topic("KW-1", channel)) is (channel not in UP)
    assert allows(rights, "subscribe", "$share/careloop-ingest/careloop/v1/+/telemetry")
    assert allows(rights, "subscribe", "$queue/careloop/v1/+/event")
    assert allows(rights, "subscribe", "spBv1.0/#")
    assert allows(rights, "publish", "spBv1.0/plant/NCMD/node-1")
    assert not allows(rights, "publish", "spBv1.0/plant/NDATA/node-1")
    assert not allows(rights, "subscribe", "#")


def test_other_topics_hold_the_devices_own_id() -> None:
    rights = device_rights("KW-1", (), OTHER)
    assert allows(rights, "publish", "spBv1.0/plant/NDATA/KW-1")
    assert not allows(rights, "publish", "spBv1.0/plant/NDATA/KW-2")
    assert allows(rights, "subscribe", "spBv1.0/plant/NCMD/KW-1")


@pytest.mark.parametrize(
    ("granted", "wanted", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
        ("a/+", "a/+", True),
        ("a/+", "a/#", False),
        ("a/+/c", "a/#", False),
        ("a/#", "a", True),
        ("a/#", "a/b/+/#", True),
        ("#", "$SYS/broker/uptime", False),
        ("+/broker/uptime", "$SYS/broker/uptime", False),
        ("$SYS/#", "$SYS/broker/uptime", True),
        ("a/+", "a/", True),
        ("a/b", "a/B", False),
    ],
)
def test_a_filter_covers_another(granted: str, wanted: str, expected: bool) -> None:
    assert covers(granted, wanted) is expected


def test_another_devices_client_id_is_not_ones_own() -> None:
    for own in ("", "KW-1", "careloop-edge-KW-1", "KW-1:diagnosis"):
        assert is_own_client_id("KW-1", own)
    for other in ("KW-10", "careloop-edge-KW-2", "careloop-edge-KW-10", "ingest-1"):
        assert not is_own_client_id("KW-1", other)


def test_serial_numbers_of_a_batch() -> None:
    assert is_in_batch("KW-1", None, ["KW-1"])
    assert not is_in_batch("KW-2", None, ["KW-1"])
    assert is_in_batch("KW-1", "KW-?", None)
    assert not is_in_batch("KW-12", "KW-?", None)
    # A dot is a dot.
    assert not matches("K.1", "KX1")
    assert not matches("*", "KW/1")
    assert not matches("*", "KW-1\n")


def test_keys_end_and_certificates_have_grace() -> None:
    day = timedelta(days=1)
    assert key_fault(NOW + day, None, NOW) is None
    assert key_fault(NOW, None, NOW) == "expired"
    assert key_fault(NOW + day, NOW, NOW) == "revoked"
    assert may_still_renew(NOW - day, 2 * day, NOW)
    assert not may_still_renew(NOW - 2 * day, 2 * day, NOW)


def test_a_password_is_known_by_its_hash_only() -> None:
    kept = hash_password("secret")
    assert is_password("secret", kept)
    assert not is_password("Secret", kept)
    assert not is_password("nobody", None)
    assert hash_password("secret") != kept
    with pytest.raises(ValueError, match="Mosquitto 2"):
        is_password("secret", "$6$old")


def test_a_password_follows_from_both_secrets() -> None:
    assert password_from("a" * 32, b"salt") == password_from("a" * 32, b"salt")
    assert password_from("a" * 32, b"salt") != password_from("a" * 32, b"pepper")
    assert password_from("a" * 32, b"salt") != password_from("b" * 32, b"salt")
    assert password_from(None, b"salt") != password_from(None, b"salt")


def test_an_address_may_try_again_after_a_while() -> None:
    limiter = Limiter(per_minute=6)
    for _ in range(6):
        assert limiter.wait_s("a", NOW) == 0
        limiter.count("a", NOW)
    assert limiter.wait_s("a", NOW) == pytest.approx(10)
    assert limiter.wait_s("b", NOW) == 0
    assert limiter.wait_s("a", NOW + timedelta(seconds=11)) == 0
    # The clock was set back: nothing is gained by it, and nobody waits for it to come again.
    assert limiter.wait_s("a", NOW - timedelta(days=1)) == pytest.approx(10)
    limiter.count("a", NOW - timedelta(days=1))
    assert limiter.wait_s("a", NOW - timedelta(days=1) + timedelta(seconds=21)) == 0


def _device(agent_id: str, **fields: object) -> dict:
    return {"agent_id": agent_id, "state": "active", "password_hash": None, "assets": []} | fields


def test_a_devices_name_never_gets_a_services_rights_or_password() -> None:
    provisioning = Provisioning(accounts={"platform": "$7$1$YQ==$YQ=="})
    devices = [_device("platform", password_hash="$7$1$Yg==$Yg==", assets=["KW-1"])]
    assert password_lines(provisioning.accounts, devices) == "platform:$7$1$YQ==$YQ==\n"
    assert acl_lines(provisioning, devices).count("user platform") == 1
    assert "KW-1" not in acl_lines(provisioning, devices)


def test_the_acl_file_says_what_the_rules_say() -> None:
    devices = [_device("GW-1", assets=["KW-1"]), _device("KW-9", state="revoked"), _device("KW-8", state="released")]
    text = acl_lines(Provisioning(other_topics=OTHER), devices)
    assert "pattern write careloop/v1/%u/telemetry\n" in text
    assert "pattern write spBv1.0/+/NDATA/%u\n" in text
    assert "user GW-1\ntopic write careloop/v1/KW-1/telemetry\n" in text
    assert "user KW-9\ntopic deny #\n" in text
    assert "user KW-8\ntopic deny #\n" in text
    assert Right("read", "careloop/v1/%u/stored") in device_rights("%u", (), OTHER)


@pytest.mark.parametrize("line", ["no colon", "bad name:pw", "a/b:pw", "empty:", "a:1\na:2"])
def test_a_wrong_line_among_the_accounts_is_named(tmp_path, line: str) -> None:
    file = tmp_path / "accounts"
    file.write_text(f"# by hand\n\nfine:pw\n{line}\n")
    with pytest.raises(CareloopError, match=r"accounts:[45]: "):
        read_accounts(file)
