"""The application: which capabilities it has, and the pool they share."""

import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Literal

from fastapi import FastAPI
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from api.access.login import Entrance
from api.access.routes import audit_router as audit
from api.access.routes import keys_router as api_keys
from api.access.routes import open_router as login
from api.access.routes import own_router as own
from api.access.routes import users_router as users
from api.access.service import run_due as forget_ended_logins
from api.accounts.routes import router as accounts
from api.alerts.delivery import DeliveryLimits, delivering
from api.alerts.routes import router as alerts
from api.allocation.following import run_due as follow_part_demands
from api.allocation.routes import router as allocation
from api.assets.bulk.routes import import_router as asset_import
from api.assets.bulk.routes import router as asset_sheets
from api.assets.catalogue_routes import router as product_models
from api.assets.routes import router as assets
from api.assets.service import run_due as take_reported_firmware
from api.completion_audit.routes import router as completion_audit
from api.completion_audit.rulebook.routes import router as audit_rules
from api.completion_audit.service import run_due as check_completions
from api.conventions import problems
from api.conventions.openapi import document_calls
from api.conventions.switchboard import RoomyApi
from api.conversation.routes import router as conversation
from api.cover.routes import router as cover
from api.cover.service import run_due as end_cover
from api.customers.merging import run_due as fetch_strays
from api.customers.routes import router as customers
from api.denials.routes import router as denials
from api.devices.broker_files import BrokerFiles, keeping_files
from api.devices.provisioning import Provisioning
from api.devices.routes import open_router as devices_without_key
from api.devices.routes import router as devices
from api.dictionary.routes import router as dictionary
from api.dispatch.routes import router as dispatch
from api.duties.routes import router as duties
from api.duties.service import Duty, performing
from api.escalation.routes import router as escalation
from api.escalation.service import run_due as escalate
from api.feed.delivery import FeedLimits, feeding
from api.feed.routes import router as feed
from api.files.routes import router as files
from api.files.routes import upload_router as file_upload
from api.files.service import run_due as remove_orphaned_files
from api.instruments.loans import run_due as ask_for_instruments
from api.instruments.routes import router as instruments
from api.intake.routes import router as intake
from api.kits.routes import router as kits
from api.observation.routes import metrics_router, probes_router
from api.observation.tracing import Tracing
from api.observation.watching import Observed, watching
from api.outcomes.routes import router as outcomes
from api.parts.catalogue import run_due as supersede_parts
from api.parts.catalogue_routes import router as catalogue
from api.parts.routes import router as parts
from api.parts.sheet_routes import import_router as parts_import
from api.parts.sheet_routes import router as parts_sheets
from api.plans.routes import router as plans
from api.privacy.routes import router as privacy
from api.providers.routes import router as providers
from api.purchasing.duties import run_due as watch_purchases
from api.purchasing.routes import router as purchasing
from api.quotes.payment_routes import open_router as payment_messages
from api.quotes.payment_routes import router as payments
from api.quotes.routes import open_router as quote_links
from api.quotes.routes import router as quotes
from api.quotes.service import FOLLOWERS as QUOTE_FOLLOWERS
from api.quotes.service import run_due as expire_quotes
from api.recovery.routes import router as recovery
from api.recovery.service import run_due as watch_claims
from api.remote.routes import router as remote
from api.repairs.loan_routes import router as loans
from api.repairs.loans import run_due as ask_for_loaners
from api.repairs.routes import router as repairs
from api.repairs.service import follow_quote
from api.repairs.service import run_due as mark_late_repairs
from api.repairs.workshop import keep_parts_that_came
from api.reports.routes import router as reports
from api.reservations.routes import router as reservations
from api.returns.routes import router as returns
from api.returns.service import run_due as mark_overdue_old_parts
from api.rotables.routes import router as rotables
from api.satisfaction.routes import open_router as satisfaction_by_link
from api.satisfaction.routes import router as satisfaction
from api.satisfaction.rules import Survey
from api.satisfaction.service import run_due as ask_for_satisfaction
from api.settlement.cards.routes import router as rate_cards
from api.settlement.drafting import run_due as draft_statements
from api.settlement.routes import router as settlement
from api.settlement.signing import SigningKey
from api.sla.calendars import run_due as take_holidays
from api.sla.routes import router as sla
from api.sla.service import run_due as follow_calendars
from api.stock.balance_routes import router as stock
from api.stock.count_routes import router as stock_counts
from api.stock.proofs import run_due as prove_stock
from api.stock.routes import router as stock_of_parts
from api.stocking.forecasts import run_due as score_forecasts
from api.stocking.routes import router as stocking
from api.telemetry.routes import router as telemetry
from api.tickets.collection_routes import router as ticket_lists
from api.tickets.routes import router as tickets
from api.timeline.routes import router as timeline
from api.transfers.duties import run_due as watch_transfers
from api.transfers.routes import router as transfers
from api.visits.catalogue import router as procedures
from api.visits.routes import open_router as visit_links
from api.visits.routes import router as visits
from api.warehouses.routes import router as warehouses
from api.warranty.policies import run_due as derive_warranties
from api.warranty.routes import router as warranty
from careloop import __version__
from careloop.database.readiness import database_check
from careloop.observability.metrics import render_from
from careloop.observability.probes import Probes

