"""From a device's publish to rows, on both brokers; nothing lost and nothing doubled, whoever is killed."""

import tempfile
import threading
import time
from pathlib import Path

import cbor2
import orjson
import psutil

from careloop.contract.senml import CONTENT_TYPE_CBOR, Reading, cbor_labels, encode_pack
from careloop.database.engine import connect
from careloop.database.migrations import migrate
from careloop.stack.postgres import EmbeddedPostgres


def packs(count: int, readings: int = 10, start_s: float | None = None):
    """Packs of readings, each with its own times."""
    first = time.time() - 86400 if start_s is None else start_s
    for i in range(count):
        yield [Reading(round(first) + i * readings + k, "temperature", i + k / 16, "Cel") for k in range(readings)]


def under_load(device, count: int, pause_s: float = 0.003) -> threading.Thread:
    """A device that publishes while the test does harm."""

    def publish() -> None:
        for pack in packs(count):
            device.telemetry(pack)
            time.sleep(pause_s)

    thread = threading.Thread(target=publish)
    thread.start()
    return thread


def test_good_and_bad_messages(broker, fleet) -> None:
    worker = fleet.worker(broker)
    device, stranger = fleet.device(broker), fleet.device(broker, f"{fleet.serial}-stranger")
    now_s = round(time.time(), 3)
    device.telemetry([Reading(now_s - 60, "temperature", 20.5, "Cel"), Reading(now_s - 30, "unheard", 1.0, "")])
    cbor = [Reading(now_s - 20, "temperature", 21.25, "Cel")]
    device.sent |= {("temperature", now_s - 20, 21.25)}
    payload = cbor2.dumps(cbor_labels(encode_pack(fleet.serial, cbor)))
    device.publish("telemetry", payload, content_type=CONTENT_TYPE_CBOR)
    for bad in (
        b"",
        b"\x00",
        b"[",
        b"[]",
        b"{}",
        b"[1]",
        b"\xff\xff",
        b"\x9f" * 3000,
        b"[" * 100_000,
        b"nonsense",
        b"x" * 10_000_000,
    ):
        device.publish("telemetry", bad)
        device.publish("event", bad[:1000])
    device.publish(
        "telemetry", f'[{{"n":"temperature","t":{now_s},"v":NaN}},{{"n":"temperature","t":{now_s},"v":3}}]'.encode()
    )
    device.sent |= {("temperature", now_s, 3.0)}
    device.publish("event", orjson.dumps({"time": now_s, "code": "E04", "severity": "error", "detail": {"bar": 9.5}}))
    device.publish("state", orjson.dumps({"online": True, "agent_version": "1.2"}), retain=True)
    stranger.publish("telemetry", b'[{"n":"temperature","v":1}]')
    device.telemetry([Reading(now_s - 10, "temperature", 22.0, "Cel")])
    device.wait()
    stranger.wait()
    fleet.wait_until_stored(device.messages + stranger.messages)
    fleet.assert_exactly(device)
    reasons = dict(fleet.rows("SELECT reason, count(*) FROM telemetry.dead_letter GROUP BY reason"))
    assert reasons == {"bad_record": 1, "malformed": 20, "not_finite": 1, "too_large": 1, "unknown_asset": 1}
    assert fleet.rows(
        "SELECT payload_bytes, length(payload), topic FROM telemetry.dead_letter WHERE reason = 'too_large'"
    ) == [(10_000_000, 65536, f"careloop/v1/{fleet.serial}/telemetry")]
    assert fleet.rows("SELECT code, severity, detail FROM telemetry.event") == [("E04", "error", {"bar": 9.5})]
    # The shared broker also hands over the retained states of other tests' agents.
    states = f"SELECT online, agent_version FROM telemetry.agent_state WHERE agent_id = '{fleet.serial}'"
    assert fleet.rows(states) == [(True, "1.2")]
    assert fleet.delivered() == device.messages + stranger.messages
    assert worker.terminate() == 0


def test_an_asset_registered_later_is_taken_at_once(broker, fleet) -> None:
    late = f"{fleet.serial}-late"
    fleet.worker(broker)
    device = fleet.device(broker, late)
    device.publish("telemetry", b'[{"n":"temperature","t":1700000000,"v":1}]')
    device.wait()
    fleet.wait_until_stored(1)
    fleet.register(late)
    device.telemetry([Reading(1.7e9, "temperature", 2.0, "Cel")])
    device.wait()
    fleet.wait_until_stored(2)
    fleet.assert_exactly(device)


