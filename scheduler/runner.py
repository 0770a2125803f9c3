"""Runs the duties of a live scheduler: leads or stands by, claims what is due, works it, books it."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import Connection

from careloop.database.engine import connect
from careloop.errors import CareloopError
from careloop.logs import log_context
from careloop.observability.watchdog import Heartbeat
from scheduler.allocation.nightly import NightlyPlan
from scheduler.dispatch import Dispatching
from scheduler.due import DuePlans
from scheduler.duties import Claim, Duties
from scheduler.instant import Instant
from scheduler.leader import Leadership
from scheduler.metrics import SchedulerMetrics
from scheduler.settings import SchedulerSettings

PLANS = "scheduler.plans"
DISPATCH = "scheduler.dispatch"
ALLOCATION = "scheduler.allocation"

log = logging.getLogger(__name__)


@dataclass
class _Session:
    """What hangs on one database connection and is built anew with it."""

    connection: Connection[Any]
    duties: Duties
    due_plans: DuePlans


class Runner:
    """One live scheduler process.

    Args:
        settings: Of the process.
        due_plans: Makes the duty `plans` on a database connection.
        dispatching: The duty `dispatch`.
        nightly_plan: The duty `allocation`.
        owner: Says who in the table of duties.
        clock: Gives the time.
        stop: Set when the process is to end; a duty under way stops after the job in hand.
        metrics: What is counted.
        monotonic: Seconds of a clock that never jumps.
        heartbeat: Beaten at each tick, and between the jobs of a duty.
    """

    def __init__(
        self,
        *,
        settings: SchedulerSettings,
        due_plans: Callable[[Connection[Any]], DuePlans],
        dispatching: Dispatching,
        nightly_plan: NightlyPlan,
        owner: str,
        clock: Callable[[], datetime],
        stop: threading.Event,
        metrics: SchedulerMetrics,
        monotonic: Callable[[], float],
        heartbeat: Heartbeat,
    ) -> None:
        self._settings = settings
        self._due_plans = due_plans
        self._dispatching = dispatching
        self._nightly_plan = nightly_plan
        self._owner = owner
        self._clock = clock
        self._stop = stop
        self._metrics = metrics
        self._monotonic = monotonic
        self._heartbeat = heartbeat
        self._lease = timedelta(seconds=settings.scheduler_lease_s)
        self._leadership = Leadership(settings.database_url)
        self._session: _Session | None = None
        # Renewed from another thread while a duty is worked, so on a connection of its own.
        self._renewal: Duties | None = None
        self._renewal_connection: Connection[Any] | None = None
        self._claim: Claim | None = None
        self._lost = threading.Event()

    @property
    def leads(self) -> bool:
        """Whether this process led when it last looked."""
        return self._leadership.leads

    def tick(self) -> None:
        """Work every duty that is due, if this process leads."""
        self._heartbeat.beat()
        try:
            while not self._stop.is_set() and self._leadership.held() and self._work_one():
                pass
        except (psycopg.OperationalError, CareloopError) as error:
            # The server went away: everything is built anew when it is back, and the claim's lease runs out by itself.
            log.warning("cannot work: %s", str(error).strip().splitlines()[0])
            self._drop_session()
        finally:
            self._metrics.leads(self._leadership.leads)

    def renew(self) -> None:
        """Prolong the lease of the duty under way, if any."""
        claim = self._claim
        if claim is None:
            return
        try:
            if self._renewal is None:
                self._renewal_connection = connect(
                    self._settings.database_url, application_name="careloop scheduler renew"
                )
                self._renewal = Duties(self._renewal_connection, self._owner, self._lease)
            if not self._renewal.renew(claim) and claim is self._claim:
                log.warning("duty %s was taken over by another scheduler", claim.name)
                self._lost.set()
        except (psycopg.OperationalError, CareloopError) as error:
            log.warning("cannot renew the lease of %s: %s", claim.name, str(error).strip().splitlines()[0])
            self._drop_renewal()

    def close(self) -> None:
        """Hang up everywhere; another scheduler may lead at once."""
        self._leadership.resign()
        self._drop_session()
        self._drop_renewal()

    def _work_one(self) -> bool:
        session = self._open_session()
        claim = session.duties.claim([PLANS, DISPATCH, ALLOCATION], self._clock())
        if claim is None:
            return False
        self._lost.clear()
        self._claim = claim
        error: str | None = None
        began_s, succeeded = self._monotonic(), False
        try:
            with log_context(duty=claim.name):
                self._work(claim, session)
            succeeded = True
        except psycopg.OperationalError:
            raise
        except CareloopError as failure:
            log.warning("duty %s: %s", claim.name, failure)
            error = str(failure)
        except Exception as failure:
            log.exception("duty %s failed", claim.name)
            error = f"{type(failure).__name__}: {failure}"
        finally:
            self._claim = None
            self._metrics.ran(claim.name, self._monotonic() - began_s, succeeded=succeeded)
        session.duties.finish(claim, self._clock(), error)
        return True

    def _work(self, claim: Claim, session: _Session) -> None:
        instant = Instant(self._clock(), simulated=False)
        if claim.name == PLANS:
            made = session.due_plans.run(instant, self._stopping)
            self._metrics.made(made)
            if made:
                log.info("%d jobs made for plans", made)
        elif claim.name == ALLOCATION:
            self._metrics.planned(self._nightly_plan.run(instant))
        else:
            tally = self._dispatching.run(instant, self._stopping)
            self._metrics.dispatched(tally)
            if tally.jobs_created or tally.parts_reserved or tally.jobs_dispatched:
                log.info("%s", tally)

    def _stopping(self) -> bool:
        self._heartbeat.beat()
        return self._stop.is_set() or self._lost.is_set()

    def _open_session(self) -> _Session:
        if self._session is None:
            connection = connect(self._settings.database_url, application_name="careloop scheduler")
            duties = Duties(connection, self._owner, self._lease)
            self._session = _Session(connection, duties, self._due_plans(connection))
            now = self._clock()
            duties.ensure(PLANS, timedelta(seconds=self._settings.scheduler_plans_every_s), now)
            duties.ensure(DISPATCH, timedelta(seconds=self._settings.scheduler_dispatch_every_s), now)
            duties.ensure_daily(ALLOCATION, self._settings.scheduler_allocation_at, now)
        return self._session

    def _drop_session(self) -> None:
        if self._session is not None:
            self._session.connection.close()
            self._session = None

    def _drop_renewal(self) -> None:
        if self._renewal_connection is not None:
            self._renewal_connection.close()
        self._renewal = self._renewal_connection = None
