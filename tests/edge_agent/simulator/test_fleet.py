from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from statistics import mean

import pytest

from careloop.errors import CareloopError
from edge_agent.simulator.catalogue import KINDS
from edge_agent.simulator.fleet import Fleet
from edge_agent.simulator.kinds import RUNNING_HOURS
from edge_agent.simulator.machine import SYMPTOMS_AT

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def fleet(seed: int = 7, each: int = 12, **settings) -> Fleet:
    return Fleet({kind.kind: each for kind in KINDS}, seed=seed, start=START, interval_s=3600, **settings)


@pytest.fixture(scope="module")
def run_to_failure():
    """120 days of 48 machines that nobody looks after until they stop; then they are mended within a day."""
    machines = fleet(replaced_after_hours=24)
    harvest, failures = machines.run_until(START + 120 * DAY)
    return machines, harvest, failures


def test_the_same_seed_gives_the_same_fleet_whatever_the_steps():
    at_once, failed_at_once = fleet(each=2).run_until(START + 40 * DAY)
    stepped = fleet(each=2)
    rows, events, failures = [], [], []
    now = START
    for hours in [1, 5, 0, 24, 7.5, 100, 0.25, 400, 430]:
        now = min(now + timedelta(hours=hours), START + 40 * DAY)
        harvest, failed = stepped.run_until(now)
        assert all(row.time_s < now.timestamp() for row in harvest.rows)
        rows += harvest.rows
        events += harvest.events
        failures += failed
    assert now == START + 40 * DAY
    assert rows == at_once.rows
    assert events == at_once.events
    assert failures == failed_at_once


def test_another_seed_gives_another_fleet():
    assert fleet(1, each=1).run_until(START + DAY)[0].rows != fleet(2, each=1).run_until(START + DAY)[0].rows