def test_a_killed_ingest_loses_and_doubles_nothing(broker, fleet) -> None:
    worker = fleet.worker(broker)
    device = fleet.device(broker)
    load = under_load(device, 700)
    for kills in range(1, 4):
        before = fleet.delivered()
        fleet.wait_until_stored(before + 20)
        worker.kill()
        worker.start()
        worker.wait_until_connected(kills + 1)
    load.join()
    device.wait()
    fleet.wait_until_stored(700)
    fleet.assert_exactly(device)
    # And once more in an orderly way, with messages left at the broker meanwhile.
    assert worker.terminate() == 0
    for pack in packs(30, start_s=1.6e9):
        device.telemetry(pack)
    device.wait()
    worker.start()
    fleet.wait_until_stored(730)
    fleet.assert_exactly(device)


def test_a_restarted_mosquitto_keeps_what_ingest_has_not_acknowledged(mosquitto_of_its_own, fleet) -> None:
    worker = fleet.worker(mosquitto_of_its_own)
    device = fleet.device(mosquitto_of_its_own)
    load = under_load(device, 300)
    fleet.wait_until_stored(30)
    worker.kill()
    mosquitto_of_its_own.stop()
    mosquitto_of_its_own.start()
    worker.start()
    load.join()
    device.wait()
    fleet.wait_until_stored(300)
    fleet.assert_exactly(device)


def test_a_killed_database_loses_and_doubles_nothing(broker, fleet_of) -> None:
    with tempfile.TemporaryDirectory(prefix="careloop-pg-") as directory:
        Path(directory).chmod(0o711)
        server = EmbeddedPostgres(Path(directory) / "own")
        url = server.start()
        try:
            with connect(url) as connection:
                migrate(connection)
            fleet = fleet_of(url)
            worker = fleet.worker(broker)
            device = fleet.device(broker)
            load = under_load(device, 500)
            fleet.wait_until_stored(50)
            process = psutil.Process(int((server.data / "postmaster.pid").read_text().splitlines()[0]))
            process.kill()
            process.wait(10)
            time.sleep(0.7)
            server = EmbeddedPostgres(server.directory)
            server.start(port=int(url.rpartition(":")[2].partition("/")[0]))
            load.join()
            device.wait()
            fleet.wait_until_stored(500)
            fleet.assert_exactly(device)
            assert "wait for the database" in worker.log.read_text()
            assert worker.terminate() == 0
        finally:
            server.stop()


def test_two_workers_share_the_load_and_one_is_killed(mosquitto, fleet) -> None:
    names = [f"{fleet.name}-{i}" for i in (1, 2)]
    workers = [fleet.worker(mosquitto, name, CARELOOP_INGEST_SHARED="true") for name in names]
    device = fleet.device(mosquitto)
    load = under_load(device, 500)
    fleet.wait_until_stored(60)
    workers[0].kill()
    fleet.wait_until_stored(fleet.delivered() + 30)
    workers[0].start()
    load.join()
    device.wait()
    fleet.wait_until_stored(500)
    fleet.assert_exactly(device)
    progress = dict(fleet.rows("SELECT worker, messages FROM telemetry.ingest_progress"))
    assert set(progress) == set(names)
    assert min(progress.values()) > 50, "one of them did nothing"
    assert sum(progress.values()) == 500


def test_two_workers_that_both_get_everything_store_it_once(broker, fleet, wait_until) -> None:
    for i in (1, 2):
        fleet.worker(broker, f"{fleet.name}-{i}")
    device = fleet.device(broker)
    for pack in packs(200):
        device.telemetry(pack)
    device.wait()
    again = "SELECT coalesce(sum(duplicates), 0)::int FROM telemetry.ingest_progress"
    wait_until(lambda: fleet.rows(again) == [(200,)], "everything delivered twice")
    fleet.assert_exactly(device)
    assert fleet.rows("SELECT sum(messages)::int, sum(duplicates)::int AS again FROM telemetry.ingest_progress") == [
        (200, 200)
    ]


def test_rollups_follow_by_themselves(broker, fleet, wait_until) -> None:
    fleet.worker(broker)
    device = fleet.device(broker)
    for pack in packs(20, readings=60, start_s=1.5e9):
        device.telemetry(pack)
    device.wait()
    fleet.wait_until_stored(20)
    wait_until(lambda: not fleet.rows("SELECT 1 FROM telemetry.rollup_due"), "rolled up")
    assert fleet.rows("SELECT sum(readings)::int FROM telemetry.daily") == [(1200,)]
