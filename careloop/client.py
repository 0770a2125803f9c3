"""Typed client of the REST API, for the predictor, the scheduler, the line's conductor and tests.

Every POST carries an `Idempotency-Key`, so that a call repeated after a lost answer changes nothing; calls that failed
for want of a connection are repeated. Lists are followed to their last page.
"""

import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from types import TracebackType
from typing import Any, NotRequired, Self, TypedDict, cast

import httpx

from careloop.errors import CareloopError

ATTEMPTS = 6
FIRST_PAUSE_S = 0.1
PAGE = 200


class ProblemError(Exception):
    """The API refused a call; carries the RFC 9457 problem.

    Attributes:
        status: HTTP status.
        type: Stable problem type, e.g. `/problems/no-stock`.
        problem: The whole problem document.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.type = str(problem.get("type", "about:blank"))
        self.problem = problem
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}")


class Component(TypedDict):
    """A component of a product model, the part that replaces it, and what its failure costs."""

    name: str
    sku: str | None
    quantity: int
    skill: str
    labour_minutes: int
    failure_cost_minor: int
    planned_cost_minor: int
    currency: str


class Metric(TypedDict):
    """A declared metric and its canonical unit."""

    name: str
    unit: str


class ProductModel(TypedDict):
    """A product model: its metrics and components."""

    code: str
    name: str
    kind: str
    manufacturer: str
    horizon_hours: int
    metrics: list[Metric]
    components: list[Component]


class Asset(TypedDict):
    """One serial number."""

    asset_id: int
    serial: str
    model: str
    kind: str
    site_id: int | None
    territory: str
    installed_at: str
    state: str
    attributes: dict[str, Any]
    version: int


class WarrantyTerm(TypedDict):
    """A warranty of an asset; `ends_on` is the last day covered."""

    term_id: int
    serial: str
    name: str
    starts_on: str
    ends_on: str
    ticket_id: int | None


class Ticket(TypedDict):
    """A case."""

    ticket_id: int
    kind: str
    state: str
    priority: str
    serial: str
    component: str | None
    cause: str
    title: str
    description: str
    raised_by: str
    opened_at: str
    due_by: str | None
    closed_at: str | None
    outcome: str | None
    evidence: dict[str, Any]
    term_id: int | None
    job_id: int | None
    version: int
    created: NotRequired[bool]


class Reservation(TypedDict):
    """A part kept for a job."""

    reservation_id: int
    job_id: int | None
    demand_id: int | None
    sku: str
    warehouse: str
    quantity: int
    state: str
    available_at: str
    version: int


class PartDemand(TypedDict):
    """A part that a case or a job needs, and where it comes from; `promised_at` is when it can be at the site."""

    part_demand_id: int
    ticket_id: int | None
    job_id: int | None
    sku: str
    quantity: int
    needed_by: str
    state: str
    kind: str | None
    given_sku: str | None
    warehouse: str | None
    reservation_id: int | None
    reason: str
    promised_at: str | None
    version: int


class JobPart(TypedDict):
    """A part that a job needs."""

    sku: str
    quantity: int


class Visit(TypedDict):
    """A job on site with an appointment."""

    visit_id: int
    job_id: int
    technician_id: int
    starts_at: str
    ends_at: str
    state: str


class Job(TypedDict):
    """Work to do for a ticket or a plan."""

    job_id: int
    serial: str
    territory: str
    ticket_id: int | None
    plan_id: int | None
    occurrence: int | None
    component: str | None
    state: str
    waiting_reason: str | None
    skill: str
    labour_minutes: int
    priority: str
    instructions: str
    due_by: str | None
    created_at: str
    completed_at: str | None
    outcome: str | None
    parts: list[JobPart]
    reservations: list[Reservation]
    visit: Visit | None
    version: int
    time_zone: NotRequired[str]


class Plan(TypedDict):
    """A maintenance plan of a product model."""

    plan_id: int
    name: str
    model: str
    trigger: dict[str, Any]
    skill: str
    labour_minutes: int
    instructions: str
    parts: list[JobPart]
    active: bool
    created_at: str
    version: int


class Technician(TypedDict):
    """Somebody who does visits."""

    technician_id: int
    name: str
    provider: str
    skills: list[str]
    territories: list[str]
    daily_capacity_minutes: int
    active: bool
    version: int


class ComponentFact(TypedDict):
    """A failure (`at` is failed_at) or a replacement (`at` is replaced_at) of a component."""

    fact_id: int
    serial: str
    component: str
    at: str
    reason: NotRequired[str]


class CareloopClient:
    """Calls the REST API.

    Args:
        base_url: Address of the API, e.g. `http://127.0.0.1:8080`.
        api_key: Sent as `Authorization: Bearer …`.
        transport: Instead of the network, in tests.
        tells_time: The API is told the times that calls are given; one on the system's clock refuses that.
    """

    def __init__(
        self, base_url: str, api_key: str, transport: httpx.BaseTransport | None = None, *, tells_time: bool = True
    ) -> None:
        self._tells_time = tells_time
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=httpx.Timeout(30.0, connect=5.0),
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # The walls: the verbs ----------------------------------------------------------------------

    def get(self, path: str, *, now: datetime | None = None, **query: object) -> Any:
        """GET one resource; query values of None are left out."""
        return self._call("GET", path, now=now, params=_query(query))

    def get_text(self, path: str, *, now: datetime | None = None, **query: object) -> str:
        """GET a page, e.g. a report as HTML."""
        return self._send("GET", path, now=now, params=_query(query)).text

    def pages(self, path: str, *, now: datetime | None = None, **query: object) -> Iterator[Any]:
        """Every item of a list, page after page."""
        after: object = None
        while True:
            page = self._call("GET", path, now=now, params=_query({**query, "after": after, "limit": PAGE}))
            yield from page["items"]
            after = page["next"]
            if after is None:
                return

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        now: datetime | None = None,
        key: str | None = None,
        version: int | None = None,
    ) -> Any:
        """POST with an idempotency key, made up when none is given; with the version one has seen, where asked for."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        return self._call("POST", path, now=now, body=body, headers=headers)

    def patch(self, path: str, body: Mapping[str, Any], *, version: int, now: datetime | None = None) -> Any:
        """PATCH the version one has seen; 412 when somebody else was faster."""
        return self._call("PATCH", path, now=now, body=body, headers={"If-Match": f'"{version}"'})

    def put(
        self, path: str, body: Mapping[str, Any], *, now: datetime | None = None, version: int | None = None
    ) -> Any:
        """PUT what is to hold from now on, with the version one has seen where asked for; again changes nothing."""
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        return self._call("PUT", path, now=now, body=body, headers=headers)

    def delete(self, path: str, *, now: datetime | None = None) -> None:
        """DELETE; 404 when it is not there."""
        self._call("DELETE", path, now=now)

    def _call(self, method: str, path: str, **request: Any) -> Any:
        response = self._send(method, path, **request)
        return response.json() if response.content else None

    def _send(
        self,
        method: str,
        path: str,
        *,
        now: datetime | None,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        sent = dict(headers or {})
        if now is not None and self._tells_time:
            sent["Careloop-Now"] = now.isoformat()
        pause_s = FIRST_PAUSE_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = self._http.request(method, path, params=params, json=body, headers=sent)
                break
            except httpx.TransportError as error:
                if attempt == ATTEMPTS:
                    raise CareloopError(
                        f"the API at {self._http.base_url} does not answer ({error}); is `careloop api` running?"
                    ) from error
                time.sleep(pause_s)
                pause_s *= 2
        if response.is_success:
            return response
        try:
            problem = response.json()
        except ValueError:
            problem = {"title": response.reason_phrase, "detail": response.text[:200]}
        raise ProblemError(response.status_code, problem)

    # What services ask ------------------------------------------------------------------------

    def product_models(self) -> list[ProductModel]:
        """All product models."""
        return cast(list[ProductModel], list(self.pages("/v1/product-models")))

    def assets(self, *, model: str | None = None) -> Iterator[Asset]:
        """All active assets, or those of one model."""
        return cast(Iterator[Asset], self.pages("/v1/assets", model=model, state="active"))

    def failures(self, *, since_id: int = 0) -> Iterator[ComponentFact]:
        """Failures recorded after the one with number `since_id`, oldest first."""
        return cast(Iterator[ComponentFact], self.pages("/v1/failures", since_id=since_id))

    def replacements(self, *, since_id: int = 0) -> Iterator[ComponentFact]:
        """Replacements recorded after the one with number `since_id`, oldest first."""
        return cast(Iterator[ComponentFact], self.pages("/v1/replacements", since_id=since_id))

    def unticketed_warranty_terms(self, *, ends_before: date, ends_from: date) -> Iterator[WarrantyTerm]:
        """Terms whose last day is in [ends_from, ends_before) and for which no ticket was ever raised."""
        return cast(
            Iterator[WarrantyTerm],
            self.pages("/v1/warranty-terms", ends_from=ends_from, ends_before=ends_before, unticketed=True),
        )

    def open_ticket(self, ticket: Mapping[str, Any], *, now: datetime | None, key: str | None = None) -> Ticket:
        """Open a ticket, or add the evidence to the open case of that asset and cause; `created` tells which."""
        return cast(Ticket, self.post("/v1/tickets", ticket, now=now, key=key))

    def tickets_without_job(self) -> Iterator[Ticket]:
        """Open preventive and repair tickets for which no open job exists."""
        return cast(Iterator[Ticket], self.pages("/v1/tickets", needs_job=True))

    def create_job(self, job: Mapping[str, Any], *, now: datetime | None, key: str | None = None) -> Job:
        """Make a job for a ticket or for one occurrence of a plan; an existing one is returned as it is."""
        return cast(Job, self.post("/v1/jobs", job, now=now, key=key))

    def jobs(self, *states: str) -> Iterator[Job]:
        """Jobs in the states named, oldest first."""
        return cast(Iterator[Job], self.pages("/v1/jobs", state=",".join(states)))

    def reserve(self, job_id: int, sku: str, quantity: int, *, now: datetime | None) -> Reservation:
        """Reserve a part for a job at the best warehouse.

        Raises:
            ProblemError: `/problems/no-stock`, with the reasons per warehouse, when no warehouse has it.
        """
        body = {"job_id": job_id, "sku": sku, "quantity": quantity}
        return cast(Reservation, self.post("/v1/parts/reservations", body, now=now))

    def allocate(
        self, job_id: int, sku: str, quantity: int, *, needed_by: str | None, now: datetime | None
    ) -> PartDemand:
        """Ask where a part for a job is to come from; what was asked for already is answered as it stands."""
        body = {"job_id": job_id, "sku": sku, "quantity": quantity, "needed_by": needed_by}
        return cast(PartDemand, self.post("/v1/allocation/demands", body, now=now))

    def hold_job(self, job_id: int, reason: str, *, now: datetime | None) -> Job:
        """Let a job wait, with the reason for the dispatcher."""
        return cast(Job, self.post(f"/v1/jobs/{job_id}/hold", {"reason": reason}, now=now))

    def dispatch_job(
        self, job_id: int, technician_id: int, starts_at: datetime, ends_at: datetime, *, now: datetime | None
    ) -> Job:
        """Give a job to a technician with an appointment.

        Raises:
            ProblemError: `/problems/parts-not-reserved`, `/problems/technician-busy`, `/problems/technician-unfit` …
        """
        body = {"technician_id": technician_id, "starts_at": starts_at.isoformat(), "ends_at": ends_at.isoformat()}
        return cast(Job, self.post(f"/v1/jobs/{job_id}/dispatch", body, now=now))

    def plans(self) -> Iterator[Plan]:
        """Active maintenance plans."""
        return cast(Iterator[Plan], self.pages("/v1/plans", active=True))

    def plan_occurrences(self, plan_id: int) -> dict[str, int]:
        """The latest occurrence of a plan that already has a job, by serial number."""
        return {item["serial"]: item["occurrence"] for item in self.pages(f"/v1/plans/{plan_id}/occurrences")}

    def technicians(self) -> Iterator[Technician]:
        """Active technicians."""
        return cast(Iterator[Technician], self.pages("/v1/technicians", active=True))

    def visits(self, *, ends_after: datetime, starts_before: datetime) -> Iterator[Visit]:
        """Planned and started visits that touch a span of time."""
        return cast(Iterator[Visit], self.pages("/v1/visits", ends_after=ends_after, starts_before=starts_before))


def _query(given: Mapping[str, object]) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, bool):
            query[name] = "true" if value else "false"
        elif isinstance(value, datetime | date):
            query[name] = value.isoformat()
        else:
            query[name] = str(value)
    return query
