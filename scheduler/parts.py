"""Reserves the parts that a job needs; a job gets no appointment without them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from careloop.client import CareloopClient, Job, ProblemError
from scheduler.instant import Instant

NO_STOCK = "/problems/no-stock"
# Warehouses named in a reason; a dispatcher reads it in one line.
MOST_WAREHOUSES = 4


@dataclass(frozen=True)
class Supply:
    """What became of a job's parts.

    Attributes:
        available_at: When the last of them can be at the site; None for a job without parts.
        reserved: How many reservations were made now.
        lacking: Why a part could not be reserved, in words for a dispatcher; None when all are reserved.
    """

    available_at: datetime | None
    reserved: int
    lacking: str | None


@dataclass(frozen=True)
class _Shortage:
    quantity: int
    reason: str
    ask_again_at: datetime


class PartsDesk:
    """Reserves parts through the API.

    The API is asked for a part that is out of stock only once per `ask_again_after`, whatever number of jobs wait for
    it: parts come from any warehouse, so when none has enough for one job none has for the others.

    Args:
        client: Of the API.
        ask_again_after: How soon a part that was out of stock is asked for again.
    """

    def __init__(self, client: CareloopClient, ask_again_after: timedelta) -> None:
        self._client = client
        self._ask_again_after = ask_again_after
        self._shortages: dict[str, _Shortage] = {}

    def supply(self, job: Job, instant: Instant) -> Supply:
        """Reserve what is not reserved yet.

        Parts reserved stay reserved while another is lacking: the job's urgency decided who got them.

        Raises:
            ProblemError: The API refuses for another reason than lack of stock.
        """
        reservations = {entry["sku"]: entry for entry in job["reservations"] if entry["state"] == "reserved"}
        made = 0
        lacking: list[str] = []
        for part in job["parts"]:
            if part["sku"] in reservations:
                continue
            shortage = self._shortage(part["sku"], part["quantity"], instant.now)
            if shortage is None:
                try:
                    reservations[part["sku"]] = self._client.reserve(
                        job["job_id"], part["sku"], part["quantity"], now=instant.told
                    )
                    made += 1
                    continue
                except ProblemError as error:
                    if error.type != NO_STOCK:
                        raise
                    shortage = _Shortage(
                        part["quantity"], _reason(part["sku"], error), instant.now + self._ask_again_after
                    )
                    self._shortages[part["sku"]] = shortage
            lacking.append(shortage.reason)
        times = [datetime.fromisoformat(entry["available_at"]).astimezone(UTC) for entry in reservations.values()]
        return Supply(max(times, default=None), made, "; ".join(lacking) or None)

    def _shortage(self, sku: str, quantity: int, now: datetime) -> _Shortage | None:
        """What is known to be out of stock; None when the API is to be asked."""
        shortage = self._shortages.get(sku)
        if shortage is None or quantity < shortage.quantity:
            return None
        return shortage if now < shortage.ask_again_at <= now + self._ask_again_after else None


def _reason(sku: str, error: ProblemError) -> str:
    detail = str(error.problem.get("detail") or error.problem.get("title") or "no stock")
    reasons = [f"{entry['warehouse']}: {entry['reason']}" for entry in error.problem.get("warehouses", [])]
    if len(reasons) > MOST_WAREHOUSES:
        reasons[MOST_WAREHOUSES:] = [f"{len(reasons) - MOST_WAREHOUSES} more"]
    named = detail if sku in detail else f"part {sku}: {detail}"
    return f"{named} ({'; '.join(reasons)})" if reasons else named
