"""From a message's bytes to readings, events or a state; pure.

Telemetry is SenML as JSON or CBOR, told apart by the MQTT 5 content type, else by the first byte: no JSON text starts
with a byte from 0x80 up, every CBOR array and map does. What each refusal means stands in docs/mqtt-contract.md.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

import cbor2
import orjson

from careloop.contract.identity import identity_of as wire_identity
from careloop.contract.messages import AgentState, Event, MessageError
from careloop.contract.senml import ABSOLUTE_FROM_S, BadRecord, Reading, SenmlError, decode_pack, text_labels
from careloop.contract.topics import TopicError, parse_topic

# An even number of backslashes before it is text about an escape, not an escape.
_ZERO_CHARACTER = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


_TIME = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as the broker handed it over.

    Attributes:
        topic: Its topic.
        payload: Its bytes; only the first of them when it was too large to keep.
        payload_bytes: How many bytes it really had.
        content_type: The MQTT 5 content type, or an empty string.
        received_at: When it arrived, UTC.
        identity: 128-bit hash of topic and payload.
        response_topic: Where its sender wants to hear that it is stored, or an empty string.
        connection: Number of the broker connection it came on; an acknowledgement is good on that one only.
        mid: MQTT packet identifier.
        qos: 0 or 1.
    """

    topic: str
    payload: bytes
    payload_bytes: int
    content_type: str
    received_at: datetime
    identity: UUID
    connection: int = 0
    mid: int = 0
    qos: int = 0
    response_topic: str = ""


@dataclass(slots=True)
class Decoded:
    """What a message says.

    Attributes:
        serial: Serial number from the topic.
        readings: Its readings, times absolute.
        events: Its events.
        state: The agent's state, in a state message.
        bad: Records and events that could not be read, while the rest could.
        timed_on_arrival: Some reading had no time of its own; see `identity_of`.
    """

    serial: str
    readings: list[Reading] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    state: AgentState | None = None
    bad: list[BadRecord] = field(default_factory=list)
    timed_on_arrival: bool = False


class RefusalError(ValueError):
    """Nothing of a message can be stored.

    Attributes:
        reason: Stable word for the dead letter.
        detail: What is wrong, in words.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


def identity_of(topic: str, payload: bytes, arrived_at: datetime | None = None) -> UUID:
    """The 128-bit identity that makes a message count once however often it is delivered.

    Args:
        topic: The topic.
        payload: The whole payload.
        arrived_at: Given for readings without a time of their own, which are timed on arrival: two equal payloads are
            then two measurements, not one delivered twice. Only the table knows this one; on the wire goes the other.
    """
    if arrived_at is not None:
        payload += arrived_at.isoformat().encode()
    return UUID(bytes=wire_identity(topic, payload))


def decode(delivery: Delivery) -> Decoded:
    """Read a message.

    Raises:
        RefusalError: `bad_topic`, `too_large` or `malformed`.
    """
    try:
        serial, channel = parse_topic(delivery.topic)
    except TopicError as error:
        raise RefusalError("bad_topic", str(error)) from error
    if delivery.payload_bytes > len(delivery.payload):
        kept = len(delivery.payload)
        raise RefusalError("too_large", f"{delivery.payload_bytes} bytes; the first {kept} are kept")
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
    payload = delivery.payload
    if not payload:
        raise RefusalError("malformed", "the payload is empty")
    try:
        return cbor2.loads(payload) if _is_cbor(delivery.content_type, payload) else _parse_json(payload)
    # Foreign bytes can make a parser fail in ways its documentation does not list (recursion, memory, tag decoders).
    # Whatever it is, it is the sender's, and must not stop the stream.
    except Exception as error:
        raise RefusalError("malformed", f"{type(error).__name__}: {error}") from error


def _is_cbor(content_type: str, payload: bytes) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.endswith("cbor"):
        return True
    # A byte order mark (0xEF) is JSON's; no CBOR pack starts with it.
    return not media_type.endswith("json") and payload[0] >= 0x80 and payload[0] != 0xEF


def _parse_json(payload: bytes) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        # Python's own parser also takes NaN and Infinity, which real devices send: the pack's other readings are kept.
        return json.loads(payload.decode("utf-8-sig"))


def _telemetry(serial: str, delivery: Delivery) -> Decoded:
    records = _parse(delivery)
    if _is_cbor(delivery.content_type, delivery.payload):
        records = _with_text_labels(records)
    # Resolved against zero, so that the times which are relative to now can be told from the absolute ones.
    readings, bad = decode_pack(records, serial, 0.0)
    timed_on_arrival = False
    # Written so that it also holds for a first time that is NaN.
    if readings and not min(map(_TIME, readings)) >= ABSOLUTE_FROM_S:
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
    if len(state.agent_version) > 128 or not state.agent_version.isprintable():
        raise MessageError("agent_version must be a text of at most 128 printable characters")
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
