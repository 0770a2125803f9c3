"""A visit's facts under a rule set: pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from api.completion_audit.facts import Facts
from api.completion_audit.kinds.kind import Kind, Parameters, Unknown
from api.completion_audit.kinds.registry import KINDS
from api.completion_audit.models import Finding, Rule
from api.completion_audit.rules import Verdict, applies, verdict_of


@dataclass(frozen=True)
class Ready:
    """A rule that is read once and asked often.

    Attributes:
        rule: As it is written.
        kind: What it looks for.
        parameters: Of that kind.
        scope: What of the visit must be among what; nothing that is no bound.
    """

    rule: Rule
    kind: Kind
    parameters: Parameters
    scope: Mapping[str, Collection[str]]


@dataclass(frozen=True)
class Judgement:
    """What rules say of a visit."""

    verdict: Verdict
    findings: list[Finding]

    @property
    def reasons(self) -> list[str]:
        """Codes of the rules that keep it from passing, each once, in the order of the set."""
        return list(dict.fromkeys(one.rule for one in self.findings if one.verdict != "note"))


def ready(rules: Sequence[Rule]) -> list[Ready]:
    """Rules, made ready to be asked."""
    return [
        Ready(
            rule,
            KINDS[rule.kind],
            KINDS[rule.kind].parameters.model_validate(rule.parameters),
            {name: frozenset(wanted) for name, wanted in rule.scope.model_dump().items() if wanted},
        )
        for rule in rules
    ]


def judge(facts: Facts, rules: Sequence[Ready]) -> Judgement:
    """Judge a visit by rules."""
    values = {
        "countries": facts.country,
        "models": facts.model,
        "job_kinds": facts.job_kind,
        "provider_levels": facts.provider_level,
    }
    findings = [finding for one in rules if applies(one.scope, values) for finding in _findings(facts, one)]
    return Judgement(verdict_of(finding.verdict for finding in findings), findings)


def _findings(facts: Facts, one: Ready) -> list[Finding]:
    rule = one.rule
    answer = one.kind.look(facts, one.parameters)
    if not isinstance(answer, Unknown):
        return [
            Finding(
                rule=rule.code,
                kind=rule.kind,
                verdict=rule.verdict,
                message=rule.text or found.message,
                detail=dict(found.detail),
                told=rule.told,
            )
            for found in answer
        ]
    if rule.if_unknown == "ignore":
        return []
    message = f"{one.kind.looks_for}: cannot be told, {answer.message}"
    return [
        Finding(rule=rule.code, kind=rule.kind, verdict=rule.if_unknown, message=message, unknown=True, told=rule.told)
    ]
