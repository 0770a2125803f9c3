"""Agent, broker, ingest and database killed while readings flow; `careloop bench chaos` does it two hundred times."""

import os

import pytest

from bench.chaos.main import run
from careloop.errors import CareloopError

KILLS = int(os.environ.get("CARELOOP_CHAOS_LINE_KILLS", "6"))


@pytest.mark.slow
@pytest.mark.parametrize("broker", ["mosquitto", "embedded"])
def test_nothing_is_lost_and_nothing_doubled(broker: str) -> None:
    try:
        figures = run(kills=KILLS, rows_per_s=200.0, broker=broker, seed=11)
    except CareloopError as error:
        if "not installed" in str(error) and os.environ.get("CI") != "true":
            pytest.skip(str(error))
        raise
    assert (figures["kills"], figures["lost"], figures["doubled"]) == (KILLS, 0, 0), figures
    assert figures["readings_stored"] == figures["readings_in_the_ledger"] > 1000
