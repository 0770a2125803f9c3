"""What the predictor does at a tick: train, score, sweep; each as of the time it is given."""

import logging
from collections.abc import Callable
from datetime import datetime

from psycopg import Connection
from psycopg.rows import DictRow
from threadpoolctl import threadpool_limits

from careloop.client import CareloopClient
from predictor.history import HistoryReader
from predictor.models import TooFewFailures
from predictor.raise_tickets import QuietRule, TicketRaiser
from predictor.registry import Registry
from predictor.scoring import Score, score_fleet
from predictor.settings import PredictorSettings
from predictor.timeline import from_hour, to_hour
from predictor.training import train_fleet
from predictor.warranty import sweep

log = logging.getLogger(__name__)

# The models are small: a second thread costs more in waking up than it saves, and stalls where cores are shared. One
# thread also adds up in the same order everywhere, so the same history gives the same model.
THREADS = 1


class Forecaster:
    """Everything the predictor does; reads no clock.

    Args:
        settings: Of the predictor.
        database: Gives a working connection in autocommit mode.
        client: Of the REST API.
    """

    def __init__(
        self, settings: PredictorSettings, database: Callable[[], Connection[DictRow]], client: CareloopClient
    ) -> None:
        self._settings = settings
        self._database = database
        self._client = client
        self._registry = Registry(settings.model_directory)
        self._reader = HistoryReader(
            database,
            client,
            reread_hours=settings.predictor_reread_hours,
            catalogue_every_hours=settings.predictor_catalogue_every_hours,
        )
        quiet_rule = QuietRule(settings.predictor_quiet_horizons, settings.predictor_quiet_odds_ratio)
        self._raiser = TicketRaiser(client, quiet_rule)
        # For good, since a limit for a while takes 4 ms to set.
        threadpool_limits(THREADS)

    def train(self, now: datetime) -> tuple[int, list[str]]:
        """Train every component's model on what was seen before the full hour of `now`.

        Returns:
            The number of models trained, and for each component without one the reason.
        """
        hour = to_hour(now)
        trained, reasons = 0, list[str]()
        for history in self._reader.for_training(hour, self._settings.predictor_training_days):
            for result in train_fleet(
                history,
                hour,
                least_grid_hours=self._settings.predictor_grid_hours,
                failures_needed=self._settings.predictor_failures_needed,
            ):
                if isinstance(result, TooFewFailures):
                    reasons.append(str(result))
                    log.info("no model for %s", result)
                else:
                    self._registry.add(self._database(), result, now)
                    trained += 1
        log.info("trained %d models as of %s", trained, from_hour(hour).isoformat())
        return trained, reasons

    def has_models(self, now: datetime) -> bool:
        """Whether there is any model to score with."""
        return bool(self._registry.latest(self._database(), now))

    @property
    def trained_as_of(self) -> list[datetime]:
        """As of when each model in use was trained."""
        return self._registry.trained_as_of

    def score(self, now: datetime) -> tuple[int, int]:
        """Score every asset as of the full hour of `now`, and raise the tickets that pay.

        Returns:
            The number of assets scored, and of tickets opened.
        """
        hour = to_hour(now)
        models = self._registry.latest(self._database(), now)
        if not models:
            return 0, 0
        scores: list[Score] = []
        for history in self._reader.for_scoring(hour):
            kind = history.fleet.kind
            scores += score_fleet(history, [stored for stored in models if stored.model.kind == kind], hour)
        opened = self._raiser.raise_for(self._database(), scores, now)
        return len({score.asset_id for score in scores}), opened

    def sweep_warranties(self, now: datetime) -> int:
        """Announce the warranties that end soon; returns the number of tickets opened."""
        return sweep(self._client, now, self._settings.predictor_warranty_days_ahead)
