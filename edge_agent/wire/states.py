"""The retained states of an agent and its assets, and which of them are still to be announced."""

import json
from collections.abc import Callable

from careloop.contract.messages import AgentState
from careloop.contract.topics import topic


class States:
    """Online or offline, by serial number.

    Args:
        agent_id: The agent's own id; its state carries the last will.
        own: Gives the agent's own state, online or not.
    """

    def __init__(self, agent_id: str, own: Callable[[bool], AgentState]) -> None:
        self._agent_id = agent_id
        self._own = own
        self._states: dict[str, AgentState] = {}
        self._unannounced: dict[str, None] = {}

    @property
    def has_unannounced(self) -> bool:
        """Whether a state is still to be announced."""
        return bool(self._unannounced)

    def meet(self, serial: str) -> None:
        """From now on an asset, or the agent itself, is online."""
        if serial not in self._states:
            self._states[serial] = self._state_of(serial, online=True)
            self._unannounced[serial] = None

    def renew_own(self) -> None:
        """What the agent says of itself may have changed."""
        self._states[self._agent_id] = self._state_of(self._agent_id, online=True)
        self._unannounced[self._agent_id] = None

    def again(self, serial: str) -> None:
        """A state may not have arrived."""
        self._unannounced[serial] = None

    def all_again(self) -> None:
        """The broker lost its retained messages."""
        self._unannounced.update(dict.fromkeys(self._states))

    def go_offline(self) -> None:
        """Everything is offline from now on."""
        for serial in self._states:
            self._states[serial] = self._state_of(serial, online=False)
        self.all_again()

    def take_next(self) -> tuple[str, str, bytes] | None:
        """Serial number, topic and payload of the next state; the agent's own first, for its last will has spoken."""
        if not self._unannounced:
            return None
        serial = self._agent_id if self._agent_id in self._unannounced else next(iter(self._unannounced))
        del self._unannounced[serial]
        return serial, topic(serial, "state"), _json(self._states[serial])

    def will(self) -> tuple[str, bytes]:
        """Topic and payload of what the broker says when the agent is gone without a word."""
        state = AgentState(online=False, agent_version=self._own(False).agent_version, detail={"will": True})
        return topic(self._agent_id, "state"), _json(state)

    def _state_of(self, serial: str, *, online: bool) -> AgentState:
        own = self._own(online)
        if serial == self._agent_id:
            return own
        return AgentState(online, own.agent_version, {"gateway": self._agent_id})


def _json(state: AgentState) -> bytes:
    return json.dumps(state.to_json(), separators=(",", ":")).encode()
