"""Settings of the predictor."""

from pathlib import Path

from pydantic import Field

from careloop.settings import ApiClientSettings, DatabaseSettings


class PredictorSettings(DatabaseSettings, ApiClientSettings):
    """What the predictor needs to know; how far ahead it looks is declared by the product models."""

    state_dir: Path = Field(Path(".careloop"), description="directory that careloop keeps its files in")
    predictor_model_dir: Path | None = Field(
        None, description="where trained models are kept; otherwise the directory models in CARELOOP_STATE_DIR"
    )
    predictor_score_every_hours: int = Field(1, ge=1, le=168, description="how often assets are scored, in hours")
    predictor_train_every_hours: int = Field(24, ge=1, le=8760, description="how often models are trained, in hours")
    predictor_training_days: int = Field(400, ge=7, le=3650, description="how far back training looks, in days")
    predictor_grid_hours: int = Field(
        3, ge=1, le=24, description="hours between the decision times trained on; more where the horizon is long"
    )
    predictor_failures_needed: int = Field(
        5, ge=2, le=1000, description="with fewer recorded failures a component gets no model"
    )
    predictor_reread_hours: int = Field(
        12,
        ge=1,
        le=168,
        description="readings so late are still seen by the next scoring, later ones by training, in hours",
    )
    predictor_catalogue_every_hours: int = Field(
        24, ge=1, le=168, description="how old the list of assets and product models may get, in hours"
    )
    predictor_quiet_horizons: float = Field(
        3.0, ge=0, le=100, description="no ticket for so many horizons after one that found no fault"
    )
    predictor_quiet_odds_ratio: float = Field(
        4.0, ge=1, description="how many times greater the odds of failure must have become to break that quiet"
    )
    predictor_warranty_days_ahead: int = Field(
        30, ge=0, le=730, description="so long before its last day a warranty's end is announced, in days"
    )

    predictor_demand_every_hours: int = Field(
        168, ge=1, le=8760, description="how often the demand of parts is forecast, in hours"
    )
    predictor_review_days: int = Field(
        30, ge=1, le=366, description="how often stocks are looked at, in days; a forecast covers it and the lead time"
    )

    @property
    def model_directory(self) -> Path:
        """Where trained models are kept."""
        return self.predictor_model_dir or self.state_dir / "models"
