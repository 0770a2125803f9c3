"""A message as the broker handed it over, and what it says once decoded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID, SafeUUID

from careloop.contract.identity import identity_of as wire_identity
from careloop.contract.messages import AgentState, Event
from careloop.contract.senml import BadRecord, Columns, Reading


# Not frozen, though nobody changes one: a frozen one takes five times as long to make.
@dataclass(slots=True)
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
        part: Serial number of the one asset that it stands for here, when it is about several.
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
    part: str = ""

    def identity_stored(self, *, timed_on_arrival: bool) -> UUID:
        """The identity under which it is stored.

        Args:
            timed_on_arrival: Some reading has no time of its own: each arrival is a message then.
        """
        identity = identity_of(self.topic, self.payload, self.received_at) if timed_on_arrival else self.identity
        return identity_of_part(identity, self.part) if self.part else identity


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
        also: What the same message says of further assets: a gateway's.
        unresolved: What must be known from earlier messages before this one can be read; nothing else is set then.
        ready: What the store needs of it, when that was made ahead of its turn (`Writer.look_ahead`).
    """

    serial: str
    readings: list[Reading] | Columns = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    state: AgentState | None = None
    bad: list[BadRecord] = field(default_factory=list)
    timed_on_arrival: bool = False
    also: "list[Decoded]" = field(default_factory=list)
    unresolved: "Unresolved | None" = None
    ready: object = None

    def add(self, reading: Reading) -> None:
        """Add a reading to those that came one by one."""
        if isinstance(self.readings, Columns):
            self.readings = list(self.readings)
        self.readings.append(reading)


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


class Family(NamedTuple):
    """What belongs together among announcements, and is looked up at once.

    Attributes:
        format: `sparkplug` or `home_assistant`.
        name: An edge node, or a state topic.
    """

    format: str
    name: str


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a device said once of its later messages: a Sparkplug birth, a discovery message of Home Assistant.

    Attributes:
        family: What it belongs to.
        source: Who said it; a later announcement of the same source replaces it.
        announced_at: When.
        body: What it says, as JSON can hold it; None takes the source's announcements back.
        derived: Room for what a format makes of the body, so that it is made once.
    """

    family: Family
    source: str
    announced_at: datetime
    body: Mapping[str, Any] | None
    derived: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)


class Request(NamedTuple):
    """A message to a device that shall announce itself again.

    Attributes:
        topic: Where it goes.
        payload: Its bytes.
        reason: Why, for the log.
    """

    topic: str
    payload: bytes
    reason: str


@dataclass(slots=True)
class Resolved:
    """What a message says in the light of earlier ones.

    Attributes:
        decoded: Its readings; None when there is nothing to store.
        refusal: Why nothing of it can be read, instead.
        announcements: What it announces.
        states: Agents that it says to be online or offline.
        requests: What shall be sent to devices.
        listen_to: Topics named by it that hold readings.
    """

    decoded: Decoded | None = None
    refusal: RefusalError | None = None
    announcements: list[Announcement] = field(default_factory=list)
    states: list[tuple[str, AgentState]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    listen_to: list[str] = field(default_factory=list)


class Unresolved(Protocol):
    """A parsed message that cannot be read without what was announced earlier."""

    @property
    def family(self) -> Family:
        """Whose announcements it needs."""

    def resolve(self, announced: Mapping[str, Announcement], delivery: Delivery) -> Resolved:
        """Read it; pure.

        Args:
            announced: All announcements of the family, by source.
            delivery: The message.
        """


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
    return _uuid(wire_identity(topic, payload))


def _uuid(identity: bytes) -> UUID:
    """As UUID(bytes=…), which takes three times as long to sort out how it was called."""
    made = _NEW_UUID(UUID)
    _SET(made, "int", int.from_bytes(identity, "big"))
    _SET(made, "is_safe", SafeUUID.unknown)
    return made


_NEW_UUID, _SET = UUID.__new__, object.__setattr__


def identity_of_part(identity: UUID, serial: str) -> UUID:
    """The identity of what a message of several assets says of one of them."""
    return UUID(bytes=wire_identity(identity.hex, serial.encode()))
