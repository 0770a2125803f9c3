"""Settings of the edge agent that come from the environment; what belongs to the device stands in its TOML file."""

from pathlib import Path

from pydantic import Field

from careloop.settings import BrokerSettings


class EdgeSettings(BrokerSettings):
    """The broker, and where the agent's files are; each, when set, wins over the same field of the TOML file."""

    edge_config: Path | None = Field(None, description="the agent's TOML file, as --config")
    edge_id: str | None = Field(None, description="the agent's own id, instead of [agent] id")
    edge_buffer_file: Path | None = Field(None, description="the durable buffer, instead of [buffer] file")
    edge_identity: Path | None = Field(None, description="the device's identity, instead of [identity] directory")
    edge_claim_key: str = Field("", description="claim key of `careloop edge claim`, instead of --key", repr=False)
    edge_publish_timeout_s: float = Field(
        60.0, gt=0, description="with --step: how long one step waits for the broker before it answers 'buffered'"
    )
    edge_stop_timeout_s: float = Field(5.0, ge=0, description="how long a stop goes on publishing what is buffered")
