"""No payload crashes, hangs or gets lost. CARELOOP_FUZZ_PAYLOADS and CARELOOP_FUZZ_STORED set how many."""

import os
import time
from collections import Counter
from dataclasses import replace
from itertools import islice
from uuid import UUID

import pytest

from careloop.contract.senml import Columns
from ingest.decode import Decoded, Decoder, Delivery, RefusalError
from ingest.downlink.reports import UnusableError
from ingest.downlink.reports import read as read_report
from ingest.rows import Sorter
from ingest.validate import OLDEST, Metric, Span, validate_events, validate_readings
from tests.contract.conftest import NOW, Line, Reader, delivery_of, formats_of
from tests.contract.mutation import mutations

PAYLOADS = int(os.environ.get("CARELOOP_FUZZ_PAYLOADS", "6000"))
SEED = int(os.environ.get("CARELOOP_FUZZ_SEED", "20261121"))
THROUGH_THE_STORE = int(os.environ.get("CARELOOP_FUZZ_STORED", "2500"))
# Of processor time, so that a busy machine does not fail it; a payload has at most 200 kB here.
# A hang, not a slow machine.
SLOWEST_S = 5.0
REASONS = {"malformed", "bad_topic", "unknown_alias", "too_large"}


def test_every_payload_has_an_answer_in_time() -> None:
    reader = Reader(Decoder(formats_of("json_objects", "Europe/Berlin")))
    span = Span(OLDEST, NOW)
    answers = {"read": 0, "refused": 0, "readings": 0, "slowest_s": 0.0}
    for number, delivery in enumerate(islice(mutations(SEED), PAYLOADS)):
        started = time.thread_time()
        try:
            answer = reader.read(delivery)
            if isinstance(answer, RefusalError):
                assert answer.reason in REASONS
                assert 0 < len(answer.detail) < 2000
                answers["refused"] += 1
            else:
                answers["read"] += 1
                for part in answer:
                    # Whatever the units are.
                    metrics = {reading.metric: Metric(1, "bar") for reading in part.readings}
                    rows, problems = validate_readings(part.readings, metrics, span)
                    assert len(rows) <= len(part.readings)
                    assert all(problem.detail for problem in problems)
                    validate_events(part.events, span)
                    answers["readings"] += len(rows)
        except Exception as error:  # noqa: BLE001 - any is a failure, and the payload must be told
            pytest.fail(f"payload {number} of seed {SEED}: {error!r}: {_shown(delivery)}")
        took = time.thread_time() - started
        answers["slowest_s"] = max(answers["slowest_s"], took)
        assert took < SLOWEST_S, f"payload {number} of seed {SEED} took {took} s: {_shown(delivery)}"
        if number % 500 == 0:
            # So that data also comes before its birth.
            reader.announced.clear()
    print(f"\n{PAYLOADS} payloads: {answers}")
    # Mutations that hit nothing would prove nothing.
    assert answers["read"] > PAYLOADS / 10
    assert answers["refused"] > PAYLOADS / 10
    assert answers["read"] + answers["refused"] == PAYLOADS


