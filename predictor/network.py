"""Demand of the parts network: what was used where, what will fail, what falls due; told to the API as a forecast.

History and plans come by REST, probabilities of failure from the predictor's own scores by SQL.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from psycopg import Connection
from psycopg.rows import DictRow

from careloop.client import Asset, CareloopClient
from careloop.database.queries import load_queries
from careloop.stepping import parse_time
from predictor.demand.distributions import FloatArray
from predictor.demand.outlook import certain_and_likely, cut, together, usual, within

log = logging.getLogger(__name__)

SQL = load_queries("predictor")

HISTORY_MONTHS = 48
LONGEST_COVER_DAYS = 366
LINES_AT_ONCE = 500
LEAST_MEAN = 1e-3
"""Fewer expected pieces than this are not worth a line."""
SCORES_HOLD = timedelta(days=7)
"""An older score says nothing of the time to come."""
OPEN_JOBS = ("open", "waiting", "dispatched", "in_progress")

Key = tuple[str, str]
"""Warehouse and SKU."""


@dataclass(frozen=True)
class Want:
    """Parts that a machine will need, with a probability."""

    key: Key
    pieces: int
    probability: float
    planned: bool


@dataclass(frozen=True)
class Told:
    """What a forecast has become.

    Attributes:
        forecast_id: Its number in the API.
        lines: Parts × warehouses.
        pieces: Expected in all, by where they are foreseen from.
    """

    forecast_id: int
    lines: int
    pieces: Mapping[str, float]


class Network:
    """Foresees the demand of parts by warehouse.

    Args:
        database: Gives a working connection.
        client: Of the REST API.
    """

    def __init__(self, database: Callable[[], Connection[DictRow]], client: CareloopClient) -> None:
        self._database = database
        self._client = client

    def foresee(self, now: datetime, review_days: int) -> Told:
        """Forecast as of `now`, and tell the API.

        Args:
            now: What was known then.
            review_days: Between two looks at the stock; with a part's lead time it is how far one must see.
        """
        lead_days = {part["sku"]: part["lead_time_days"] for part in self._client.pages("/v1/parts")}
        covered = {sku: min(max(days + review_days, 1), LONGEST_COVER_DAYS) for sku, days in lead_days.items()}
        keys, history = self._history(now)
        wants = defaultdict(list)
        for want in self._wants(now, covered):
            wants[want.key].append(want)
        keys, history = _with_new(keys, history, sorted(set(wants) - set(keys)))
        body = {"method": "pooled trees and shrunk rate, scores, plans", "review_days": review_days}
        forecast_id: int = self._client.post("/v1/stocking/forecasts", body, now=now)["forecast_id"]
        lines = list(_lines(keys, history, wants, covered)) if keys else []
        path = f"/v1/stocking/forecasts/{forecast_id}"
        for first in range(0, len(lines), LINES_AT_ONCE):
            self._client.post(f"{path}/lines", {"lines": lines[first : first + LINES_AT_ONCE]}, now=now)
        self._client.post(f"{path}/complete", {}, now=now)
        names = ("from_history", "from_predictions", "from_plans")
        return Told(forecast_id, len(lines), {name: sum(line[name] for line in lines) for name in names})

    def _history(self, now: datetime) -> tuple[list[Key], FloatArray]:
        """Pieces used by month of each part × warehouse, of whole months; NaN before a warehouse's first use."""
        until = now.date().replace(day=1)
        since = _months_before(until.year, until.month, HISTORY_MONTHS)
        used: dict[Key, dict[int, int]] = defaultdict(dict)
        begun: dict[str, int] = {}
        for row in self._demand(f"{since[0]:04}-{since[1]:02}-01", until.isoformat(), now):
            year, month = (int(piece) for piece in row["month"].split("-")[:2])
            column = (year - since[0]) * 12 + month - since[1]
            used[row["warehouse"], row["sku"]][column] = max(row["consumed"] - row["returned"], 0)
            begun[row["warehouse"]] = min(begun.get(row["warehouse"], column), column)
        keys = sorted(used)
        history = np.zeros((len(keys), HISTORY_MONTHS))
        for place, key in enumerate(keys):
            history[place, : begun[key[0]]] = np.nan
            for column, pieces in used[key].items():
                history[place, column] = pieces
        first = min(begun.values(), default=0)
        return keys, history[:, first:]

    def _demand(self, since: str, until: str, now: datetime) -> Iterator[dict[str, Any]]:
        after: str | None = None
        while True:
            page = self._client.get("/v1/stock/demand", now=now, since=since, until=until, limit=5000, after=after)
            yield from page["items"]
            after = page["next"]
            if after is None:
                return

    def _wants(self, now: datetime, covered: Mapping[str, int]) -> Iterator[Want]:
        """What single machines will need: failures by their scores, work that is open, plans that fall due."""
        stores = _serving([one for one in self._client.pages("/v1/warehouses") if one.get("active", True)])
        assets = {asset["asset_id"]: asset for asset in self._client.assets()}
        jobs = list(self._client.jobs(*OPEN_JOBS))
        for job in jobs:
            kept = {kept["sku"]: kept["quantity"] for kept in job["reservations"] if kept["state"] != "released"}
            for part in job["parts"]:
                missing = part["quantity"] - kept.get(part["sku"], 0)
                if missing > 0 and (key := stores(job["territory"], part["sku"])):
                    yield Want(key, missing, 1.0, planned=True)
        in_hand = {(job["serial"], job["component"]) for job in jobs}
        yield from self._failing(now, assets, in_hand, covered, stores)
        yield from self._falling_due(now, list(assets.values()), covered, stores)

    def _failing(
        self,
        now: datetime,
        assets: Mapping[int, Asset],
        in_hand: set[tuple[str, str | None]],
        covered: Mapping[str, int],
        stores: "Stores",
    ) -> Iterator[Want]:
        models = {model["code"]: model for model in self._client.product_models()}
        replaced_by = {
            (code, component["name"]): component for code, model in models.items() for component in model["components"]
        }
        wanted = {"now": now, "since": now - SCORES_HOLD}
        for score in self._database().execute(SQL["scores_in_force"], wanted).fetchall():
            asset = assets.get(score["asset_id"])
            if asset is None or (asset["serial"], score["component"]) in in_hand:
                continue
            component = replaced_by.get((asset["model"], score["component"]))
            if component is None or component["sku"] is None or component["sku"] not in covered:
                continue
            key = stores(asset["territory"], component["sku"])
            if key is not None:
                horizon = models[asset["model"]]["horizon_hours"]
                likely = within(score["probability"], horizon, covered[component["sku"]])
                yield Want(key, component["quantity"], likely, planned=False)

    def _falling_due(
        self, now: datetime, assets: list[Asset], covered: Mapping[str, int], stores: "Stores"
    ) -> Iterator[Want]:
        """Parts of calendar plans; a meter says nothing of its future."""
        for plan in self._client.plans():
            if plan["trigger"].get("kind") != "calendar" or not plan["parts"]:
                continue
            every = timedelta(days=float(plan["trigger"]["every_days"]))
            done = self._client.plan_occurrences(plan["plan_id"])
            for asset in assets:
                if asset["model"] != plan["model"]:
                    continue
                installed = parse_time(asset["installed_at"])
                following = max((now - installed) // every, done.get(asset["serial"], 0)) + 1
                for part in plan["parts"]:
                    key = stores(asset["territory"], part["sku"])
                    end = now + timedelta(days=covered.get(part["sku"], 0))
                    times = (end - installed) // every - following + 1
                    if key is not None and times > 0:
                        yield Want(key, part["quantity"] * times, 1.0, planned=True)


Stores = Callable[[str, str], Key | None]


def _serving(warehouses: list[dict[str, Any]]) -> Stores:
    """Where a territory's parts are taken from: its partner, its central warehouse, else the first central one."""
    near: dict[str, str] = {}
    centrals = sorted(one["code"] for one in warehouses if one["kind"] == "central")
    for kind in ("central", "partner"):
        for one in sorted(
            (one for one in warehouses if one["kind"] == kind), key=lambda one: one["code"], reverse=True
        ):
            near[one["territory"]] = one["code"]

    def stores(territory: str, sku: str) -> Key | None:
        code = near.get(territory) or next(iter(centrals), None)
        return None if code is None else (code, sku)

    return stores


def _months_before(year: int, month: int, months: int) -> tuple[int, int]:
    number = year * 12 + month - 1 - months
    return number // 12, number % 12 + 1


def _with_new(keys: list[Key], history: FloatArray, new: list[Key]) -> tuple[list[Key], FloatArray]:
    """Parts × warehouses that were never used but are foreseen have a past without any use."""
    months = max(history.shape[1], 1)
    past = history if history.shape[1] else np.zeros((len(keys), months))
    return keys + new, np.concatenate([past, np.zeros((len(new), months))])


def _lines(
    keys: list[Key], history: FloatArray, wants: Mapping[Key, list[Want]], covered: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    days = np.array([covered.get(sku, LONGEST_COVER_DAYS) for _, sku in keys], dtype=float)
    expected = {
        key: {
            planned: sum(w.pieces * w.probability for w in found if w.planned is planned) for planned in (True, False)
        }
        for key, found in wants.items()
    }
    foreseen = np.array([sum(expected.get(key, {}).values()) for key in keys])
    rest, chances = usual(history, days, foreseen)
    for place, key in enumerate(keys):
        single = certain_and_likely((want.pieces, want.probability) for want in wants.get(key, ()))
        if rest[place] + foreseen[place] < LEAST_MEAN:
            continue
        yield {
            "warehouse": key[0],
            "sku": key[1],
            "covered_days": int(days[place]),
            "chance": cut(together(chances[place], single)),
            "from_history": round(float(rest[place]), 6),
            "from_predictions": round(expected.get(key, {}).get(False, 0.0), 6),
            "from_plans": round(expected.get(key, {}).get(True, 0.0), 6),
        }
