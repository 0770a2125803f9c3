"""Files that grow, are renamed, truncated, replaced; each line exactly once."""

import os
import random
import time
from pathlib import Path

import pytest
from pydantic import ValidationError


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "press.log"


def append(path: Path, *lines: object, end: str = "\n") -> None:
    with path.open("a") as file:
        file.write("".join(f'{{"n": {line}}}{end}' for line in lines))


@pytest.fixture
def tail(opened, log):
    def open_at(checkpoint: str | None = None, **table):
        return opened(checkpoint=checkpoint, **{"kind": "file", "path": str(log), "serial": "KW-1"} | table)

    return open_at


def drain(polled) -> list[float]:
    """What comes until nothing comes three times, each stored."""
    before, quiet = len(polled.rows), 0
    while quiet < 3:
        came = polled.once()
        polled.store()
        quiet = 0 if came.rows or came.events else quiet + 1
    return [row.values["n"] for row in polled.rows[before:]]


def test_lines_are_taken_when_they_are_whole(tail, log):
    polled = tail()
    assert drain(polled) == []
    append(log, 1, 2)
    append(log, 3, end="")
    assert drain(polled) == [1, 2]
    append(log, "", end="")
    with log.open("a") as file:
        file.write("\n")
    assert drain(polled) == []
    assert polled.refused == 1
    append(log, 4)
    assert drain(polled) == [4]


def test_a_checkpoint_goes_on_where_the_last_stored_line_ended(tail, log):
    polled = tail()
    append(log, 1, 2)
    polled.once()
    checkpoint = polled.store()
    append(log, 3)
    polled.once()  # polled, and never stored: the power went
    again = tail(checkpoint)
    append(log, 4)
    assert drain(again) == [3, 4]
    assert again.source.checkpoint() is None


def test_rotation_by_renaming(tail, log):
    polled = tail()
    append(log, 1)
    assert drain(polled) == [1]
    append(log, 2)
    log.rename(f"{log}.1")
    append(Path(f"{log}.1"), 3)
    append(log, 5)
    append(Path(f"{log}.1"), 4, end="")
    assert drain(polled) == [2, 3, 4, 5]
    append(log, 6)
    assert drain(polled) == [6]


def test_several_rotations_while_the_agent_was_away(tail, log):
    polled = tail()
    append(log, 1)
    drain(polled)
    append(log, 2)
    checkpoint = polled.source._places()
    polled.source.close()
    for start in (3, 5, 7):
        for number in (3, 2, 1):
            old = Path(f"{log}.{number}")
            if old.exists():
                old.rename(f"{log}.{number + 1}")
        log.rename(f"{log}.1")
        append(log, start, start + 1)
        os.utime(log, (2_000_000_000 + start, 2_000_000_000 + start))
    Path(f"{log}.bak").write_text('{"n": 99}\n')
    assert drain(tail(checkpoint)) == [2, 3, 4, 5, 6, 7, 8]


def test_truncation_in_place(tail, log):
    polled = tail()
    append(log, 1, 2, 3)
    assert drain(polled) == [1, 2, 3]
    log.write_text("")
    append(log, 4)
    assert drain(polled) == [4]
    log.write_text('{"n": 5}\n{"n": 6}\n{"n": 7}\n{"n": 8}\n')
    assert drain(polled) == [5, 6, 7, 8]


def test_copy_and_truncate_loses_nothing_that_is_in_the_copy(tail, log):
    polled = tail()
    append(log, 1, 2)
    drain(polled)
    checkpoint = polled.source._places()
    append(log, 3)
    Path(f"{log}.1").write_text(log.read_text())
    log.write_text("")
    append(log, 4)
    assert drain(polled) == [3, 4]
    # The same after a kill before.
    assert drain(tail(checkpoint)) == [3, 4]


def test_a_file_that_was_replaced_is_read_from_its_start_though_the_inode_is_given_out_again(tail, log, caplog):
    polled = tail()
    append(log, 1, 2)
    drain(polled)
    checkpoint = polled.source._places()
    polled.source.close()
    log.unlink()
    append(log, 3, 4, 5, 6)
    assert drain(tail(checkpoint)) == [3, 4, 5, 6]
    assert "is not there any more" in caplog.text


def test_deleting_lets_go_and_a_new_file_is_read(tail, log):
    polled = tail()
    append(log, 1)
    append(log, 2, end="")
    assert drain(polled) == [1]
    log.unlink()
    assert drain(polled) == [2]
    open_files = [str(fd.resolve()) for fd in Path("/proc/self/fd").iterdir()]
    assert not any("press.log" in name for name in open_files)
    append(log, 3)
    assert drain(polled) == [3]


