"""Topics: `careloop/v1/{serial}/{channel}`."""

import re
from typing import Literal, get_args

Channel = Literal["telemetry", "event", "state", "config", "command", "command/result", "stored"]

ROOT = "careloop/v1"
CHANNELS: tuple[Channel, ...] = get_args(Channel)
SERIAL = re.compile(r"[A-Za-z0-9._-]{1,64}")


class TopicError(ValueError):
    """The topic is not one of the contract's."""


def topic(serial: str, channel: Channel) -> str:
    """The topic of one asset's channel.

    >>> topic("KW-0042", "telemetry")
    'careloop/v1/KW-0042/telemetry'

    Raises:
        TopicError: The serial number has characters that a topic cannot carry.
    """
    if not SERIAL.fullmatch(serial):
        raise TopicError(f"serial {serial!r} must be 1-64 letters, digits, dots, underscores or hyphens")
    return f"{ROOT}/{serial}/{channel}"


def parse_topic(text: str) -> tuple[str, Channel]:
    """The serial number and channel of a topic.

    >>> parse_topic("careloop/v1/KW-0042/command/result")
    ('KW-0042', 'command/result')

    Raises:
        TopicError: It is not a topic of the contract.
    """
    parts = text.split("/", 3)
    if len(parts) == 4 and f"{parts[0]}/{parts[1]}" == ROOT and SERIAL.fullmatch(parts[2]):
        for channel in CHANNELS:
            if parts[3] == channel:
                return parts[2], channel
    raise TopicError(f"topic {text!r} is not {ROOT}/SERIAL/({'|'.join(CHANNELS)})")


def subscription(channel: Channel) -> str:
    """The filter that receives one channel of every asset.

    >>> subscription("event")
    'careloop/v1/+/event'
    """
    return f"{ROOT}/+/{channel}"
