"""A rule set tried on past visits, against the set that holds: nothing of them changes."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.completion_audit.facts import Facts
from api.completion_audit.judging import Judgement, Ready, judge
from api.completion_audit.repository import gather
from api.completion_audit.rulebook.models import NewTrial
from api.completion_audit.rulebook.service import get_set, rules_of, set_at
from api.conventions.call import Call
from api.conventions.problems import Problem
from careloop.database.queries import load_queries

SQL = load_queries("api.completion_audit.rulebook")

BATCH = 250
MOST_DIFFERENCES = 500


@dataclass(frozen=True)
class Tried:
    """A visit under both sets."""

    visit_id: int
    tried: Judgement
    against: Judgement


async def run_trial(call: Call, rule_set_id: int, body: NewTrial) -> DictRow:
    """Try a rule set on past visits, and keep what it showed.

    Visits are judged anew under both sets by the same facts, so that what differs comes from the rules alone.

    Raises:
        Problem: 404; 422 for an unknown partner.
    """
    found = await get_set(call, rule_set_id)
    if body.provider_id is not None:
        key = {"provider_id": body.provider_id}
        if await (await call.connection.execute(SQL["provider_exists"], key)).fetchone() is None:
            raise Problem.bad_field("body.provider_id", "there is no such partner; GET /v1/providers lists them")
    held = await set_at(call, call.now)
    wanted = body.model_dump()
    counted = await _row(call, "count_for_trial", wanted)
    picked = await (await call.connection.execute(SQL["pick_for_trial"], wanted)).fetchall()
    visit_ids = sorted(one["visit_id"] for one in picked)
    tried, against = rules_of(found), [] if held is None else rules_of(held)
    results = []
    for start in range(0, len(visit_ids), BATCH):
        facts = await gather(call, visit_ids[start : start + BATCH])
        # Other calls go on meanwhile.
        results += await asyncio.to_thread(_try, facts, tried, against)
    said = await (await call.connection.execute(SQL["said_of_visits"], {"visit_ids": visit_ids})).fetchall()
    outcome = outcome_of(results, {one["visit_id"]: one for one in said})
    values = {
        **wanted,
        "rule_set_id": rule_set_id,
        "rules": Jsonb(found["rules"]),
        "against_id": None if held is None else held["rule_set_id"],
        "found": counted["found"],
        "judged": len(results),
        "outcome": Jsonb(outcome),
        "actor": call.principal.name,
        "now": call.now,
    }
    return await _row(call, "insert_trial", values)


def _try(facts: Sequence[Facts], tried: Sequence[Ready], against: Sequence[Ready]) -> list[Tried]:
    return [Tried(one.visit_id, judge(one, tried), judge(one, against)) for one in facts]


def outcome_of(results: Sequence[Tried], said: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """What a trial has shown: pure.

    Args:
        results: Each visit under both sets.
        said: `state` of its check and `verdict` of its latest run, by visit; of those that were checked.
    """
    differing = [one for one in results if one.tried.verdict != one.against.verdict]
    overruled = [
        one
        for one in results
        if one.tried.verdict == "rejected" and said.get(one.visit_id, {}).get("state") == "accepted"
    ]
    return {
        "tried": _counts([one.tried for one in results]),
        "against": _counts([one.against for one in results]),
        "moves": dict(sorted(Counter(f"{one.against.verdict}>{one.tried.verdict}" for one in differing).items())),
        "tried_rules": _by_rule([one.tried for one in results]),
        "against_rules": _by_rule([one.against for one in results]),
        "overruled": len(overruled),
        "differences": [
            {
                "visit_id": one.visit_id,
                "state": said.get(one.visit_id, {}).get("state"),
                "recorded": said.get(one.visit_id, {}).get("verdict"),
                "against": one.against.verdict,
                "tried": one.tried.verdict,
                "against_reasons": one.against.reasons,
                "tried_reasons": one.tried.reasons,
            }
            for one in differing[:MOST_DIFFERENCES]
        ],
    }


def _counts(judgements: Sequence[Judgement]) -> dict[str, int]:
    counted = Counter(one.verdict for one in judgements)
    return {verdict: counted[verdict] for verdict in ("passed", "rejected", "manual")}


def _by_rule(judgements: Sequence[Judgement]) -> list[dict[str, Any]]:
    """How many visits each rule found something in, notes too; the most first."""
    counted = Counter(rule for one in judgements for rule in {finding.rule for finding in one.findings})
    return [
        {"rule": rule, "visits": visits} for rule, visits in sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    ]


async def get_trial(call: Call, completion_trial_id: int) -> DictRow:
    """A trial.

    Raises:
        Problem: 404.
    """
    values = {"completion_trial_id": completion_trial_id}
    found = await (await call.connection.execute(SQL["get_trial"], values)).fetchone()
    if found is None:
        raise Problem.not_found("trial", completion_trial_id)
    return found


async def list_trials(call: Call, rule_set_id: int, wanted: Mapping[str, Any]) -> list[DictRow]:
    """The trials of a rule set.

    Raises:
        Problem: 404.
    """
    await get_set(call, rule_set_id)
    values = {**wanted, "rule_set_id": rule_set_id}
    return await (await call.connection.execute(SQL["list_trials"], values)).fetchall()


async def _row(call: Call, query: str, values: Mapping[str, Any]) -> DictRow:
    found = await (await call.connection.execute(SQL[query], values)).fetchone()
    if found is None:
        raise LookupError(f"{query} returned no row")
    return found
