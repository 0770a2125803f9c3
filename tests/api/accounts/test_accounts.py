"""A partner's account: bought within its limit, paid, corrected, told in statements."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.rows import dict_row

from api.accounts import service
from api.conventions.call import Call
from api.conventions.problems import Problem
from api.conventions.roles import Principal
from careloop.database.engine import connect

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
JULY = {"from": "2026-07-01", "to": "2026-07-31"}


@asynccontextmanager
async def calling(database_url, now=NOW):
    """A call of the platform's own, whose transaction ends with it."""
    async with await psycopg.AsyncConnection.connect(database_url, row_factory=dict_row) as connection:
        yield Call(connection, now, Principal("key:1", "test", "service"))


def charged(database_url, number, amount_minor, now=NOW, **fields):
    """Charge partner 1 for transfer `number`; the entry, or the problem."""

    async def work():
        async with calling(database_url, now) as call:
            return await service.charge(call, 1, amount_minor, "EUR", "transfer", str(number), f"T {number}", **fields)

    try:
        return asyncio.run(work())
    except Problem as problem:
        return problem


def lots(database_url):
    with connect(database_url) as connection:
        return connection.execute("SELECT left_quantity, paid_minor FROM service.partner_lot ORDER BY 1").fetchall()


@pytest.fixture
def partners(api):
    with api.client("admin") as client:
        for code in ("P1", "P2"):
            client.post("/v1/providers", {"code": code, "name": f"Partner {code}"})
        client.post("/v1/parts", {"sku": "PUMP", "name": "Pump", "cost_minor": 5000})
    return api


def test_an_account_is_charged_up_to_its_limit_paid_and_told(partners, refusal) -> None:
    url, lead, agent = partners.database_url, partners.client("desk_lead"), partners.client("agent")
    terms = {"provider_id": 1, "currency": "EUR", "limit_minor": 10_000}
    account = lead.post("/v1/partner-accounts", terms)
    path = f"/v1/partner-accounts/{account['partner_account_id']}"
    assert (account["balance_minor"], account["available_minor"]) == (0, 10_000)
    assert refusal(lead.post, "/v1/partner-accounts", terms).type == "/problems/account-exists"
    assert refusal(agent.post, "/v1/partner-accounts", terms).status == 403

    bought = charged(url, 1, 7000, part_id=1, quantity=3)
    assert (bought["kind"], bought["amount_minor"], bought["balance_minor"]) == ("charge", 7000, 7000)
    # Told again, it is the same entry; told otherwise, it is refused.
    assert charged(url, 1, 7000)["partner_entry_id"] == bought["partner_entry_id"]
    assert charged(url, 1, 7001).slug == "entry-differs"
    beyond = charged(url, 2, 3001)
    assert beyond.slug == "credit-limit"
    assert {name: beyond.members[name] for name in ("limit_minor", "balance_minor", "available_minor")} == {
        "limit_minor": 10_000, "balance_minor": 7000, "available_minor": 3000,
    }  # fmt: skip
    assert beyond.detail == (
        "P1 owes 70.00 EUR of at most 100.00 EUR; 30.01 EUR more is 0.01 EUR too much: book its payment "
        f"(POST {path}/entries), or agree on a higher limit (PATCH {path})"
    )
    payment = {"kind": "payment", "amount_minor": 2000, "reference": "BANK-1", "text": "=July"}
    paid = lead.post(f"{path}/entries", payment, now=NOW)
    assert (paid["amount_minor"], paid["balance_minor"]) == (-2000, 5000)
    assert lead.post(f"{path}/entries", payment, now=NOW)["partner_entry_id"] == paid["partner_entry_id"]
    differs = refusal(lead.post, f"{path}/entries", {**payment, "amount_minor": 1})
    assert differs.type == "/problems/entry-differs"
    assert charged(url, 2, 3001, now=NOW.replace(month=8))["balance_minor"] == 8001
    # The journal's time never runs backwards.
    correction = {"kind": "adjustment", "amount_minor": -1, "reference": "C-1"}
    assert lead.post(f"{path}/entries", correction, now=NOW)["at"].startswith("2026-08-01")
    taken_back = lead.post(f"/v1/partner-entries/{paid['partner_entry_id']}/reverse", {"reason": "bounced"}, now=NOW)
    assert (taken_back["amount_minor"], taken_back["balance_minor"]) == (2000, 10_000)
    again = refusal(lead.post, f"/v1/partner-entries/{paid['partner_entry_id']}/reverse", {"reason": "bounced"})
    assert again.type == "/problems/entry-reversed"

    july = agent.get(f"{path}/statement", **JULY)
    assert (july["opening_minor"], july["closing_minor"], july["next"]) == (0, 5000, None)
    assert [line["amount_minor"] for line in july["items"]] == [7000, -2000]
    august = agent.get(f"{path}/statement", **{"from": "2026-08-01", "to": "2026-12-31", "limit": 1})
    assert (august["opening_minor"], august["closing_minor"]) == (5000, 10_000)
    assert august["opening_minor"] + sum(total["amount_minor"] for total in august["totals"]) == 10_000
    assert august["next"] is not None
    sheet = agent.get_text(f"{path}/statement", **JULY, format="csv").splitlines()
    assert len(sheet) == 5
    assert sheet[1].endswith(",opening,,,,,,,0,EUR")
    assert ",'=July," in sheet[3]
    assert sheet[4].endswith(",closing,,,,,,,5000,EUR")
    assert refusal(agent.get, f"{path}/statement", **{**JULY, "from": "2026-08-01"}).status == 422

    _changed_and_seen(partners, refusal, path, account["version"])