def test_failures_come_in_plausible_numbers_all_through_the_time_and_of_every_component(run_to_failure):
    _, _, failures = run_to_failure
    assert 120 <= len(failures) <= 220
    months = Counter((failure.failed_at - START).days // 30 for failure in failures)
    assert min(months[month] for month in range(4)) >= 12
    components = Counter(failure.component for failure in failures)
    assert set(components) == {component.name for kind in KINDS for component in kind.components}


def test_a_day_brings_the_readings_that_the_tables_promise(run_to_failure):
    _, harvest, _ = run_to_failure
    readings = sum(len(row.values) for row in harvest.rows)
    assert 500_000 <= readings <= 800_000
    assert len(harvest.rows) == 48 * 120 * 24
    metrics = defaultdict(set)
    for row in harvest.rows:
        metrics[row.serial[:2]].update(row.values)
    for kind in KINDS:
        assert metrics[kind.prefix] == {metric.name for metric in kind.metrics} | {RUNNING_HOURS}


def test_running_hours_never_go_back(run_to_failure):
    _, harvest, _ = run_to_failure
    last: dict[str, float] = {}
    for row in harvest.rows:
        assert row.values[RUNNING_HOURS] >= last.get(row.serial, 0.0)
        last[row.serial] = row.values[RUNNING_HOURS]


def test_a_failed_machine_says_so_stands_still_and_runs_again_when_mended():
    machines = fleet()
    harvest, failures = machines.run_until(START + 60 * DAY)
    first = failures[0]
    kind = machines.machine(first.serial).kind
    code = next(component.failure_code for component in kind.components if component.name == first.component)
    said = [event for serial, event in harvest.events if serial == first.serial and event.severity == "critical"]
    assert [(event.code, event.time) for event in said] == [(code, first.failed_at)]
    standby = {metric.name for metric in kind.metrics if metric.always} | {RUNNING_HOURS}
    after = [row for row in harvest.rows if row.serial == first.serial and row.time_s >= first.failed_at.timestamp()]
    assert all(set(row.values) == standby for row in after)
    assert len({row.values[RUNNING_HOURS] for row in after}) == 1
    assert machines.inspect(first.serial, first.component)[1] is True
    machines.replace(first.serial, first.component)
    assert machines.inspect(first.serial, first.component) == (0.0, False)
    mended, _ = machines.run_until(START + 64 * DAY)
    assert any(len(row.values) > len(standby) for row in mended.rows if row.serial == first.serial)


def test_a_new_component_brings_its_metrics_back():
    """Every component, worn out and then new, moves each of its metrics by more than twice the noise."""
    for kind in KINDS:
        machines = Fleet({kind.kind: 1}, seed=3, start=START, interval_s=3600)
        machine = machines.machine(machines.serials[0])
        for place, component in enumerate(kind.components):
            for instance in machine.instances:
                instance.wear = 0.0
            machine.instances[place].wear = 0.97
            worn = machine._values(0, 18.0, running=True)
            assert machines.replace(machine.serial, component.name) == 0.97
            new = machine._values(0, 18.0, running=True)
            noise = {metric.name: metric.noise for metric in kind.metrics}
            moved = [abs(worn[e.metric] - new[e.metric]) / noise[e.metric] for e in component.effects]
            assert max(moved) > 4, component.name
            assert min(moved) > 1, component.name


def test_wear_shows_days_ahead_and_symptoms_come_ever_more_often(run_to_failure):
    """Against its own month before, a component's clearest metric has moved before most failures, not before all."""
    machines, harvest, failures = run_to_failure
    values = defaultdict(list)
    for row in harvest.rows:
        for metric, value in row.values.items():
            values[row.serial, metric].append((row.time_s, value))
    warnings = defaultdict(list)
    for serial, event in harvest.events:
        warnings[serial].append((event.time.timestamp(), event.code))
    shown, early, late = [], 0, 0
    for failure in failures:
        failed_at_s = failure.failed_at.timestamp()
        if failed_at_s < START.timestamp() + 40 * 86400:
            continue
        kind = machines.machine(failure.serial).kind
        component = next(entry for entry in kind.components if entry.name == failure.component)
        noise = {metric.name: metric.noise for metric in kind.metrics}
        effect = max(component.effects, key=lambda effect: abs(effect.gain) / noise[effect.metric])
        series = values[failure.serial, effect.metric]
        before = [value for at_s, value in series if failed_at_s - 40 * 86400 <= at_s < failed_at_s - 30 * 86400]
        ahead = [value for at_s, value in series if failed_at_s - 4 * 86400 <= at_s < failed_at_s - 3 * 86400]
        if before and ahead:
            shown.append((mean(ahead) - mean(before)) * (1 if effect.gain > 0 else -1) / noise[effect.metric])
        codes = {symptom.code for symptom in component.symptoms}
        for at_s, code in warnings[failure.serial]:
            early += code in codes and failed_at_s - 40 * 86400 <= at_s < failed_at_s - 30 * 86400
            late += code in codes and failed_at_s - 10 * 86400 <= at_s < failed_at_s
    assert len(shown) > 60
    assert mean(drift > 1.0 for drift in shown) > 0.6
    assert min(shown) < 0.5, "some fail without a sign"
    assert late > 4 * early


def test_a_checkpoint_goes_on_as_if_nothing_had_been():
    whole, failed = fleet(each=2).run_until(START + 50 * DAY)
    half = fleet(each=2)
    half.run_until(START + timedelta(days=25, hours=10, minutes=30))
    other = fleet(each=2)
    other.restore(half.checkpoint())
    rest, failed_later = other.run_until(START + 50 * DAY)
    assert rest.rows == whole.rows[-len(rest.rows) :]
    assert failed[-len(failed_later) :] == failed_later != []


def test_a_checkpoint_remembers_replacements_and_another_fleet_s_is_refused():
    machines = fleet(each=1)
    machines.run_until(START + DAY)
    machines.replace("PW-0001", "pump_seal")
    other = fleet(each=1)
    other.restore(machines.checkpoint())
    assert other.inspect("PW-0001", "pump_seal") == (0.0, False)
    assert other.machine("PW-0001").instances == machines.machine("PW-0001").instances
    with pytest.raises(CareloopError, match="settings changed"):
        fleet(8, each=1).restore(machines.checkpoint())


def test_what_is_not_there_is_named():
    with pytest.raises(ValueError, match="PW-9999"):
        fleet(each=1).inspect("PW-9999", "pump_seal")
    with pytest.raises(ValueError, match="it has pump_seal, motor_brushes"):
        fleet(each=1).replace("PW-0001", "battery")


def test_the_tables_keep_to_their_bounds():
    units: dict[str, str] = {}
    for kind in KINDS:
        assert 4 <= len(kind.metrics) + 1 <= 8
        assert 3 <= len(kind.components) <= 4
        assert len(kind.metrics) <= SYMPTOMS_AT
        assert sum(len(component.symptoms) for component in kind.components) < 15
        names = {metric.name for metric in kind.metrics}
        assert all(effect.metric in names for component in kind.components for effect in component.effects)
        for metric in kind.metrics:
            assert units.setdefault(metric.name, metric.unit) == metric.unit, "one name, one unit"
        assert all(c.planned_cost_minor < c.failure_cost_minor for c in kind.components)
    skus = [component.sku for kind in KINDS for component in kind.components]
    assert len(skus) == len(set(skus))


def test_another_interval_goes_on_from_where_it_was_also_after_a_restart():
    machines = fleet(each=1)
    hourly = machines.run_until(START + DAY)[0].rows
    machines.set_interval(600)
    often = machines.run_until(START + DAY + timedelta(hours=1))[0].rows
    assert min(row.time_s for row in often) == (START + DAY).timestamp()
    assert len({row.time_s for row in often}) == 6
    assert {row.time_s for row in often}.isdisjoint(row.time_s for row in hourly)
    # A restart begins with the interval of the file.
    again = fleet(each=1)
    again.restore(machines.checkpoint())
    after = again.run_until(START + DAY + timedelta(hours=3))[0].rows
    assert {row.time_s for row in after} == {(START + DAY + timedelta(hours=hour)).timestamp() for hour in (1, 2)}
    unchanged = fleet(each=1)
    unchanged.set_interval(3600)
    assert unchanged.run_until(START + DAY)[0].rows == hourly
