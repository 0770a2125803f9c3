"""Checking visits, and what partners and reviewers do about it."""

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from api.alerts.service import announce
from api.completion_audit.corrections import require_named
from api.completion_audit.facts import Facts
from api.completion_audit.judging import Ready, judge
from api.completion_audit.models import Correction, Recheck
from api.completion_audit.repository import execute, gather, get_check, lock_check, row, rows
from api.completion_audit.rulebook.service import rules_of, set_at
from api.completion_audit.rulebook.service import run_due as begin_planned_set
from api.completion_audit.rules import CHECK, action_of
from api.conventions.call import Call
from api.conventions.problems import Problem

BATCH = 200
# What a partner reads of what people did.
TOLD_STEPS = frozenset({"correct", "object", "recheck", "accept", "refuse", "reopen"})


# The rules' part ------------------------------------------------------------------------------------


async def run_due(call: Call) -> int:
    """Check visits that were completed and not checked yet, the oldest first; tells how many.

    A visit waits for as long as no rule set holds.
    """
    begun = await begin_planned_set(call)
    due = await rows(call, "checks_due", {"now": call.now, "fetch": BATCH})
    facts = {one.visit_id: one for one in await gather(call, [check["visit_id"] for check in due])}
    done = 0
    known: dict[int, list[Ready]] = {}
    for check in due:
        held = await _set_of(call, check, Recheck())
        if held is not None:
            if held["rule_set_id"] not in known:
                known[held["rule_set_id"]] = rules_of(held)
            await _run(call, check, held, known[held["rule_set_id"]], facts[check["visit_id"]])
            done += 1
    return begun + done


async def _set_of(call: Call, check: Mapping[str, Any], wanted: Recheck) -> DictRow | None:
    """The rule set to judge by: the one of the visit's completion, or of now where there was none."""
    then = await set_at(call, check["completed_at"]) if wanted.rules == "then" else None
    return then or await set_at(call, call.now)


async def _run(
    call: Call, check: Mapping[str, Any], held: Mapping[str, Any], rules: Sequence[Ready], facts: Facts
) -> None:
    """Judge a locked check's visit, freeze what was seen and found, and let the check follow."""
    judgement = judge(facts, rules)
    action = action_of(check["state"], judgement.verdict, refused_before=check["decision"] == "refused")
    number = check["runs"] + 1
    findings = [finding.model_dump(mode="json") for finding in judgement.findings]
    values = {
        "completion_check_id": check["completion_check_id"],
        "number": number,
        "rule_set_id": held["rule_set_id"],
        "rule_set_version": held["number"],
        "facts": Jsonb(facts.model_dump(mode="json")),
        "findings": Jsonb(findings),
        "verdict": judgement.verdict,
        "reasons": judgement.reasons,
        "state": CHECK.require(check["completion_check_id"], check["state"], action),
        "actor": call.principal.name,
        "now": call.now,
    }
    await execute(call, "insert_run", values)
    await execute(call, "note_run", values)
    if values["state"] == "rejected":
        reasons = [finding.message for finding in judgement.findings if finding.verdict != "note" and finding.told]
        await _tell(call, check, f"run:{number}", reasons)


async def _tell(call: Call, check: Mapping[str, Any], what: str, reasons: list[str]) -> None:
    """Announce that a visit was rejected; about no machine, so that its owner does not read it."""
    visit_id, check_id = check["visit_id"], check["completion_check_id"]
    path = f"/v1/completion-audit/checks/{check_id}"
    lines = [
        f"Visit {visit_id} is not paid as it stands:",
        *(f"- {reason}" for reason in reasons),
        "",
        f"Answer: {path}",
    ]
    await announce(
        call,
        topic="visit.audit_rejected",
        cause=f"completion:{check_id}:{what}",
        asset_id=None,
        subject=f"Visit {visit_id}: the report was rejected",
        body="\n".join(lines),
        payload={
            "completion_check_id": check_id,
            "visit_id": visit_id,
            "provider_id": check["provider_id"],
            "reasons": reasons,
        },
    )


async def recheck(call: Call, completion_check_id: int, body: Recheck) -> None:
    """Check again, e.g. when a charge was voided meanwhile; the runs before stay.

    Raises:
        Problem: 404; 409 when the check does not allow it.
    """
    check = await lock_check(call, completion_check_id)
    await _again(call, check, body)
    await _note(call, check, "recheck", await _state_of(call, check), content=body.model_dump())


