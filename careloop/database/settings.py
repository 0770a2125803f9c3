"""Settings of `careloop migrate`."""

from pydantic import Field

from careloop.settings import DatabaseSettings


class MigrateSettings(DatabaseSettings):
    """The database, and with `--service-roles` the passwords of the services' logins (`careloop_ingest_login` …)."""

    database_password_ingest: str | None = Field(None, min_length=8, description="makes the login of ingest")
    database_password_predictor: str | None = Field(None, min_length=8, description="makes the login of the predictor")
    database_password_scheduler: str | None = Field(None, min_length=8, description="makes the login of the scheduler")
    database_password_api: str | None = Field(None, min_length=8, description="makes the login of the API")
