"""Whether new settings turned out well; pure.

They are rolled back only for what they can be to blame for:

- the broker will never take a message formed since (too large), or took messages before and leaves those formed since
  without an answer while the link stands, or the link comes up and breaks before any is taken, again and again;
- a source whose interval they changed was read before, and cannot be since;
- the process crashed several times in a row.

The probation counts the seconds during which the link stands: while the broker is away nothing is proved, and nothing
is blamed on the settings. Nor is it when the broker says that nobody is subscribed, or refuses for want of rights. They
are proved when the time is up, two batches could be formed, and a message formed since was taken; without anything to
send that may take long, and they are in force meanwhile.
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
        unanswered_s: Of those, since messages formed since wait for the broker's first answer.
        connections: How often it came up since.
        formed: Messages formed since.
        taken: Of those, how many the broker took.
        never_taken: Of those, how many it will never take.
        polls: By source whose interval changed and that could be read before: polls that failed in a row since,
            negative once one succeeded.
        errors: What each of them said last.
    """

    link_s: float = 0.0
    unanswered_s: float = 0.0
    connections: int = 0
    formed: int = 0
    taken: int = 0
    never_taken: int = 0
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


def judge_probation(evidence: Evidence, *, could_publish: bool, probation_s: float, batch_s: float) -> Verdict:
    """Judge settings in force.

    Args:
        evidence: What happened since they are.
        could_publish: Whether the broker took messages before.
        probation_s: How long they are watched at least, and how long the broker may leave them unanswered.
        batch_s: How long readings wait for others, under these settings.

    >>> judge_probation(Evidence(never_taken=1), could_publish=True, probation_s=120, batch_s=1).blame
    'the broker will never take 1 of the messages formed since; they are too large for it'
    >>> judge_probation(Evidence(link_s=120, formed=4, taken=4), could_publish=True, probation_s=120, batch_s=1).proved
    True
    """
    if evidence.never_taken:
        return Verdict(
            blame=f"the broker will never take {evidence.never_taken} of the messages formed since; "
            "they are too large for it"
        )
    if could_publish and evidence.formed and not evidence.taken:
        if evidence.connections >= MOST_CONNECTIONS:
            return Verdict(
                blame=f"the connection came up {evidence.connections} times and broke before the broker took any of "
                f"the {evidence.formed} messages formed since"
            )
        if evidence.unanswered_s >= probation_s:
            return Verdict(
                blame=f"the broker left the {evidence.formed} messages formed since without an answer for "
                f"{probation_s:g} s"
            )
    if evidence.link_s < max(probation_s, 2 * batch_s):
        return Verdict()
    blame = _failed_source(evidence.polls, evidence.errors)
    return Verdict(proved=evidence.taken > 0 and not blame, blame=blame)


def _failed_source(polls: Mapping[str, int], errors: Mapping[str, str]) -> str:
    for source, failed in polls.items():
        if failed >= FAILED_POLLS:
            return f"sources.{source}.interval_s: it could be read before, and failed {failed} times: {errors[source]}"
    return ""
