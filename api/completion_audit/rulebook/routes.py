"""`/v1/completion-audit`: kinds of rules, rule sets, trials."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from psycopg.rows import DictRow

from api.completion_audit.kinds.registry import KINDS
from api.completion_audit.rulebook import service, trials
from api.completion_audit.rulebook.models import (
    Activation,
    KindShown,
    NewRuleSet,
    NewTrial,
    RuleSet,
    RuleSetChange,
    RuleSetHead,
    Trial,
)
from api.completion_audit.rules import SetState
from api.conventions.call import CallRoute, CurrentCall, allow
from api.conventions.etags import IfMatch, require_version, tag
from api.conventions.models import Id
from api.conventions.pages import CurrentPage, Page
from api.conventions.problems import RESPONSES
from api.conventions.roles import STAFF

router = APIRouter(prefix="/v1/completion-audit", tags=["completion-audit"], route_class=CallRoute, responses=RESPONSES)

READERS = [allow(*STAFF)]
DRAFTERS = [allow("desk_lead", "engineer")]
LEADS = [allow("desk_lead")]


def _answer(found: DictRow, response: Response) -> RuleSet:
    tag(response, found["version"])
    return RuleSet.model_validate(found)


@router.get("/kinds", dependencies=READERS)
async def list_kinds(call: CurrentCall) -> Page[KindShown]:  # noqa: ARG001 - every route is a call, which asks who it is
    """What rules can look for, with the JSON Schema of each kind's parameters."""
    shown = [
        KindShown(name=kind.name, looks_for=kind.looks_for, parameters=kind.parameters.model_json_schema())
        for kind in KINDS.values()
    ]
    return Page[KindShown](items=shown, next=None)


@router.get("/rule-sets", dependencies=READERS)
async def list_sets(
    page: CurrentPage, call: CurrentCall, *, state: Annotated[SetState | None, Query()] = None
) -> Page[RuleSetHead]:
    """Rule sets, in the order of their numbers."""
    rows = await service.list_sets(call, {**page.parameters, "state": state})
    return Page[RuleSetHead].model_validate(page.page(rows, "rule_set_id"))


@router.post("/rule-sets", status_code=201, dependencies=DRAFTERS)
async def create_set(body: NewRuleSet, call: CurrentCall, response: Response) -> RuleSet:
    """Draft a rule set, from nothing or as a copy of another one."""
    return _answer(await service.create_set(call, body), response)


@router.get("/rule-sets/{rule_set_id}", dependencies=READERS)
async def get_set(rule_set_id: Id, call: CurrentCall, response: Response) -> RuleSet:
    """A rule set with its rules."""
    return _answer(await service.get_set(call, rule_set_id), response)


@router.patch("/rule-sets/{rule_set_id}", dependencies=DRAFTERS)
async def change_set(
    rule_set_id: Id, body: RuleSetChange, call: CurrentCall, response: Response, if_match: IfMatch = None
) -> RuleSet:
    """Change a draft."""
    return _answer(await service.change_set(call, rule_set_id, body, require_version(if_match)), response)


@router.post("/rule-sets/{rule_set_id}/activate", dependencies=LEADS)
async def activate(rule_set_id: Id, body: Activation, call: CurrentCall, response: Response) -> RuleSet:
    """Switch a draft on, from now or a day to come; it never changes again."""
    return _answer(await service.activate(call, rule_set_id, body.active_from), response)


@router.post("/rule-sets/{rule_set_id}/withdraw", dependencies=LEADS)
async def withdraw(rule_set_id: Id, call: CurrentCall, response: Response) -> RuleSet:
    """Take back a set whose day has not come; it is a draft again."""
    return _answer(await service.withdraw(call, rule_set_id), response)


@router.post("/rule-sets/{rule_set_id}/discard", dependencies=DRAFTERS)
async def discard(rule_set_id: Id, call: CurrentCall, response: Response) -> RuleSet:
    """Give a draft up; it stays to be read."""
    return _answer(await service.discard(call, rule_set_id), response)


@router.post("/rule-sets/{rule_set_id}/trials", status_code=201, dependencies=DRAFTERS)
async def run_trial(rule_set_id: Id, body: NewTrial, call: CurrentCall) -> Trial:
    """Try a rule set on past visits against the one that holds; nothing of them changes."""
    return Trial.model_validate(await trials.run_trial(call, rule_set_id, body))


@router.get("/rule-sets/{rule_set_id}/trials", dependencies=READERS)
async def list_trials(rule_set_id: Id, page: CurrentPage, call: CurrentCall) -> Page[Trial]:
    """The trials of a rule set."""
    rows = await trials.list_trials(call, rule_set_id, page.parameters)
    return Page[Trial].model_validate(page.page(rows, "completion_trial_id"))


@router.get("/trials/{completion_trial_id}", dependencies=READERS)
async def get_trial(completion_trial_id: Id, call: CurrentCall) -> Trial:
    """One trial."""
    return Trial.model_validate(await trials.get_trial(call, completion_trial_id))