def test_a_line_too_long_costs_only_itself_even_across_a_restart(tail, log):
    polled = tail(max_line_bytes=100)
    append(log, 1)
    with log.open("a") as file:
        file.write("x" * 150)
    assert drain(polled) == [1]
    checkpoint = polled.source._places()
    again = tail(checkpoint, max_line_bytes=100)
    with log.open("a") as file:
        file.write("x" * 150 + "\n")
    append(log, 2)
    assert drain(again) == [2]
    assert polled.refused + again.refused == 1


def test_only_new_lines_when_it_shall_start_at_the_end(tail, log):
    append(log, 1, 2)
    append(log, '3, "half":', end="")
    polled = tail(start="end")
    assert drain(polled) == []
    with log.open("a") as file:
        file.write(" 1}\n")
    assert drain(polled) == []
    append(log, 4)
    assert drain(polled)[-1] == 4


def test_csv_with_a_header_in_each_file(opened, log):
    table = {"kind": "file", "path": str(log), "serial": "KW-1", "format": "csv", "header": True, "metrics": {"n": "n"}}
    log.write_text("t,n\n0,1\n")
    polled = opened(**table)
    assert drain(polled) == [1]
    checkpoint = polled.source._places()
    with log.open("a") as file:
        file.write("0,2\n")
    again = opened(checkpoint=checkpoint, **table)
    assert drain(again) == [2]
    log.rename(f"{log}.1")
    log.write_text("n,t,more\n3,0,0\n")
    assert drain(again) == [3]
    log.rename(f"{log}.1")
    log.write_text("a,b\n4,0\n5,0\n")
    assert drain(again) == []
    assert again.refused == 1


def test_several_files_name_their_asset(opened, tmp_path):
    directory = tmp_path / "machines"
    directory.mkdir()
    polled = opened(kind="file", path=str(directory / "m-{serial}.json"), serials={"1": "KW-1", "2": "KW-2"})
    append(directory / "m-1.json", 1)
    append(directory / "m-2.json", 2)
    append(directory / "m-3.json", 3)
    drain(polled)
    assert polled.values == {"KW-1": {"n": 1}, "KW-2": {"n": 2}}
    (directory / "m-1.json").unlink()
    drain(polled)
    drain(polled)
    assert "m-1.json" not in polled.source._places()
    append(directory / "m-1.json", 7)
    assert drain(polled) == [7]


def test_much_is_read_in_pieces_and_the_others_get_their_turn(tail, log):
    with log.open("w") as file:
        file.writelines(f'{{"n": {number}, "filler": "{"x" * 200}"}}\n' for number in range(10_000))
    polled = tail()
    woken: list[bool] = []
    polled.source.wake = lambda: woken.append(True)
    first = polled.once()
    assert 0 < len(first.rows) < 5000
    assert polled.source.has_news
    assert woken
    assert drain(polled)[-1] == 9999
    assert [row.values["n"] for row in polled.rows] == list(range(10_000))
    assert not polled.source.has_news


def test_any_order_of_writing_rotating_and_killing_takes_each_line_once(tail, log):
    chance = random.Random(7)
    polled, written = tail(), 1
    append(log, 0)
    polled.once()
    checkpoint = polled.store()
    taken: list[float] = [0]
    pending: list[float] = []
    for _ in range(600):
        match chance.choice(["write", "write", "half", "poll", "poll", "store", "rotate", "kill"]):
            case "write":
                append(log, *range(written, written + 5))
                written += 5
            case "half":
                with log.open("a") as file:
                    file.write(f'{{"n": {written}')
                    file.flush()
                    pending += [row.values["n"] for row in polled.once().rows]
                    file.write("}\n")
                written += 1
            case "poll":
                pending += [row.values["n"] for row in polled.once().rows]
            case "store":
                checkpoint = polled.store() or checkpoint
                taken += pending
                pending = []
            case "rotate" if log.exists():
                for number in range(40, 0, -1):
                    old = Path(f"{log}.{number}")
                    if old.exists():
                        old.rename(f"{log}.{number + 1}")
                log.rename(f"{log}.1")
                # Two files written in the same tick of the file system's clock have no order.
                time.sleep(0.02)
                pending += [row.values["n"] for row in [*polled.once().rows, *polled.once().rows, *polled.once().rows]]
            case "kill":
                polled.source.close()
                pending = []
                polled = tail(checkpoint)
    taken += pending + drain(polled)
    assert taken == list(range(written))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": "csv"}, "either columns or header"),
        ({"header": True}, 'header is for format = "csv"'),
        ({"path": "/logs/*"}, "must end in something fixed"),
        ({"path": "/logs/[ab].log"}, "no \\["),
        ({"path": "/logs/{serial}.log"}, "both name the asset"),
        ({"path": "/{a}/{a}.log"}, "stands twice"),
    ],
)
def test_what_cannot_be_right_is_refused(make, change, text):
    with pytest.raises(ValidationError, match=text):
        make(**{"kind": "file", "path": "/logs/a.log", "serial": "KW-1"} | change)
