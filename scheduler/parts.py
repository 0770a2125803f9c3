"""Reserves the parts that a job needs; a job gets no appointment without them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from careloop.client import CareloopClient, Job, JobPart, PartDemand, ProblemError, Reservation
from scheduler.instant import Instant

NO_STOCK = "/problems/no-stock"
# Warehouses named in a reason; a dispatcher reads it in one line.
MOST_WAREHOUSES = 4
# How soon the allocation is asked again for a job that waits.
ASK_AGAIN = timedelta(hours=1)
# Answers remembered; past it all are asked for anew, rather than kept for jobs of long ago.
MOST_ANSWERS = 10_000


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


@dataclass(frozen=True)
class _Answer:
    """What the allocation said of a job's part: when it is there if it is kept, and why the job waits if it is not."""

    available_at: datetime | None
    lacking: str | None
    ask_again_at: datetime


class PartsDesk:
    """Reserves parts through the API.

    A part that is at hand in the job's territory is kept at once. For one that is not, the allocation is asked where it
    is to come from by the job's due date: another warehouse, a kit, another part, an order.

    The API is asked for a part that is out of stock only once per `ask_again_after`, whatever number of jobs wait for
    it: parts come from any warehouse, so when none has enough for one job none has for the others. The allocation is
    asked once for each of them, and again every hour: it keeps the part by itself when it comes.

    Args:
        client: Of the API.
        ask_again_after: How soon a part that was out of stock is asked for again.
    """

    def __init__(self, client: CareloopClient, ask_again_after: timedelta) -> None:
        self._client = client
        self._ask_again_after = ask_again_after
        self._shortages: dict[str, _Shortage] = {}
        self._answers: dict[tuple[int, str], _Answer] = {}

    def supply(self, job: Job, instant: Instant) -> Supply:
        """Reserve what is not reserved yet.

        Parts reserved stay reserved while another is lacking: the job's urgency decided who got them.

        Raises:
            ProblemError: The API refuses for another reason than lack of stock.
        """
        reservations = {entry["sku"]: entry for entry in job["reservations"] if entry["state"] == "reserved"}
        made = 0
        lacking: list[str] = []
        times: list[datetime] = []
        for part in job["parts"]:
            kept = reservations.get(part["sku"])
            if kept is None:
                kept, shortage = self._reserve(job, part, instant)
                made += kept is not None
            else:
                shortage = None
            if kept is not None and (kept["demand_id"] is not None or _time(kept) <= instant.now):
                times.append(_time(kept))
                continue
            # There is none, or it is far away: the job's territory may have a warehouse to send it to.
            answer = self._allocate(job, part, shortage, instant)
            if answer.available_at is not None:
                made += kept is None
                times.append(answer.available_at)
            if answer.lacking is not None:
                lacking.append(answer.lacking)
        return Supply(max(times, default=None), made, "; ".join(lacking) or None)

    def _reserve(self, job: Job, part: JobPart, instant: Instant) -> tuple[Reservation | None, _Shortage | None]:
        """Keep a part that is on hand somewhere; or why not."""
        shortage = self._shortage(part["sku"], part["quantity"], instant.now)
        if shortage is not None:
            return None, shortage
        try:
            return self._client.reserve(job["job_id"], part["sku"], part["quantity"], now=instant.told), None
        except ProblemError as error:
            if error.type != NO_STOCK:
                raise
            shortage = _Shortage(part["quantity"], _reason(part["sku"], error), instant.now + self._ask_again_after)
            self._shortages[part["sku"]] = shortage
            return None, shortage

    def _allocate(self, job: Job, part: JobPart, shortage: _Shortage | None, instant: Instant) -> _Answer:
        """Where a part is to come from that is not at hand in the job's territory."""
        key = job["job_id"], part["sku"]
        known = self._answers.get(key)
        if known is not None and shortage is not None and instant.now < known.ask_again_at <= instant.now + ASK_AGAIN:
            return known
        demand = self._client.allocate(*key, part["quantity"], needed_by=job["due_by"], now=instant.told)
        promised = datetime.fromisoformat(demand["promised_at"]).astimezone(UTC) if demand["promised_at"] else None
        kept = demand["state"] == "allocated" and demand["reservation_id"] is not None
        why = None if kept else _why_waiting(demand, promised, shortage)
        answer = _Answer(promised if kept else None, why, instant.now + ASK_AGAIN)
        if len(self._answers) >= MOST_ANSWERS:
            self._answers.clear()
        self._answers[key] = answer
        return answer

    def _shortage(self, sku: str, quantity: int, now: datetime) -> _Shortage | None:
        """What is known to be out of stock; None when the API is to be asked."""
        shortage = self._shortages.get(sku)
        if shortage is None or quantity < shortage.quantity:
            return None
        return shortage if now < shortage.ask_again_at <= now + self._ask_again_after else None


def _why_waiting(demand: PartDemand, promised: datetime | None, shortage: _Shortage | None) -> str:
    """Why a job waits for a part, with the date in front: a date that moves is news."""
    sku, day = demand["sku"], f"{promised:%Y-%m-%d}" if promised is not None else None
    if demand["state"] == "allocated":
        said = f"{sku} is ordered and can be at the site by {day}"
    elif day is not None:
        said = f"{sku} can be at the site on {day} at the earliest"
    else:
        said = f"{sku} can be had nowhere"
    return f"{said}; {shortage.reason if shortage is not None else demand['reason']}"


def _time(reservation: Reservation) -> datetime:
    return datetime.fromisoformat(reservation["available_at"]).astimezone(UTC)


def _reason(sku: str, error: ProblemError) -> str:
    detail = str(error.problem.get("detail") or error.problem.get("title") or "no stock")
    reasons = [f"{entry['warehouse']}: {entry['reason']}" for entry in error.problem.get("warehouses", [])]
    if len(reasons) > MOST_WAREHOUSES:
        reasons[MOST_WAREHOUSES:] = [f"{len(reasons) - MOST_WAREHOUSES} more"]
    named = detail if sku in detail else f"part {sku}: {detail}"
    return f"{named} ({'; '.join(reasons)})" if reasons else named
