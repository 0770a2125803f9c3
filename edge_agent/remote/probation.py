"""Whether new settings turned out well; pure.

They are rolled back only for what they can be to blame for:

- the broker will never take a message formed since (too large), or took none although it did before, while the link
  stood for the whole probation, or came up and broke again and again;
- a source whose interval they changed was read before, and cannot be since;
- the process crashed several times in a row.

The probation counts the seconds during which the link stands: while the broker is away nothing is proved, and nothing
is blamed on the settings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

MOST_CRASHES = 3
MOST_CONNECTIONS = 5
FAILED_POLLS = 3


@dataclass
class Evidence:
    """What happened since the settings came into force, in this process.

    Attributes:
        link_s: Seconds during which the link stood.
        connections: How often it came up since.
        formed: Messages formed since.
        taken: Of those, how many the broker took.
        given_up: Of those, how many it will never take.
        polls: By source whose interval changed and that could be read before: polls that failed in a row since,
            negative once one succeeded.
        errors: What each of them said last.
    """

    link_s: float = 0.0
    connections: int = 0
    formed: int = 0
    taken: int = 0
    given_up: int = 0
    polls: dict[str, int] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def note_poll(self, source: str, readings: int, error: str) -> None:
        """A source was polled; only those under watch count, and a poll that brought nothing says nothing."""
        if source not in self.polls or self.polls[source] < 0:
            return
        if error:
            self.polls[source] += 1
            self.errors[source] = error
        elif readings:
            self.polls[source] = -1


@dataclass(frozen=True)
class Verdict:
    """What to do with settings on probation.

    Attributes:
        proved: They stay.
        blame: Why they go; empty when they do not.
    """

    proved: bool = False
    blame: str = ""


def judge_probation(evidence: Evidence, *, could_publish: bool, probation_s: float) -> Verdict:
    """Judge settings in force.

    >>> judge_probation(Evidence(link_s=10.0, given_up=1), could_publish=True, probation_s=120.0).blame
    'the broker will never take 1 of the messages formed since; they are too large for it'
    >>> judge_probation(Evidence(link_s=120.0, formed=4, taken=4), could_publish=True, probation_s=120.0).proved
    True
    """
    if evidence.given_up:
        return Verdict(
            blame=f"the broker will never take {evidence.given_up} of the messages formed since; "
            "they are too large for it"
        )
    nothing_taken = could_publish and evidence.formed > 0 and evidence.taken == 0
    if nothing_taken and evidence.connections >= MOST_CONNECTIONS:
        return Verdict(
            blame=f"the connection came up {evidence.connections} times and broke before the broker took any of the "
            f"{evidence.formed} messages formed since"
        )
    if evidence.link_s < probation_s:
        return Verdict()
    if nothing_taken:
        return Verdict(
            blame=f"the broker took none of the {evidence.formed} messages formed since, in {probation_s:g} s"
        )
    blame = _failed_source(evidence.polls, evidence.errors)
    return Verdict(proved=not blame, blame=blame)


def _failed_source(polls: Mapping[str, int], errors: Mapping[str, str]) -> str:
    for source, failed in polls.items():
        if failed >= FAILED_POLLS:
            return f"sources.{source}.interval_s: it could be read before, and failed {failed} times: {errors[source]}"
    return ""