def _changed_and_seen(api, refusal, path, version) -> None:
    """Without a limit it may owe anything; only its own partner sees it; and nobody rewrites what was booked."""
    url = api.database_url
    changed = api.client("desk_lead").patch(path, {"limit_minor": None}, version=version)
    assert (changed["limit_minor"], changed["available_minor"]) == (None, None)
    assert charged(url, 3, 10**11)["balance_minor"] == 10**11 + 10_000
    own = api.scoped_client("partner_manager", provider_id=1)
    other = api.scoped_client("partner_manager", provider_id=2)
    assert [one["provider"] for one in own.get("/v1/partner-accounts")["items"]] == ["P1"]
    assert other.get("/v1/partner-accounts")["items"] == []
    assert refusal(other.get, f"{path}/entries").status == 404
    assert len(own.get(f"{path}/entries")["items"]) == 6
    with connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("UPDATE service.partner_entry SET amount_minor = 1")


def test_charges_at_once_never_exceed_the_limit_together(partners) -> None:
    url = partners.database_url
    partners.client("desk_lead").post(
        "/v1/partner-accounts", {"provider_id": 1, "currency": "EUR", "limit_minor": 1000}
    )

    async def one(number):
        try:
            async with calling(url) as call:
                await service.charge(call, 1, 300, "EUR", "transfer", str(number), "")
        except Problem as problem:
            return problem.slug
        return "charged"

    async def all_at_once():
        return await asyncio.gather(*(one(number) for number in range(16)))

    answers = asyncio.run(all_at_once())
    assert sorted(answers) == ["charged"] * 3 + ["credit-limit"] * 13
    with connect(url) as connection:
        row = connection.execute(
            "SELECT a.balance_minor, sum(e.amount_minor) AS booked, count(*) AS entries FROM service.partner_account a "
            "JOIN service.partner_entry e USING (partner_account_id) GROUP BY a.balance_minor"
        ).fetchone()
    assert row == {"balance_minor": 900, "booked": 900, "entries": 3}


def test_pieces_go_back_at_what_they_cost_the_oldest_first(partners) -> None:
    url = partners.database_url
    charged(url, 1, 1000, part_id=1, quantity=3)
    charged(url, 2, 5000, part_id=1, quantity=1)

    async def give_back(number, quantity):
        async with calling(url) as call:
            return await service.give_back(call, 1, 1, quantity, "transfer", number, "back")

    assert asyncio.run(give_back("3", 1))["amount_minor"] == -333
    assert asyncio.run(give_back("4", 3))["amount_minor"] == -5667
    assert [lot["left_quantity"] for lot in lots(url)] == [0, 0]
    # Nobody knows what more pieces cost.
    assert asyncio.run(give_back("5", 1)) is None
