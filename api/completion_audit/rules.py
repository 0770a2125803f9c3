"""What a rule set and a check may become, and what a list of findings comes to: pure."""

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from api.conventions.states import StateMachine

RULE_SET = StateMachine(
    name="rule set",
    initial="draft",
    moves={
        "draft": {"edit": "draft", "activate": "planned", "discard": "discarded"},
        "planned": {"begin": "active", "withdraw": "draft"},
        "active": {"retire": "retired"},
        "retired": {},
        "discarded": {},
    },
    notes="""
A set of rules of the completion audit. Drafts change and are tried on past visits; what was activated never changes
again. A planned set begins on its day, and the one before it retires in the same moment: there is always exactly one.
""",
)

CHECK = StateMachine(
    name="completion check",
    initial="due",
    moves={
        "due": {"pass": "passed", "reject": "rejected", "refer": "manual"},
        "passed": {"reopen": "manual"},
        "rejected": {
            "correct": "rejected",
            "pass": "passed",
            "reject": "rejected",
            "refer": "manual",
            "object": "manual",
            "reopen": "manual",
        },
        "manual": {
            "correct": "manual",
            "refer": "manual",
            "claim": "manual",
            "assign": "manual",
            "release": "manual",
            "accept": "accepted",
            "refuse": "rejected",
        },
        "accepted": {"reopen": "manual"},
    },
    notes="""
The audit of a partner's visit, made when the visit is completed. `pass`, `reject` and `refer` are what the rules say
of it, at first and whenever the partner has corrected the report; the rest is done by people. Whatever a person has to
decide, or has refused once, the rules do not pass any more. `passed` and `accepted` are paid.
""",
)

State = Literal["due", "passed", "rejected", "manual", "accepted"]
SetState = Literal["draft", "planned", "active", "retired", "discarded"]
Verdict = Literal["passed", "rejected", "manual"]
RuleVerdict = Literal["reject", "manual", "note"]

ACTIONS: Mapping[Verdict, str] = {"passed": "pass", "rejected": "reject", "manual": "refer"}


def verdict_of(verdicts: Iterable[str]) -> Verdict:
    """What findings come to: the gravest of them; notes alone let a visit pass."""
    there = set(verdicts)
    if "reject" in there:
        return "rejected"
    return "manual" if "manual" in there else "passed"


def action_of(state: str, verdict: Verdict, *, refused_before: bool) -> str:
    """What a run of the rules does to a check.

    Args:
        state: Of the check before it.
        verdict: What the rules say.
        refused_before: Whether a person has refused it; then no rule lets it pass.
    """
    if state == "manual" or (refused_before and verdict == "passed"):
        return "refer"
    return ACTIONS[verdict]


def applies(scope: Mapping[str, Collection[str]], values: Mapping[str, str | None]) -> bool:
    """Whether a rule is about a visit: in every respect that its scope names, the visit is one of those named."""
    return all(values.get(name) in wanted for name, wanted in scope.items() if wanted)
