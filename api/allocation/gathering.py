"""Gathers all that answers to demands depend on, for one demand or for thousands with the same few statements."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from psycopg.rows import DictRow

from api.allocation.facts import Facts, Kit, Need, Part, Policy, Source, Spot, Stock, Substitute, Way
from api.allocation.options import Priced, Unfit, options_of, targets
from api.allocation.risk import mean_behind
from api.conventions.call import Call
from api.conventions.positions import Position, great_circle_km
from api.parts.service import substitutes_of
from api.purchasing.rules import expected_at
from api.sla.hours import Calendar
from api.warehouses.rules import arrives_at
from api.warehouses.service import hours_of, lanes_to
from careloop.database.queries import load_queries

SQL = load_queries("api.allocation")

# What is picked differs, what is shown of it does not.
_DEMAND = SQL["pick_demand_by_id"] + "\n" + SQL["demand_rows"]
_DEMANDS = SQL["pick_demands_by_id"] + "\n" + SQL["demand_rows"]
DEMANDS_BY_STATE = SQL["pick_demands_by_state"] + "\n" + SQL["demand_rows"]
DEMANDS_BY_TICKET = SQL["pick_demands_by_ticket"] + "\n" + SQL["demand_rows"]
DEMANDS_BY_JOB = SQL["pick_demands_by_job"] + "\n" + SQL["demand_rows"]
DEMANDS_BY_PART = SQL["pick_demands_by_part"] + "\n" + SQL["demand_rows"]

YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Asked:
    """A demand with the facts, and what follows from them: see options.Ways."""

    demand: DictRow
    need: Need
    facts: Facts
    options: list[Priced]
    unfit: list[Unfit]
    earliest: datetime | None

    def current(self) -> int | None:
        """The place of the option that holds now; None when there is none."""
        return self.place_of(self.demand["kind"], self.demand["given_part_id"], self.demand["warehouse_id"])

    def place_of(self, kind: str | None, part_id: int | None, warehouse_id: int | None) -> int | None:
        """The place of the cheapest option that is of a kind, a part and a warehouse."""
        for place, priced in enumerate(self.options):
            option = priced.option
            if (option.kind.value, option.part_id, option.warehouse_id) == (kind, part_id, warehouse_id):
                return place
        return None


def onward_of(need: Need) -> timedelta:
    """How long it takes to the site from where a supplier delivers to."""
    return timedelta(0) if need.near or need.delivery is None else timedelta(days=need.delivery.transfer_days)


async def read_policy(call: Call) -> DictRow:
    """The policy's row."""
    row = await (await call.connection.execute(SQL["read_policy"])).fetchone()
    if row is None:
        raise LookupError("the allocation policy is gone; migration 0030 makes it")
    return row


def policy_of(row: Mapping[str, Any]) -> Policy:
    """The policy as the options take it."""
    late = {name: row[f"late_{name}_minor"] for name in ("low", "normal", "high", "urgent")}
    names = Policy.__dataclass_fields__.keys() - {"late_minor"}
    return Policy(late_minor=late, **{name: row[name] for name in names})


async def demands_by_id(call: Call, part_demand_ids: Sequence[int]) -> list[DictRow]:
    """Demands with what an answer depends on."""
    if len(part_demand_ids) == 1:
        return await (await call.connection.execute(_DEMAND, {"part_demand_id": part_demand_ids[0]})).fetchall()
    return await (await call.connection.execute(_DEMANDS, {"part_demand_ids": list(part_demand_ids)})).fetchall()


async def ask(call: Call, demands: Sequence[DictRow], policy: Policy) -> list[Asked]:
    """The options of demands, as if nothing were kept for them yet.

    Args:
        call: Whose transaction reads.
        demands: By `demands_by_id`.
        policy: What counts how much.
    """
    gathering = _Gathering(call, demands)
    needs, related = await gathering.needs_and_related()
    stocks, sources = await gathering.stocks_and_sources(related)
    deliveries = {need.delivery.warehouse_id for need in needs if need.delivery is not None}
    hours = await gathering.hours(deliveries | {row["warehouse_id"] for rows in stocks.values() for row in rows})
    asked = []
    for demand, need in zip(demands, needs, strict=True):
        parts = related[demand["part_id"]]
        ways = await gathering.ways(need, [stock for part in parts for stock in stocks[part.part.part_id]])
        facts = Facts(
            stocks=[
                _stock(row, part.part, ways, gathering.freed, policy)
                for part in parts
                for row in stocks[part.part.part_id]
            ],
            substitutes=[Substitute(part.part, part.why) for part in parts if part.relation == "substitute"],
            kits=[Kit(part.part, part.pieces) for part in parts if part.relation == "kit"],
            sources=_sources(need, parts, sources, hours, call.now),
        )
        found = options_of(need, facts, policy, call.now)
        asked.append(Asked(demand, need, facts, found.options, found.unfit, found.earliest))
    return asked


