"""What partners owe for what is sent to them, and who is told when something goes astray."""

from collections.abc import Mapping
from typing import Any

from api.accounts import service as accounts
from api.alerts.service import announce
from api.conventions.call import Call
from api.transfers.repository import row

CAUSE = "transfer"


async def charge_receiver(call: Call, transfer: Mapping[str, Any]) -> tuple[int, str] | None:
    """Charge the partner whose warehouse pieces go to, unless they are its own already.

    Returns:
        The amount and its currency; None where nobody owes anything.

    Raises:
        Problem: 409 `credit-limit`, `no-price`.
    """
    partner = transfer["to_provider_id"]
    if partner is None or partner == transfer["from_provider_id"]:
        return None
    entry = await accounts.charge_part(
        call, partner, transfer["part_id"], transfer["quantity"], CAUSE, _key(transfer), _text(transfer, "sent"),
        transfer["ticket_id"],
    )  # fmt: skip
    if entry is None:
        return None
    account = await row(call, "currency_of_account", {"partner_account_id": entry["partner_account_id"]})
    return None if account is None else (entry["amount_minor"], account["currency"])


async def settle_arrival(call: Call, transfer: Mapping[str, Any], good: int, damaged: int) -> None:
    """Credit a partner for what arrived of the pieces it sent back, and for what came to it damaged."""
    if good:
        await _give_back(call, transfer, transfer["from_provider_id"], transfer["to_provider_id"], good, "arrived")
    if damaged:
        await settle_loss(call, transfer, damaged, "damaged")


async def settle_loss(call: Call, transfer: Mapping[str, Any], pieces: int, what: str = "lost") -> None:
    """Credit the partner that was charged for pieces which it did not get."""
    await _give_back(call, transfer, transfer["to_provider_id"], transfer["from_provider_id"], pieces, what)


async def _give_back(  # noqa: PLR0917 - whom, for what
    call: Call, transfer: Mapping[str, Any], partner: int | None, other: int | None, pieces: int, what: str
) -> None:
    if partner is None or partner == other:
        return
    # A transfer may be received in several goes; each is a cause of its own.
    done = transfer["received"] + transfer["damaged"] + transfer["missing"]
    await accounts.give_back(
        call, partner, transfer["part_id"], pieces, CAUSE, f"{_key(transfer)}:{what}:{done}", _text(transfer, what),
        transfer["ticket_id"],
    )  # fmt: skip


async def tell_of_loss(call: Call, transfer: Mapping[str, Any]) -> None:
    """Tell the desk that pieces are lost."""
    number = transfer["transfer_id"]
    case = f" for ticket {transfer['ticket_id']}" if transfer["ticket_id"] is not None else ""
    await announce(
        call,
        topic="transfer.lost",
        cause=f"transfer:{number}:lost",
        asset_id=None,
        subject=f"Lost on the way: {transfer['missing']} {transfer['sku']}{case}",
        body=(
            f"Transfer {number} from {transfer['origin']} to {transfer['to']} was given up ({transfer['end_reason']}); "
            f"{transfer['received']} of {transfer['quantity']} came, {transfer['missing']} are missing."
        ),
        payload={name: transfer[name] for name in ("transfer_id", "sku", "missing", "origin", "to", "ticket_id")},
    )


def _key(transfer: Mapping[str, Any]) -> str:
    return str(transfer["transfer_id"])


def _text(transfer: Mapping[str, Any], what: str) -> str:
    return f"{transfer['sku']}, transfer {transfer['transfer_id']}: {what}"
