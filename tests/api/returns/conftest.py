"""The desk of the visits' tests, whose partner has bought the parts in its van."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from api.accounts import service
from api.conventions.call import Call
from api.conventions.roles import Principal
from careloop.database.engine import connect
from tests.api.visits.conftest import NOW, Desk, desk  # noqa: F401 - a fixture


@pytest.fixture
def buy(desk: Desk) -> Callable[..., Any]:  # noqa: F811 - the fixture
    """Let the partner buy pumps, as a transfer into its warehouse does."""

    async def charged(number: int, amount_minor: int, quantity: int) -> Any:
        async with await psycopg.AsyncConnection.connect(desk.database_url, row_factory=dict_row) as connection:
            call = Call(connection, NOW, Principal("key:1", "test", "service"))
            pieces = {"part_id": 1, "quantity": quantity}
            return await service.charge(call, 1, amount_minor, "EUR", "transfer", str(number), "pumps", **pieces)

    def buy_some(number: int, amount_minor: int, quantity: int) -> Any:
        with connect(desk.database_url) as connection:
            connection.execute("UPDATE service.warehouse SET provider_id = 1 WHERE code = 'VAN-1'")
        return asyncio.run(charged(number, amount_minor, quantity))

    return buy_some


@pytest.fixture
def finish(desk: Desk) -> Callable[..., dict[str, Any]]:  # noqa: F811 - the fixture
    """Do a visit from the beginning to its completion with two pumps built in; returns the used part."""

    def done(hours: float, old_part: dict[str, Any], report: dict[str, Any] | None = None) -> dict[str, Any]:
        visit = desk.visit(hours)
        desk.on_site(visit)
        (part,) = desk.use_pump(visit, **old_part)["parts"]
        path = f"/v1/visits/{visit['visit_id']}"
        desk.now += timedelta(minutes=30)
        desk.post("technician", f"{path}/check-out", {})
        desk.call("technician", "PUT", f"{path}/report", desk.report(**(report or {})))
        desk.post("technician", f"{path}/complete")
        return {**part, "visit_id": visit["visit_id"], "ticket_id": visit["ticket_id"]}

    return done
