"""The AsyncAPI document says what the code does, and the code what the document says."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cbor2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from careloop.contract.identity import identity_of
from careloop.contract.messages import AgentState, Event, MessageError, Severity
from careloop.contract.remote import Command, CommandResult, ConfigReport, DesiredConfig
from careloop.contract.senml import Reading, SenmlError, cbor_labels, decode_pack, encode_pack
from careloop.contract.topics import CHANNELS, SERIAL
from ingest.decode import Decoder, RefusalError
from ingest.formats.home_assistant import COMPONENTS
from ingest.formats.sparkplug import KINDS
from ingest.formats.sparkplug_wire import rebirth_request
from ingest.validate import is_unit
from tests.contract.conftest import Reader, delivery_of, formats_of

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
OFFICIAL = ROOT / "tests" / "timescale" / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0-without-$id.json"
# On which topic an example of a message goes; the others are not for ingest.
TOPICS = {
    "senmlJson": "careloop/v1/KW-1/telemetry", "senmlCbor": "careloop/v1/KW-1/telemetry",
    "events": "careloop/v1/KW-1/event", "state": "careloop/v1/KW-1/state", "sparkplug": "spBv1.0/G/NDEATH/n",
    "jsonObject": "data/KW-1", "jsonGateway": "v1/gateway/telemetry",
    "homeAssistantDiscovery": "homeassistant/sensor/KW-1/t/config",
    "homeAssistantState": "homeassistant/sensor/KW-1/t/state",
}  # fmt: skip


def schema(name: str) -> Draft7Validator:
    return Draft7Validator({"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]})


def payload_schema(name: str) -> Draft7Validator:
    return Draft7Validator({**MESSAGES[name]["payload"], "components": DOCUMENT["components"]})


def examples() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, message in MESSAGES.items():
        for example in message["examples"]:
            yield name, example


def payload_bytes(name: str, example: dict[str, Any]) -> bytes:
    if MESSAGES[name]["payload"].get("contentEncoding") == "base16":
        return bytes.fromhex(example["payload"])
    return json.dumps(example["payload"]).encode()


EXAMPLES = list(examples())
IDS = [f"{name}-{example['name']}" for name, example in EXAMPLES]


def test_it_is_asyncapi_3() -> None:
    if not OFFICIAL.exists():
        missing = f"{OFFICIAL} is missing; run: cd tests/timescale && npm install --legacy-peer-deps --no-package-lock"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    validator = Draft7Validator(json.loads(OFFICIAL.read_text()))
    assert [f"{list(error.path)}: {error.message[:200]}" for error in validator.iter_errors(DOCUMENT)] == []


def test_every_reference_leads_somewhere() -> None:
    def references(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            yield from (value for key, value in node.items() if key == "$ref")
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    for reference in references(DOCUMENT):
        node: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            assert step in node, reference
            node = node[step]
    used = {channel["$ref"] for operation in DOCUMENT["operations"].values() for channel in [operation["channel"]]}
    assert used == {f"#/channels/{name}" for name in DOCUMENT["channels"]}


def test_its_channels_are_those_of_the_contract() -> None:
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values() if channel["address"]}
    own = {address.removeprefix("careloop/v1/{serial}/") for address in addresses if address.startswith("careloop/")}
    assert own == set(CHANNELS)
    kinds = {
        kind
        for channel in DOCUMENT["channels"].values()
        for kind in channel.get("parameters", {}).get("kind", {}).get("enum", [])
    }
    assert kinds == set(KINDS)
    discovery = DOCUMENT["channels"]["homeAssistantDiscovery"]["parameters"]["component"]["enum"]
    assert set(discovery) == {*COMPONENTS, "device"}
    assert DOCUMENT["components"]["schemas"]["serial"]["pattern"] == f"^{SERIAL.pattern}$"


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=IDS)
def test_an_example_fits_its_own_schema(name: str, example: dict[str, Any]) -> None:
    assert [error.message for error in payload_schema(name).iter_errors(example["payload"])] == []


@pytest.mark.parametrize(
    ("name", "example"), [case for case in EXAMPLES if case[0] in TOPICS],
    ids=[name for name, case in zip(IDS, EXAMPLES, strict=True) if case[0] in TOPICS],
)  # fmt: skip
def test_an_example_decodes_to_what_stands_beside_it(name: str, example: dict[str, Any]) -> None:
    reader = Reader(Decoder(formats_of("json_objects")))
    content_type = MESSAGES[name].get("contentType", "application/json")
    answer = reader.read(delivery_of(TOPICS[name], payload_bytes(name, example), content_type))
    assert not isinstance(answer, RefusalError), answer
    assert [part.bad for part in answer if part.bad] == []
    readings = MESSAGES[name].get("x-readings", {}).get(example["name"])
    if readings is not None:
        found = [
            [part.serial, reading.time_s, reading.metric, reading.value, reading.unit]
            for part in answer
            for reading in part.readings
        ]
        assert found == readings
    events = MESSAGES[name].get("x-events", {}).get(example["name"])
    assert [event.code for part in answer for event in part.events] == (events or [])


def test_every_example_of_readings_says_which() -> None:
    for name in ("senmlJson", "senmlCbor", "jsonObject", "jsonGateway"):
        assert list(MESSAGES[name]["x-readings"]) == [example["name"] for example in MESSAGES[name]["examples"]]


# What the code emits fits the schemas ---------------------------------------------------------

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20)
times = st.integers(946684800, 4102444800).map(lambda time_s: datetime.fromtimestamp(time_s + time_s % 8 / 8, UTC))
details = st.dictionaries(names, st.one_of(finite, st.text(max_size=9), st.booleans(), st.none()), max_size=3)
texts = st.text(max_size=30)
hashes = st.text("0123456789abcdef", max_size=32)


@given(
    st.lists(
        st.builds(Reading, st.integers(10**9, 2 * 10**9).map(float), names, finite, st.sampled_from(["", "bar"])),
        min_size=1,
    )
)
def test_packs_fit(readings: list[Reading]) -> None:
    pack = encode_pack("KW-1", readings)
    assert schema("senmlPack").is_valid(json.loads(json.dumps(pack)))
    assert [set(record) for record in cbor2.loads(cbor2.dumps(cbor_labels(pack)))] == [
        {{"bn": -2, "bt": -3, "n": 0, "u": 1, "t": 6, "v": 2}[name] for name in record} for record in pack
    ]


@given(st.builds(Event, times, names, st.sampled_from(Severity.__args__), details))
def test_events_fit(event: Event) -> None:
    assert schema("event").is_valid(event.to_json())


reports = st.builds(
    ConfigReport,
    st.integers(0, 2**31 - 1),
    st.sampled_from(["applied", "refused", "rolled_back"]),
    texts,
    hashes,
    st.booleans(),
)


@given(st.builds(AgentState, st.booleans(), names, details), reports)
def test_states_fit(state: AgentState, report: ConfigReport) -> None:
    assert schema("state").is_valid(state.to_json())
    reporting = AgentState(state.online, state.agent_version, {"config": report.to_json()})
    assert schema("state").is_valid(reporting.to_json())


@given(
    st.builds(DesiredConfig, st.integers(1, 2**31 - 1), hashes, details),
    st.builds(Command, names, names, times, details),
    st.builds(CommandResult, names, st.sampled_from(["done", "failed", "refused", "expired"]), times, texts, details),
)
def test_configurations_commands_and_results_fit(
    config: DesiredConfig, command: Command, result: CommandResult
) -> None:
    assert schema("desiredConfig").is_valid(config.to_json())
    assert schema("command").is_valid(command.to_json())
    assert schema("commandResult").is_valid(result.to_json())


def test_bytes_are_what_the_examples_show() -> None:
    stored = MESSAGES["stored"]["examples"][0]["payload"]
    assert identity_of("careloop/v1/KW-1/telemetry", b"[]").hex() == stored
    assert rebirth_request(1700000000000).hex() == MESSAGES["sparkplugRebirth"]["examples"][0]["payload"]


# What the schemas refuse the code refuses, and the other way round ----------------------------


def _pack(message: object) -> None:
    readings, bad = decode_pack(message, "KW-1", 0.0)
    if bad or not all(is_unit(reading.unit) for reading in readings):
        raise SenmlError("bad")


def _state(message: object) -> None:
    try:
        Decoder().decode(delivery_of("careloop/v1/KW-1/state", json.dumps(message).encode()))
    except RefusalError as refusal:
        raise MessageError(refusal.detail) from refusal


PARSERS: dict[str, tuple[Callable[[Any], object], Any]] = {
    "senmlPack": (_pack, [{"bn": "KW-1/", "bt": 1.7e9, "n": "a", "u": "bar", "v": 1, "t": 2, "s": 3}]),
    "event": (Event.from_json, {"time": "2026-06-30T12:00:00Z", "code": "E1", "severity": "info", "detail": {}}),
    "state": (_state, {"online": True, "agent_version": "1", "detail": {}}),
    "configReport": (
        ConfigReport.from_json,
        {"version": 3, "status": "applied", "reason": "", "hash": "", "proved": True},
    ),
    "desiredConfig": (DesiredConfig.from_json, {"version": 3, "hash": "a", "settings": {}}),
    "command": (
        Command.from_json,
        {"command_id": "c", "kind": "self_test", "arguments": {}, "expires_at": "2026-06-30T12:00:00+00:00"},
    ),
    "commandResult": (
        CommandResult.from_json,
        {"command_id": "c", "status": "done", "finished_at": "2026-06-30T12:00:00Z", "reason": "", "output": {}},
    ),
}  # fmt: skip
VALUES = (
    None, True, False, 0, 1, -1, 1.5, 2**40, "", "x", "x" * 2000, [], [1], {}, {"a": 1}, "2026-06-30T12:00:00Z",
    "2026-06-30", "nonsense", "applied", "done",
)  # fmt: skip


def _changed(message: Any) -> Iterator[Any]:
    inner = message[0] if isinstance(message, list) else message
    for name in inner:
        rest = {key: value for key, value in inner.items() if key != name}
        yield [rest] if isinstance(message, list) else rest
        for value in VALUES:
            changed = {**inner, name: value}
            yield [changed] if isinstance(message, list) else changed
    yield [{**inner, "unknown": 1}] if isinstance(message, list) else {**inner, "unknown": 1}
    yield from VALUES


@pytest.mark.parametrize("name", PARSERS)
def test_schema_and_code_refuse_the_same(name: str) -> None:
    parse, message = PARSERS[name]
    validator = schema(name)
    both = {True: 0, False: 0}
    for changed in _changed(message):
        try:
            parse(changed)
            accepted = True
        except (MessageError, SenmlError):
            accepted = False
        assert validator.is_valid(changed) == accepted, changed
        both[accepted] += 1
    assert min(both.values()) > 10