async def _again(call: Call, check: Mapping[str, Any], body: Recheck) -> None:
    """Run the rules on a check that was checked before."""
    if CHECK.next_state(check["state"], "refer") is None or check["state"] == "due":
        allowed = CHECK.actions_of(check["state"])
        what = "waits for its first check" if check["state"] == "due" else f"is {check['state']}; reopen it first"
        detail = f"completion check {check['completion_check_id']} {what}"
        raise Problem.conflict("completion-check-state", detail, state=check["state"], allowed=allowed)
    # Other visits of the machine, and the rules themselves, are not the partner's to read.
    async with call.unscoped():
        held = await _set_of(call, check, body)
        (facts,) = await gather(call, [check["visit_id"]])
        if held is None:
            raise LookupError(f"check {check['completion_check_id']} was run and there is no rule set")
        await _run(call, check, held, rules_of(held), facts)


# The partner's part ---------------------------------------------------------------------------------


async def correct(call: Call, completion_check_id: int, body: Correction) -> None:
    """Say what of the report is otherwise; the visit is checked again at once.

    Raises:
        Problem: 404; 403 for another technician's visit; 409 when the check does not allow it; 422 naming the field.
    """
    check = await lock_check(call, completion_check_id)
    _require_own(call, check)
    state = CHECK.require(completion_check_id, check["state"], "correct")
    await require_named(call, check["visit_id"], body)
    content = body.model_dump(mode="json", exclude={"reason"}, exclude_defaults=True)
    await _note(call, check, "correct", state, body.reason, content)
    await _again(call, check, Recheck())


async def object_to(call: Call, completion_check_id: int, reason: str) -> None:
    """Object to a rejection: a person decides.

    Raises:
        Problem: 404; 403 for another technician's visit; 409 when it is not rejected.
    """
    check = await lock_check(call, completion_check_id)
    _require_own(call, check)
    state = CHECK.require(completion_check_id, check["state"], "object")
    await _move(call, check, state)
    await _note(call, check, "object", state, reason)


def _require_own(call: Call, check: Mapping[str, Any]) -> None:
    own = call.principal.technician_id
    if own is not None and check["technician_id"] != own:
        detail = (
            f"visit {check['visit_id']} is technician {check['technician_id']}'s; they or their manager answer for it"
        )
        raise Problem(403, "not-your-visit", detail)


# The reviewer's part --------------------------------------------------------------------------------


async def claim(call: Call, completion_check_id: int) -> None:
    """Take a check of the queue; taken twice it stays one's own.

    Raises:
        Problem: 404; 403 for one's own report; 409 when it is not in the queue, or somebody else is at it.
    """
    check = await lock_check(call, completion_check_id)
    state = CHECK.require(completion_check_id, check["state"], "claim")
    if check["claimed_key"] == call.principal.key:
        return
    _require_free(check)
    await _require_other(call, check, call.principal.key)
    await _move(call, check, state, call.principal.key, call.principal.name)
    await _note(call, check, "claim", state)


async def claim_next(call: Call, provider_id: int | None) -> int | None:
    """Take the oldest check that nobody is at and that is not of one's own report; None when there is none."""
    wanted = {"provider_id": provider_id, "actor_key": call.principal.key}
    found = await row(call, "next_of_queue", wanted)
    if found is None:
        return None
    await claim(call, found["completion_check_id"])
    return int(found["completion_check_id"])


async def assign(call: Call, completion_check_id: int, user_id: int) -> None:
    """Give a check of the queue to somebody, whoever is at it.

    Raises:
        Problem: 404; 403 for their own report; 409 when it is not in the queue; 422 for nobody who may review.
    """
    check = await lock_check(call, completion_check_id)
    state = CHECK.require(completion_check_id, check["state"], "assign")
    reviewer = await row(call, "reviewer", {"user_id": user_id})
    if reviewer is None:
        raise Problem.bad_field(
            "body.user_id", "is no active agent, desk lead or administrator; GET /v1/users lists them"
        )
    key = f"user:{user_id}"
    await _require_other(call, check, key)
    await _move(call, check, state, key, reviewer["name"])
    await _note(call, check, "assign", state, content={"user_id": user_id})


async def release(call: Call, completion_check_id: int) -> None:
    """Put a check back into the queue.

    Raises:
        Problem: 404; 409 when nobody is at it, or somebody else.
    """
    check = await lock_check(call, completion_check_id)
    state = CHECK.require(completion_check_id, check["state"], "release")
    if call.principal.role not in {"desk_lead", "admin"}:
        _require_claimed(call, check)
    await _move(call, check, state)
    await _note(call, check, "release", state)


async def decide(call: Call, completion_check_id: int, action: str, reason: str) -> None:
    """Accept or refuse a visit that one has claimed.

    Args:
        call: Of the reviewer.
        completion_check_id: Which check.
        action: `accept` or `refuse`.
        reason: Why; the partner reads it.

    Raises:
        Problem: 404; 403 for one's own report; 409 when it is not in the queue, or one is not at it.
    """
    check = await lock_check(call, completion_check_id)
    state = CHECK.require(completion_check_id, check["state"], action)
    _require_claimed(call, check)
    await _require_other(call, check, call.principal.key)
    decision = "accepted" if action == "accept" else "refused"
    values = {"completion_check_id": completion_check_id, "state": state, "decision": decision, "reason": reason}
    await execute(call, "decide_check", {**values, "actor": call.principal.name, "now": call.now})
    await _note(call, check, action, state, reason)
    if state == "rejected":
        await _tell(call, check, f"refused:{check['version']}", [reason])