# Each capability's router, lowest first.
ROUTERS = (
    probes_router,
    metrics_router,
    login,
    own,
    users,
    api_keys,
    audit,
    providers,
    customers,
    privacy,
    product_models,
    asset_import,
    asset_sheets,
    assets,
    devices_without_key,
    devices,
    dictionary,
    intake,
    remote,
    alerts,
    file_upload,
    files,
    warehouses,
    stock,
    stock_counts,
    # Lists below /v1/parts before /v1/parts/{sku}.
    reservations,
    stock_of_parts,
    parts_import,
    parts_sheets,
    catalogue,
    parts,
    instruments,
    rotables,
    kits,
    warranty,
    sla,
    ticket_lists,
    tickets,
    cover,
    denials,
    recovery,
    conversation,
    escalation,
    accounts,
    returns,
    transfers,
    purchasing,
    allocation,
    quote_links,
    quotes,
    payment_messages,
    payments,
    plans,
    dispatch,
    satisfaction_by_link,
    satisfaction,
    repairs,
    loans,
    outcomes,
    visit_links,
    visits,
    procedures,
    audit_rules,
    completion_audit,
    rate_cards,
    settlement,
    stocking,
    reports,
    telemetry,
    timeline,
    feed,
    duties,
)

# Who goes on when a customer has decided on a quote.
QUOTE_FOLLOWERS[:] = [follow_quote]

# What falls due without a call, in the order in which it is done.
DUTIES: tuple[Duty, ...] = (
    Duty("orphaned-files", remove_orphaned_files),
    Duty("holidays", take_holidays),
    Duty("changed-calendars", follow_calendars),
    Duty("escalations", escalate),
    Duty("reported-firmware", take_reported_firmware),
    Duty("ended-logins", forget_ended_logins),
    Duty("warranty-terms", derive_warranties),
    Duty("ended-cover", end_cover),
    Duty("supplier-claims", watch_claims),
    Duty("expired-quotes", expire_quotes),
    Duty("awaited-parts", keep_parts_that_came),
    Duty("late-repairs", mark_late_repairs),
    Duty("overdue-old-parts", mark_overdue_old_parts),
    Duty("late-loaners", ask_for_loaners),
    Duty("superseded-parts", supersede_parts),
    Duty("instruments", ask_for_instruments),
    Duty("merged-customers", fetch_strays),
    Duty("transfers", watch_transfers),
    Duty("purchases", watch_purchases),
    Duty("part-demands", follow_part_demands),
    Duty("satisfaction", ask_for_satisfaction),
    Duty("proof-of-stock", prove_stock),
    Duty("completion-audit", check_completions),
    Duty("settlement", draft_statements),
    Duty("forecasts", score_forecasts),
)

