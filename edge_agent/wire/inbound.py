"""What is sent to the agent."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from careloop.contract.topics import Channel


@dataclass(frozen=True)
class Inbound:
    """A message to the agent.

    Attributes:
        channel: Which of the agent's channels it came on.
        payload: Its bytes.
        retained: Whether the broker had kept it from before.
        properties: MQTT 5 user properties.
    """

    channel: Channel
    payload: bytes
    retained: bool = False
    properties: Mapping[str, str] = field(default_factory=dict)