async def reopen(call: Call, completion_check_id: int, reason: str) -> None:
    """Let a person look at a visit that was passed, accepted or rejected.

    Raises:
        Problem: 404; 409 when the check does not allow it.
    """
    check = await lock_check(call, completion_check_id)
    state = CHECK.require(completion_check_id, check["state"], "reopen")
    await _move(call, check, state)
    await _note(call, check, "reopen", state, reason)


def _require_free(check: Mapping[str, Any]) -> None:
    if check["claimed_key"] is not None:
        detail = f"{check['claimed_by']} is at it; a desk lead may assign it to somebody else"
        raise Problem.conflict("claimed", detail, claimed_by=check["claimed_by"])


def _require_claimed(call: Call, check: Mapping[str, Any]) -> None:
    if check["claimed_key"] is None:
        number = check["completion_check_id"]
        detail = f"nobody is at it; POST /v1/completion-audit/checks/{number}/claim first"
        raise Problem.conflict("not-claimed", detail)
    if check["claimed_key"] != call.principal.key:
        _require_free(check)


async def _require_other(call: Call, check: Mapping[str, Any], key: str) -> None:
    """Refuse whoever wrote, completed or corrected the report.

    Raises:
        Problem: 403.
    """
    wanted = {"visit_key": str(check["visit_id"]), "completion_check_id": check["completion_check_id"]}
    if key in {one["actor_key"] for one in await rows(call, "reporters", wanted)}:
        detail = f"the report of visit {check['visit_id']} is theirs ({key}); somebody else must decide on it"
        raise Problem(403, "own-report", detail)


async def _move(
    call: Call, check: Mapping[str, Any], state: str, key: str | None = None, name: str | None = None
) -> None:
    values = {"completion_check_id": check["completion_check_id"], "state": state, "now": call.now}
    await execute(call, "move_check", {**values, "claimed_key": key, "claimed_by": name})


async def _state_of(call: Call, check: Mapping[str, Any]) -> str:
    return str((await get_check(call, check["completion_check_id"]))["state"])


async def _note(  # noqa: PLR0917 - what is written of a step
    call: Call,
    check: Mapping[str, Any],
    action: str,
    to_state: str,
    reason: str = "",
    content: Mapping[str, Any] | None = None,
) -> None:
    values = {
        "completion_check_id": check["completion_check_id"],
        "action": action,
        "from_state": check["state"],
        "to_state": to_state,
        "reason": reason,
        "content": Jsonb(content or {}),
        "actor": call.principal.name,
        "actor_key": call.principal.key,
        "now": call.now,
    }
    await execute(call, "insert_step", values)


# Looking --------------------------------------------------------------------------------------------


async def show(call: Call, completion_check_id: int) -> dict[str, Any]:
    """One check with its history, as far as the caller reads it.

    Raises:
        Problem: 404.
    """
    check = shown(call, await get_check(call, completion_check_id))
    key = {"completion_check_id": completion_check_id}
    runs = await rows(call, "runs_of_check", key)
    steps = await rows(call, "steps_of_check", key)
    if call.principal.scoped:
        steps = [step for step in steps if step["action"] in TOLD_STEPS]
        runs = [{**run, "facts": None, "findings": told(run["findings"])} for run in runs]
    return {**check, "actions": CHECK.actions_of(check["state"]), "history": runs, "steps": steps}


async def list_checks(call: Call, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Checks, the oldest first, as far as the caller reads them."""
    return [shown(call, check) for check in await rows(call, "list_checks", wanted)]


def shown(call: Call, check: Mapping[str, Any]) -> dict[str, Any]:
    """A check as the caller reads it: a partner not who is at it, nor what only the house is to know."""
    if not call.principal.scoped:
        return dict(check)
    return {**check, "findings": told(check["findings"]), "claimed_by": None, "claimed_at": None}


def told(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The findings that partners read."""
    return [finding for finding in findings if finding["told"]]


async def statistics(call: Call, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How partners' reports fare: `since`, `until`, `provider_id`, `after_id`, `fetch`."""
    partners = await rows(call, "statistics", wanted)
    asked = {**wanted, "provider_ids": [partner["provider_id"] for partner in partners]}
    top: dict[int, list[dict[str, Any]]] = {}
    for reason in await rows(call, "top_reasons", asked):
        top.setdefault(reason["provider_id"], []).append(reason)
    return [{**partner, "top_reasons": top.get(partner["provider_id"], [])} for partner in partners]
