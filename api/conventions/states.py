"""State machines as one table each."""

from collections.abc import Mapping
from dataclasses import dataclass

from api.conventions.problems import Problem


@dataclass(frozen=True)
class StateMachine:
    """What may be done with a thing in a state, and what it is then.

    Attributes:
        name: The thing, in the words of its problems and of docs/states.md, e.g. `repair`.
        initial: The state of a new one.
        moves: From each state, by action, the next state; a state without moves is final.
        notes: What a reader of the diagram should know, as Markdown.
    """

    name: str
    initial: str
    moves: Mapping[str, Mapping[str, str]]
    notes: str = ""

    def __post_init__(self) -> None:
        for state, row in self.moves.items():
            for action, to in row.items():
                if to not in self.moves:
                    raise ValueError(f"{self.name}: {action} leads from {state} to {to}, which has no row")
        if self.initial not in self.moves:
            raise ValueError(f"{self.name}: the initial state {self.initial} has no row")

    @property
    def states(self) -> tuple[str, ...]:
        """All states, in the order of a life."""
        return tuple(self.moves)

    @property
    def final(self) -> frozenset[str]:
        """The states that nothing leads out of."""
        return frozenset(state for state, row in self.moves.items() if not row)

    @property
    def actions(self) -> tuple[str, ...]:
        """All actions, in the order of the table."""
        return tuple(dict.fromkeys(action for row in self.moves.values() for action in row))

    def next_state(self, state: str, action: str) -> str | None:
        """What it is after the action, or None when the table does not have it."""
        return self.moves.get(state, {}).get(action)

    def actions_of(self, state: str) -> list[str]:
        """What may be done in a state."""
        return list(self.moves.get(state, {}))

    def require(self, number: object, state: str, action: str) -> str:
        """What a thing is after an action.

        Args:
            number: Which one, for the problem's words.
            state: What it is now; read under the row's lock.
            action: What is to be done.

        Raises:
            Problem: 409 `NAME-state` when the table does not have it.
        """
        to = self.next_state(state, action)
        if to is None:
            allowed = self.actions_of(state)
            where = f"it allows: {', '.join(allowed)}" if allowed else "that is final"
            detail = f"{self.name} {number} is {state}, which does not allow {action}; {where}"
            slug = f"{self.name.replace('_', '-').replace(' ', '-')}-state"
            raise Problem.conflict(slug, detail, state=state, allowed=allowed)
        return to

    def diagram(self) -> str:
        """The table as a Mermaid diagram."""
        moves = [
            f"    {state} --> {to}" + (f": {action}" if action != to else "")
            for state, row in self.moves.items()
            for action, to in row.items()
        ]
        ends = [f"    {state} --> [*]" for state in self.moves if state in self.final]
        return "\n".join(["stateDiagram-v2", f"    [*] --> {self.initial}", *moves, *ends])
