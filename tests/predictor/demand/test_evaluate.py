"""`careloop parts evaluate` on some of the real parts; the whole file takes a minute."""

import argparse
import gzip
import json
from pathlib import Path

import pytest

from careloop.errors import CareloopError
from predictor.command import PARTS_COMMAND

PUBLISHED = ("croston", "sba", "tsb", "moving_average")
CARPARTS = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "carparts" / "carparts_m1_39.csv.gz"


def _parts(*words: str) -> int:
    parser = argparse.ArgumentParser()
    PARTS_COMMAND.configure(parser)
    return PARTS_COMMAND.run(parser.parse_args(words))


@pytest.fixture(scope="module")
def some_parts(tmp_path_factory) -> Path:
    """Every fifteenth part, months 1–24: what lies behind has not been used to choose anything in this test."""
    if not CARPARTS.is_file():
        pytest.fail(f"{CARPARTS} is missing: the real parts' demand")
    file = tmp_path_factory.mktemp("carparts") / "some.csv"
    with gzip.open(CARPARTS, "rt") as lines:
        rows = [line.rstrip("\n").split(",") for line in lines][:25]
    file.write_text("".join(",".join([row[0], *row[1::15]]) + "\n" for row in rows))
    return file


def test_the_chosen_method_is_better_on_unseen_months(some_parts, capsys):
    assert _parts("evaluate", "carparts", str(some_parts), "--holdout-months", "4", "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["parts"], figures["months"], figures["holdout_months"]) == (179, 24, 4)
    assert figures["origins"] == ["1999-09", "1999-10", "1999-11", "1999-12"]
    methods = figures["methods"]
    assert set(methods) == {"chosen", "croston", "sba", "tsb", "moving_average", "zero"}
    for method in methods.values():
        assert all(method[key] > 0 for key in ("mase", "pinball_50", "pinball_90", "pinball_95"))
    best = min(methods["sba"]["pinball_95"], methods["tsb"]["pinball_95"])
    assert methods["chosen"]["pinball_95"] < 0.95 * best
    assert methods["chosen"]["mase"] < min(methods[name]["mase"] for name in PUBLISHED)
    stock = {name: made["average_stock_at_fill_rate"]["0.8"] for name, made in figures["inventory"]["methods"].items()}
    assert stock["chosen"] < min(stock[name] or 1e9 for name in PUBLISHED)
    assert all(point["fill_rate"] == 0 for point in figures["inventory"]["methods"]["zero"]["curve"])


@pytest.mark.parametrize("months", ["0", "13", "99"])
def test_a_holdout_that_leaves_nothing_to_learn_from_is_refused(some_parts, months):
    with pytest.raises(CareloopError, match=f"--holdout-months: {months} of 24 .* give 1 to 11"):
        _parts("evaluate", "carparts", str(some_parts), "--holdout-months", months)


def test_without_json_it_prints_a_table(some_parts, capsys):
    assert _parts("evaluate", "carparts", str(some_parts), "--holdout-months", "2") == 0
    printed = capsys.readouterr().out
    assert "179 parts, 2 months from 1999-11 on" in printed
    assert "moving_average" in printed
