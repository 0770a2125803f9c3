"""Who may reach which topic, and which claim is in order; for every broker, this is the one place that decides it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from careloop.contract.topics import CHANNELS, ROOT, SERIAL, Channel

Access = Literal["read", "write"]
Action = Literal["publish", "subscribe"]

# What a device says, for itself and the machines behind it, and what is said to it alone. Services do the opposite.
DEVICE_WRITES: tuple[Channel, ...] = ("telemetry", "event", "state", "command/result")
DEVICE_READS: tuple[Channel, ...] = tuple(channel for channel in CHANNELS if channel not in DEVICE_WRITES)

# Stands in a configured topic filter for the device's own id.
OWN_ID = "{id}"
# Mosquitto's placeholder for the user name.
ANY_DEVICE = "%u"

CLIENT_ID_PREFIX = "careloop-edge-"


@dataclass(frozen=True, order=True)
class Right:
    """Reading or writing what a topic filter covers."""

    access: Access
    filter: str


@dataclass(frozen=True)
class OtherTopics:
    """Topic filters beyond the contract's, for the formats that ingest takes besides SenML.

    Attributes:
        service_reads: What the services read besides the contract's channels.
        service_writes: What the services write besides.
        device_reads: What every device may read besides; `{id}` stands for its own id.
        device_writes: What every device may write besides.
    """

    service_reads: tuple[str, ...] = ()
    service_writes: tuple[str, ...] = ()
    device_reads: tuple[str, ...] = ()
    device_writes: tuple[str, ...] = ()


def device_rights(agent_id: str, assets: Iterable[str], other: OtherTopics) -> list[Right]:
    """What a device may do.

    Args:
        agent_id: Its own id, or `ANY_DEVICE`.
        assets: Serial numbers of the machines behind it.
        other: Topics beyond the contract's.
    """
    rights = [Right("write", f"{ROOT}/{agent_id}/{channel}") for channel in DEVICE_WRITES]
    rights += [Right("read", f"{ROOT}/{agent_id}/{channel}") for channel in DEVICE_READS]
    rights += [Right("write", text.replace(OWN_ID, agent_id)) for text in other.device_writes]
    rights += [Right("read", text.replace(OWN_ID, agent_id)) for text in other.device_reads]
    return rights + asset_rights(assets)


def asset_rights(assets: Iterable[str]) -> list[Right]:
    """What a gateway may do for the machines behind it: speak, not listen."""
    return [Right("write", f"{ROOT}/{serial}/{channel}") for serial in sorted(assets) for channel in DEVICE_WRITES]


def service_rights(other: OtherTopics) -> list[Right]:
    """What the platform's own services may do: hear every device, and answer it."""
    rights = [Right("read", f"{ROOT}/+/{channel}") for channel in DEVICE_WRITES]
    rights += [Right("write", f"{ROOT}/+/{channel}") for channel in DEVICE_READS]
    rights += [Right("read", text) for text in other.service_reads]
    rights += [Right("write", text) for text in other.service_writes]
    # By which a health check sees that the broker answers.
    return [*rights, Right("read", "$SYS/broker/uptime")]


def allows(rights: Iterable[Right], action: Action, topic: str) -> bool:
    """Whether publishing to a topic, or subscribing to a filter, is within the rights.

    >>> allows([Right("read", "careloop/v1/KW-1/command")], "subscribe", "careloop/v1/+/command")
    False
    """
    access: Access = "write" if action == "publish" else "read"
    if action == "publish" and {"+", "#"} & set(topic):
        return False
    wanted = _without_share(topic) if action == "subscribe" else topic
    return any(right.access == access and covers(right.filter, wanted) for right in rights)


def covers(granted: str, wanted: str) -> bool:
    """Whether every topic that a wanted filter matches is matched by the granted one.

    >>> covers("careloop/v1/+/event", "careloop/v1/KW-1/event"), covers("a/+", "a/#"), covers("a/#", "a/+/b")
    (True, False, True)
    """
    ours, theirs = granted.split("/"), wanted.split("/")
    if theirs[0].startswith("$") and ours[0] in {"+", "#"}:
        return False
    for number, part in enumerate(ours):
        if part == "#":
            return True
        if number >= len(theirs) or theirs[number] == "#":
            return False
        if part not in {"+", theirs[number]}:
            return False
    return len(ours) == len(theirs)


def _without_share(topic: str) -> str:
    """The filter inside a shared subscription."""
    found = re.match(r"\$share/[^/+#]+/(.+)", topic) or re.match(r"\$queue/(.+)", topic)
    return found[1] if found else topic


def is_own_client_id(agent_id: str, client_id: str) -> bool:
    """Whether a device may use a client id: one of another would take over the other's session and its messages."""
    return client_id in {"", agent_id, CLIENT_ID_PREFIX + agent_id} or client_id.startswith(f"{agent_id}:")


def matches(pattern: str, serial: str) -> bool:
    """Whether a serial number is of a pattern, in which `*` is any run of characters and `?` is one.

    >>> matches("KW-26??-*", "KW-2611-0042"), matches("KW-*", "RV-1")
    (True, False)
    """
    rest = [re.escape(piece).replace(r"\?", ".") for piece in pattern.split("*")]
    return SERIAL.fullmatch(serial) is not None and re.fullmatch(".*?".join(rest), serial) is not None


def is_in_batch(serial: str, pattern: str | None, serials: Sequence[str] | None) -> bool:
    """Whether a claim key is for a serial number."""
    return serial in serials if serials is not None else pattern is not None and matches(pattern, serial)


def key_fault(expires_at: datetime, revoked_at: datetime | None, now: datetime) -> str | None:
    """Why a claim key is not to be used any more, for the log; None when it may."""
    if revoked_at is not None:
        return "revoked"
    return "expired" if expires_at <= now else None


def may_still_renew(expires_at: datetime, grace: timedelta, now: datetime) -> bool:
    """Whether a certificate is good for getting the next one: also a while after its end, for what was switched off."""
    return now < expires_at + grace