# After so long a rest a connection is asked whether it still lives.
RESTED_S = 1.0


def create_app(
    database_url: str,
    *,
    clock: Literal["system", "request"],
    now: Callable[[], datetime],
    connections: int = 10,
    deliver_alerts: DeliveryLimits | None = None,
    deliver_feed: FeedLimits | None = None,
    duties_every_s: float | None = None,
    largest_file_bytes: int = 10 * 2**20,
    entrance: Entrance | None = None,
    provisioning: Provisioning | None = None,
    broker_files: BrokerFiles | None = None,
    observed: Observed | None = None,
    settlement_key: SigningKey | None = None,
) -> FastAPI:
    """Build the application.

    Args:
        database_url: A migrated database.
        clock: `request` lets the header Careloop-Now give the time, for replays and tests.
        now: The system clock.
        connections: Largest number of database connections.
        deliver_alerts: Deliver the outbox too, within these limits.
        deliver_feed: Post changes to webhooks too, within these limits.
        duties_every_s: Do by itself what is due, with such a pause between rounds; only when asked if None.
        largest_file_bytes: Limit of an uploaded file.
        entrance: How people come in; without, by password for twelve hours.
        provisioning: How devices get identities; without, by password only.
        broker_files: Keep Mosquitto's files up to date too.
        observed: What it is watched and counted by.
        settlement_key: What signs settlement for finance; without, nothing is signed.
    """
    seen = observed or Observed.by(time.monotonic)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _pool(database_url, connections) as pool:
            app.state.pool = pool
            async with (
                watching(pool, seen),
                delivering(pool, deliver_alerts, now),
                feeding(pool, deliver_feed, now),
                performing(pool, DUTIES, duties_every_s, now),
                keeping_files(pool, broker_files, app.state.provisioning, now),
            ):
                yield

    app = _titled(lifespan)
    app.state.clock = clock
    app.state.now = now
    app.state.duties = DUTIES
    app.state.largest_file_bytes = largest_file_bytes
    app.state.entrance = entrance or Entrance()
    app.state.provisioning = provisioning or Provisioning()
    app.state.settlement_key = settlement_key
    app.state.probes = Probes("api", seen.watchdog, {"database": database_check(database_url, "api")}, seen.clock)
    return _furnish(app, seen)


def _titled(lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]]) -> RoomyApi:
    return RoomyApi(
        title="careloop",
        version=__version__,
        summary="Assets, tickets, parts, plans, jobs, alerts and reports of a service organisation",
        lifespan=lifespan,
    )


async def _check_if_rested(connection: AsyncConnection[DictRow]) -> None:
    """Ask a connection whether it lives, unless it did so just now: under load that is a round trip for nothing."""
    now_s = time.monotonic()
    if now_s - getattr(connection, "seen_alive_s", -math.inf) > RESTED_S:
        await AsyncConnectionPool.check_connection(connection)
    connection.seen_alive_s = now_s  # type: ignore[attr-defined] # a note on the connection, for the next time


def _pool(database_url: str, connections: int) -> AsyncConnectionPool[AsyncConnection[DictRow]]:
    return AsyncConnectionPool(
        database_url,
        connection_class=AsyncConnection[DictRow],
        # Compiling takes longer than any statement of a desk may: seconds were spent where tens of milliseconds do.
        kwargs={"row_factory": dict_row, "options": "-c timezone=UTC -c jit=off"},
        min_size=2,
        max_size=connections,
        timeout=10.0,
        check=_check_if_rested,
        open=False,
    )


def _furnish(app: RoomyApi, seen: Observed) -> RoomyApi:
    app.state.render_metrics = render_from(seen.registry)
    app.add_middleware(Tracing, metrics=seen.metrics, clock=seen.clock)
    app.state.survey = Survey()
    app.state.count_approval_minor = 10_000
    problems.install(app)
    app.furnish(ROUTERS)
    app.openapi = document_calls(app)  # type: ignore[method-assign] # FastAPI's own way to add to the document
    return app
