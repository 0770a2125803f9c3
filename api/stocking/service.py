"""Proposals decided: done in the same call as they are accepted."""

from collections.abc import Mapping

from psycopg.rows import DictRow

from api.conventions.call import Call
from api.conventions.problems import Problem
from api.purchasing import service as purchasing
from api.stocking import runs
from api.stocking.models import Acceptance
from api.stocking.repository import SQL, row, rows
from api.stocking.rules import PROPOSAL
from api.transfers import service as transfers

NOTHING = {"transfer_id": None, "purchase_line_id": None}


async def get(call: Call, proposal_id: int) -> DictRow:
    """One proposal.

    Raises:
        Problem: 404.
    """
    found = await row(call, "get_proposal", {"proposal_id": proposal_id})
    if found is None:
        raise Problem.not_found("proposal", proposal_id)
    return found


async def accept(call: Call, proposal_id: int) -> DictRow:
    """Do what is proposed: set levels, plan the transfer, or add to the supplier's draft order.

    Raises:
        Problem: 404; 409 when it is decided already, or when it can't be done any more.
    """
    proposal = await _locked(call, proposal_id)
    state = PROPOSAL.require(proposal_id, proposal["state"], "accept")
    came: dict[str, int | None] = {**NOTHING}
    if proposal["kind"] == "levels":
        await call.connection.execute(SQL["set_levels"], proposal)
    elif proposal["kind"] == "transfer":
        planned = await transfers.create(
            call,
            part_id=proposal["part_id"],
            quantity=proposal["quantity"],
            from_warehouse_id=proposal["from_warehouse_id"],
            to_warehouse_id=proposal["warehouse_id"],
            cause=("stocking", str(proposal_id)),
        )
        came["transfer_id"] = planned["transfer_id"]
    else:
        line = await purchasing.order(
            call,
            part_id=proposal["part_id"],
            quantity=proposal["quantity"],
            warehouse_id=proposal["warehouse_id"],
        )
        came["purchase_line_id"] = line["purchase_line_id"]
    return await _decide(call, proposal_id, state, "", came)


async def reject(call: Call, proposal_id: int, reason: str) -> DictRow:
    """It won't be done.

    Raises:
        Problem: 404; 409 when it is decided already.
    """
    proposal = await _locked(call, proposal_id)
    state = PROPOSAL.require(proposal_id, proposal["state"], "reject")
    return await _decide(call, proposal_id, state, reason, NOTHING)


async def accept_of_run(call: Call, run_id: int, body: Acceptance) -> dict[str, object]:
    """Accept what is still proposed; what can't be done stays, and says why.

    Raises:
        Problem: 404.
    """
    await runs.get(call, run_id)
    wanted = {"run_id": run_id, "kinds": list(body.kinds), "batch": body.most + 1}
    found = [one["proposal_id"] for one in await rows(call, "pick_open_proposals", wanted)]
    accepted, refused = [], {}
    for proposal_id in found[: body.most]:
        try:
            async with call.connection.transaction():
                await accept(call, proposal_id)
            accepted.append(proposal_id)
        except Problem as problem:
            refused[str(proposal_id)] = problem.detail
    return {"accepted": accepted, "refused": refused, "left": len(found) > body.most}


async def _locked(call: Call, proposal_id: int) -> DictRow:
    found = await row(call, "lock_proposal", {"proposal_id": proposal_id})
    if found is None:
        raise Problem.not_found("proposal", proposal_id)
    return found


async def _decide(call: Call, proposal_id: int, state: str, decision: str, came: Mapping[str, int | None]) -> DictRow:
    values = {"proposal_id": proposal_id, "state": state, "decision": decision, "by": call.principal.name}
    await call.connection.execute(SQL["decide_proposal"], {**values, **came, "now": call.now})
    return await get(call, proposal_id)
