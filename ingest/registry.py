"""What ingest must know of assets and metrics, read from the database and kept in memory.

Only what was found is kept. A serial number or metric that was not found is asked for again with the next batch that
names it, in one query a batch, so an asset registered a moment ago is taken at once.
"""

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow

from careloop.database.queries import load_queries
from ingest.rows import Sorter
from ingest.validate import Metric

log = logging.getLogger(__name__)


class Registry:
    """Asset numbers by serial number, and the dictionary of metrics.

    Args:
        learned_metrics: Most undeclared metrics that the dictionary may hold; their numbers are 16-bit, and a machine
            that invents names without end must not use them up.
        learned_metrics_per_asset: Most of them that one asset may teach while this process runs.
    """

    def __init__(self, *, learned_metrics: int, learned_metrics_per_asset: int) -> None:
        self._queries = load_queries("ingest")
        self._most = learned_metrics
        self._most_per_asset = learned_metrics_per_asset
        self._asset_ids: dict[str, int] = {}
        self._metrics: dict[str, Metric] = {}
        self._taught: Counter[str] = Counter()
        self._sorter = Sorter(self._metrics)

    @property
    def known_asset_ids(self) -> Mapping[str, int]:
        """The numbers of the assets that were asked for so far."""
        return self._asset_ids

    @property
    def sorter(self) -> Sorter:
        """Sorts readings by the dictionary as it is known now."""
        return self._sorter

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The dictionary as far as it is known here."""
        return self._metrics

    def load(self, connection: Connection[DictRow]) -> None:
        """Read the dictionary anew, and take note of learned metrics that were declared since."""
        for row in connection.execute(self._queries["adopt_declared_metrics"]).fetchall():
            if row["unit"] != row["declared_unit"]:
                log.warning(
                    "metric %s is declared in %r now; its readings stay in %r, as they were learned",
                    row["name"], row["declared_unit"], row["unit"],
                )  # fmt: skip
        rows = connection.execute(self._queries["find_metrics"]).fetchall()
        self._metrics = {row["name"]: Metric(row["metric_id"], row["unit"]) for row in rows}
        self._sorter = Sorter(self._metrics)

    def asset_ids(self, connection: Connection[DictRow], serials: Collection[str]) -> Mapping[str, int]:
        """The numbers of all assets known, those of `serials` among them if they are registered."""
        unknown = [serial for serial in serials if serial not in self._asset_ids]
        if unknown:
            for row in connection.execute(self._queries["find_assets"], {"serials": unknown}).fetchall():
                self._asset_ids[row["serial"]] = row["asset_id"]
        return self._asset_ids

    def learn(self, connection: Connection[DictRow], seen: Mapping[str, tuple[str, str]], now: datetime) -> None:
        """Put metrics that are not known yet into the dictionary, up to the bounds.

        Args:
            connection: In autocommit mode, outside a transaction: a metric stays learned even if its message fails.
            seen: Unit and serial number by metric name, as a message had them.
            now: The present.
        """
        unknown = [name for name in seen if name not in self._metrics]
        if not unknown:
            return
        with connection.transaction():
            connection.execute(self._queries["lock_dictionary"])
            found = connection.execute(self._queries["find_wanted_metrics"], {"names": unknown}).fetchall()
            known = {
                row["name"]: Metric(row["metric_id"], row["unit"]) for row in found if row["metric_id"] is not None
            }
            room = self._room(connection) if any(row["metric_id"] is None for row in found) else 0
            taught: Counter[str] = Counter()
            for row in found:
                if row["metric_id"] is not None:
                    continue
                unit, serial = seen[row["name"]]
                learned = row["declared_unit"] is None
                if learned:
                    if room <= 0 or self._taught[serial] + taught[serial] >= self._most_per_asset:
                        continue
                    room -= 1
                    taught[serial] += 1
                    log.info("learned metric %s in %r from asset %s", row["name"], unit, serial)
                known[row["name"]] = self._add(
                    connection, row["name"], unit if learned else row["declared_unit"], learned, now
                )
        self._metrics.update(known)
        self._sorter = Sorter(self._metrics)
        self._taught.update(taught)

    def _room(self, connection: Connection[DictRow]) -> int:
        row = connection.execute(self._queries["count_learned_metrics"]).fetchone()
        return self._most - (row["learned"] if row else 0)

    def _add(self, connection: Connection[DictRow], name: str, unit: str, learned: bool, now: datetime) -> Metric:
        row = connection.execute(
            self._queries["add_metric"], {"name": name, "unit": unit, "learned": learned, "now": now}
        ).fetchone()
        if row is None:
            raise RuntimeError(f"metric {name} was not added")
        return Metric(row["metric_id"], row["unit"])