def test_what_agents_answer_cannot_hurt_the_downlink() -> None:
    answers = Counter[str]()
    for number, delivery in enumerate(islice(mutations(SEED + 2), PAYLOADS // 4)):
        for channel in ("state", "command/result"):
            topic = f"careloop/v1/KW-1/{channel}"
            try:
                heard = read_report(topic, delivery.payload, NOW, retained=bool(number % 2), most_bytes=100_000)
                answers[type(heard).__name__] += 1
            except UnusableError:
                answers["unusable"] += 1
    assert answers["unusable"] > PAYLOADS / 8


def test_through_the_store_every_message_is_stored_or_a_dead_letter(line: Line) -> None:
    line.decoder = Decoder(formats_of("json_objects"))
    sent = list(islice(mutations(SEED + 1), THROUGH_THE_STORE))
    for start in range(0, len(sent), 100):
        good = delivery_of("careloop/v1/KW-1/telemetry", b'[{"bt":1.7e9,"n":"beat","v":%d}]' % start)
        line.write(*sent[start : start + 50], good, *sent[start + 50 : start + 100])
    kept = {row[0] for row in line.rows("SELECT message_id FROM telemetry.message")}
    kept |= {row[0] for row in line.rows("SELECT message_id FROM telemetry.dead_letter")}
    lost = [
        delivery for delivery in sent if not (_identities(delivery, line) & kept or _says_no_reading(delivery, line))
    ]
    assert [_shown(delivery) for delivery in lost] == []
    # Not one of those behind a bad one was held up.
    beats = line.rows(
        "SELECT count(*) FROM telemetry.reading r JOIN telemetry.metric m USING (metric_id) WHERE m.name = 'beat'"
    )
    assert beats == [(len(range(0, len(sent), 100)),)]


def test_a_bad_message_does_not_delay_the_next(line: Line) -> None:
    bombs = [delivery_of("careloop/v1/KW-1/event", payload) for payload in (b"\xff" * 1000, b"[" * 100_000, b"")]
    good = delivery_of("careloop/v1/KW-1/telemetry", b'[{"bt":1.7e9,"n":"temperature","v":1}]')
    stored = line.write(*bombs, good)
    assert (stored.messages, stored.readings, stored.dead_letters) == (4, 1, 3)


def test_a_unit_that_cannot_be_kept_costs_its_reading_only(line: Line) -> None:
    units = [b'"\\u0000"', b'"' + b"K" * 100_000 + b'"', b'"\\u202e"']
    packs = [b'[{"bt":1.7e9,"n":"m%d","u":%s,"v":1},{"n":"m","v":%d}]' % (n, unit, n) for n, unit in enumerate(units)]
    stored = line.write(*(delivery_of("careloop/v1/KW-1/telemetry", pack) for pack in packs))
    assert (stored.messages, stored.readings) == (3, 3)
    assert line.reasons() == ["wrong_unit"] * 3


def test_what_is_remembered_of_packs_stays_small() -> None:
    sorter = Sorter({"a": Metric(1, "bar")})
    for length in range(5000, 5040):
        readings = Columns([1.7e9] * length, ["a"] * length, [1.0] * length, ["bar" + " " * 30] * length)
        sorter.sort(readings, Span(OLDEST, NOW))
    for length in range(1, 40):
        readings = Columns([1.7e9] * length, ["a"] * length, [1.0] * length, ["bar"] * length)
        assert len(sorter.sort(readings, Span(OLDEST, NOW))[0]) == length
    assert len(sorter._shapes) == 39


def test_a_decoder_with_a_defect_costs_its_message_only(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    class Defective(Decoder):
        def decode(self, delivery: Delivery) -> Decoded:
            if delivery.payload == b"[]":
                raise ZeroDivisionError("nobody thought of it")
            return super().decode(delivery)

    line.decoder = Defective()
    stored = line.write(
        delivery_of("careloop/v1/KW-1/telemetry", b"[]"),
        delivery_of("careloop/v1/KW-1/telemetry", b'[{"bt":1.7e9,"n":"temperature","v":1}]'),
    )
    assert (stored.readings, stored.dead_letters) == (1, 1)
    assert "nobody thought of it" in caplog.text


def _identities(delivery: Delivery, line: Line) -> set[UUID]:
    """Under which identities a message, or each part of one, may be kept."""
    try:
        decoded = line.decoder.decode(delivery)
    except RefusalError:
        return {delivery.identity}
    parts = [delivery, *(replace(delivery, part=part.serial) for part in (decoded, *decoded.also))]
    return {part.identity_stored(timed_on_arrival=timed) for part in parts for timed in (False, True)}


def _says_no_reading(delivery: Delivery, line: Line) -> bool:
    """States and announcements are kept elsewhere, and leave no identity."""
    try:
        decoded = line.decoder.decode(delivery)
    except RefusalError:
        return False
    return decoded.state is not None or decoded.unresolved is not None


def _shown(delivery: Delivery) -> str:
    return f"{delivery.topic} {delivery.content_type} {delivery.payload[:400].hex()}"
