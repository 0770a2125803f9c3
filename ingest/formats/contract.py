"""careloop's own channels: telemetry as SenML in JSON or CBOR, events, and the state of an agent."""

import re
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson

from careloop.contract.messages import AgentState, Event, MessageError
from careloop.contract.senml import ABSOLUTE_FROM_S, BadRecord, Columns, SenmlError, decode_pack, text_labels
from careloop.contract.topics import TopicError, parse_topic
from ingest.delivery import Decoded, Delivery, RefusalError
from ingest.formats.parsing import parse_cbor, parse_json

# An even number of backslashes before it is text about an escape, not an escape.
_ZERO_CHARACTER = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_LONGEST_VERSION = 128
_FIRST_OF_CBOR, _FIRST_OF_MARK = b"\x80", 0xEF
_TIME = itemgetter(0)


def decode_contract(delivery: Delivery) -> Decoded:
    """Read a message on one of careloop's channels.

    Raises:
        RefusalError: `bad_topic` or `malformed`.
    """
    try:
        serial, channel = parse_topic(delivery.topic)
    except TopicError as error:
        raise RefusalError("bad_topic", str(error)) from error
    try:
        if channel == "telemetry":
            return _telemetry(serial, delivery)
        if channel == "event":
            return _events(serial, _parse(delivery))
        if channel == "state":
            return Decoded(serial, state=_state(_parse(delivery)))
    except (SenmlError, MessageError) as error:
        raise RefusalError("malformed", str(error)) from error
    raise RefusalError("bad_topic", f"machines do not send on the channel {channel}")


def _parse(delivery: Delivery) -> Any:
    """The parsed payload, CBOR integer labels still in place."""
    if _is_cbor(delivery.content_type, delivery.payload):
        return parse_cbor(delivery.payload)
    return parse_json(delivery.payload)


def _is_cbor(content_type: str, payload: bytes) -> bool:
    if content_type:
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type.endswith(("cbor", "json")):
            return media_type.endswith("cbor")
    # A byte order mark (0xEF) is JSON's; no CBOR pack starts with it.
    return payload >= _FIRST_OF_CBOR and payload[0] != _FIRST_OF_MARK


def _telemetry(serial: str, delivery: Delivery) -> Decoded:
    if _is_cbor(delivery.content_type, delivery.payload):
        records = _with_text_labels(parse_cbor(delivery.payload))
    else:
        records = parse_json(delivery.payload)
    # Resolved against zero, so that the times which are relative to now can be told from the absolute ones.
    readings, bad = decode_pack(records, serial, 0.0)
    timed_on_arrival = False
    # Columns have absolute times only. Written so that it also holds for a first time that is NaN.
    if readings and not isinstance(readings, Columns) and not min(map(_TIME, readings)) >= ABSOLUTE_FROM_S:
        timed_on_arrival = True
        now_s = delivery.received_at.timestamp()
        readings = [
            reading._replace(time_s=reading.time_s + now_s) if reading.time_s < ABSOLUTE_FROM_S else reading
            for reading in readings
        ]
    return Decoded(serial, readings=readings, bad=bad, timed_on_arrival=timed_on_arrival)


def _with_text_labels(parsed: Any) -> Any:
    """A CBOR pack with its integer labels as text; what is no pack stays as it is, for `decode_pack` to judge."""
    is_pack = isinstance(parsed, list) and all(isinstance(record, dict) for record in parsed)
    return text_labels(parsed) if is_pack else parsed


def _events(serial: str, parsed: Any) -> Decoded:
    """One event, or an array of them; one wrong event of an array does not cost the others."""
    if isinstance(parsed, Mapping):
        return Decoded(serial, events=[_event(parsed)])
    if not isinstance(parsed, Sequence) or isinstance(parsed, str | bytes) or not parsed:
        raise MessageError("an event message is an event or a non-empty array of events")
    decoded = Decoded(serial)
    for index, message in enumerate(parsed):
        try:
            decoded.events.append(_event(message))
        except MessageError as error:
            decoded.bad.append(BadRecord(index, str(error)))
    return decoded


def _event(message: object) -> Event:
    event = Event.from_json(message)
    _require_storable(event.detail)
    return event


def _state(message: object) -> AgentState:
    state = AgentState.from_json(message)
    if len(state.agent_version) > _LONGEST_VERSION or not state.agent_version.isprintable():
        raise MessageError(f"agent_version must be a text of at most {_LONGEST_VERSION} printable characters")
    _require_storable(state.detail)
    return state


def _require_storable(detail: Mapping[str, Any]) -> None:
    """PostgreSQL's jsonb takes what JSON can say, but for the zero character."""
    try:
        text = orjson.dumps(detail)
    except (TypeError, ValueError) as error:
        raise MessageError(f"detail is not JSON: {error}") from error
    if _ZERO_CHARACTER.search(text):
        raise MessageError("detail holds the character U+0000, which cannot be stored")