@dataclass(frozen=True)
class _Related:
    """A part that may serve a demand: the one asked for, one instead of it, or a kit that it is in."""

    part: Part
    relation: Literal["itself", "substitute", "kit"]
    why: str = ""
    pieces: int = 1


class _Gathering:
    """The statements, and what they found."""

    def __init__(self, call: Call, demands: Sequence[DictRow]) -> None:
        self._call = call
        self._demands = demands
        self._ways: dict[int, dict[int, Way]] = {}
        self._hours: dict[int, Calendar] = {}
        self.freed: dict[tuple[int, int], int] = defaultdict(int)
        for demand in demands:
            if demand["reservation_state"] == "reserved" and demand["place"] == "reserved":
                self.freed[demand["kept_at_id"], demand["kept_part_id"]] += demand["kept"]

    async def needs_and_related(self) -> tuple[list[Need], dict[int, list[_Related]]]:
        """What is needed where, with the warehouses there; by part asked for, what may serve it."""
        wanted = {
            "territories": list({demand["territory"] for demand in self._demands}),
            "warehouse_ids": [demand["to_warehouse_id"] for demand in self._demands if demand["to_warehouse_id"]],
        }
        asked_ids = sorted({demand["part_id"] for demand in self._demands})
        # Statements that do not wait for one another go in one round trip.
        async with self._call.connection.pipeline():
            places = await self._call.connection.execute(SQL["spots"], wanted)
            instead = await substitutes_of(self._call, asked_ids)
            spots = [_spot(row) for row in await places.fetchall()]
        part_ids = {substitute.part_id for substitutes in instead.values() for substitute in substitutes}
        rows = await self._rows("parts_and_kits", {"part_ids": [*asked_ids, *part_ids], "asked_ids": asked_ids})
        parts = {row["part_id"]: _part(row) for row in rows}
        related = {}
        for part_id in asked_ids:
            related[part_id] = [_Related(parts[part_id], "itself")]
            related[part_id] += [_Related(parts[one.part_id], "substitute", one.why) for one in instead[part_id]]
        for row in rows:
            if row["asked_id"] is not None:
                related[row["asked_id"]].append(_Related(_part(row), "kit", pieces=row["pieces"]))
        return [_need(demand, spots) for demand in self._demands], related

    async def stocks_and_sources(
        self, related: Mapping[int, Iterable[_Related]]
    ) -> tuple[dict[int, list[DictRow]], dict[int, list[DictRow]]]:
        """By part: what warehouses have of it; and where it can be ordered, or is on order."""
        part_ids = sorted({one.part.part_id for several in related.values() for one in several})
        wanted = {"part_ids": part_ids, "since": self._call.now - YEAR, "now": self._call.now}
        async with self._call.connection.pipeline():
            stocks = await self._call.connection.execute(SQL["stocks"], wanted)
            sources = await self._call.connection.execute(SQL["sources"], wanted)
            return _by_part(await stocks.fetchall()), _by_part(await sources.fetchall())

    async def ways(self, need: Need, stocks: Iterable[DictRow]) -> dict[int, Way]:
        """The ways to the warehouse at the site, by where they begin."""
        if need.target is None:
            return {}
        to = need.target.warehouse_id
        near = {spot.warehouse_id for spot in need.near}
        known = self._ways.setdefault(to, {})
        new = {row["warehouse_id"] for row in stocks} - known.keys() - near
        if new:
            lanes = await lanes_to(self._call, to, new)
            hours = await self.hours({to, *new})
            for start, lane in lanes.items():
                known[start] = Way(lane, arrives_at(lane, hours[to], self._call.now, departs=hours[start]))
        return known

    async def hours(self, warehouse_ids: set[int]) -> dict[int, Calendar]:
        """When warehouses are open."""
        new = warehouse_ids - self._hours.keys()
        if new:
            self._hours |= await hours_of(self._call, new)
        return self._hours

    async def _rows(self, query: str, values: Mapping[str, Any]) -> list[DictRow]:
        return await (await self._call.connection.execute(SQL[query], values)).fetchall()


