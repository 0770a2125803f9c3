"""A visit's facts under a rule set: pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from api.completion_audit.facts import Facts
from api.completion_audit.kinds.kind import Unknown
from api.completion_audit.kinds.registry import KINDS
from api.completion_audit.models import Finding, Rule
from api.completion_audit.rules import Verdict, applies, verdict_of


@dataclass(frozen=True)
class Judgement:
    """What rules say of a visit."""

    verdict: Verdict
    findings: list[Finding]

    @property
    def reasons(self) -> list[str]:
        """Codes of the rules that keep it from passing, each once, in the order of the set."""
        return list(dict.fromkeys(one.rule for one in self.findings if one.verdict != "note"))


def judge(facts: Facts, rules: Sequence[Rule]) -> Judgement:
    """Judge a visit by rules."""
    values = {
        "countries": facts.country,
        "models": facts.model,
        "job_kinds": facts.job_kind,
        "provider_levels": facts.provider_level,
    }
    findings = [
        finding for rule in rules if applies(rule.scope.model_dump(), values) for finding in _findings(facts, rule)
    ]
    return Judgement(verdict_of(finding.verdict for finding in findings), findings)


def _findings(facts: Facts, rule: Rule) -> list[Finding]:
    kind = KINDS[rule.kind]
    answer = kind.look(facts, kind.parameters.model_validate(rule.parameters))
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
    message = f"{kind.looks_for}: cannot be told, {answer.message}"
    return [
        Finding(rule=rule.code, kind=rule.kind, verdict=rule.if_unknown, message=message, unknown=True, told=rule.told)
    ]