def _by_part(rows: Iterable[DictRow]) -> dict[int, list[DictRow]]:
    found: dict[int, list[DictRow]] = defaultdict(list)
    for row in rows:
        found[row["part_id"]].append(row)
    return found


def _spot(row: Mapping[str, Any]) -> Spot:
    return Spot(
        warehouse_id=row["warehouse_id"],
        code=row["code"],
        kind=row["kind"],
        territory=row["territory"],
        position=Position.of(row["latitude"], row["longitude"]),
        transfer_days=row["transfer_days"],
        provider_id=row["provider_id"],
        time_zone=row["time_zone"],
    )


def _part(row: Mapping[str, Any]) -> Part:
    return Part(
        part_id=row["part_id"],
        sku=row["sku"],
        cost_minor=row["cost_minor"],
        currency=row["currency"],
        weight_grams=row["weight_grams"],
        shipping_class=row["shipping_class"],
        lead_time_days=row["lead_time_days"],
        state=row["part_state"] if "part_state" in row else row["state"],
    )


def _need(demand: Mapping[str, Any], spots: Sequence[Spot]) -> Need:
    position = Position.of(demand["latitude"], demand["longitude"])
    if demand["to_warehouse_id"] is None:
        near = targets(spots, demand["territory"], position, demand["provider_id"])
    else:
        near = tuple(spot for spot in spots if spot.warehouse_id == demand["to_warehouse_id"])
    return Need(
        part=_part(demand),
        quantity=demand["quantity"],
        needed_by=demand["needed_by"],
        priority=demand["priority"],
        strict=demand["strict"],
        territory=demand["territory"],
        position=position,
        near=near,
        delivery=near[0] if near else _nearest_central(spots, position),
    )


def _nearest_central(spots: Iterable[Spot], position: Position | None) -> Spot | None:
    def order(spot: Spot) -> tuple[bool, float, int, str]:
        if spot.position is None or position is None:
            return True, 0.0, spot.transfer_days, spot.code
        return False, great_circle_km(spot.position, position), spot.transfer_days, spot.code

    return min((spot for spot in spots if spot.kind == "central"), key=order, default=None)


def _stock(
    row: Mapping[str, Any],
    part: Part,
    ways: Mapping[int, Way],
    freed: Mapping[tuple[int, int], int],
    policy: Policy,
) -> Stock:
    # A minimum that somebody set may know of what is to come; what was used is what has been.
    used = row["used"] * part.lead_time_days / YEAR.days
    mean = max(used, mean_behind(row["min_quantity"] or 0, policy.service_level_bp))
    return Stock(
        spot=_spot(row),
        part=part,
        on_hand=row["on_hand"],
        reserved=row["reserved"] - freed.get((row["warehouse_id"], row["part_id"]), 0),
        mean=mean,
        stocked_at=row["stocked_at"],
        way=ways.get(row["warehouse_id"]),
    )


def _sources(
    need: Need,
    parts: Iterable[_Related],
    sources: Mapping[int, Iterable[DictRow]],
    hours: Mapping[int, Calendar],
    now: datetime,
) -> list[Source]:
    """Where the part can be ordered or is on order; where it cannot be had any more, the first that takes its place."""
    wanted = next((one.part for one in parts if one.relation != "kit" and one.part.state == "active"), None)
    spot = need.delivery
    if wanted is None or spot is None:
        return []
    found = []
    for row in sources[wanted.part_id]:
        if row["line_id"] is not None and (row["warehouse_id"] != spot.warehouse_id or row["pieces"] < need.quantity):
            continue
        today = now.astimezone(ZoneInfo(spot.time_zone)).date()
        comes = expected_at(hours[spot.warehouse_id], today, row["lead_time_days"], None)
        if row["expected_at"] is not None:
            # What is late already comes tomorrow at the earliest, as far as anybody knows.
            comes = max(row["expected_at"], now + timedelta(days=1))
        found.append(
            Source(
                part=wanted,
                available_at=comes + onward_of(need),
                supplier=row["supplier"],
                line_id=row["line_id"],
                price_minor=row["price_minor"],
                currency=row["currency"],
            )
        )
    return found
