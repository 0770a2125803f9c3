"""`careloop bench edge`, small: every figure is there and means something."""

from bench.edge.main import run


def test_an_agent_is_measured_in_all_three_phases():
    figures = run(readings=50_000, seconds=2.0)
    assert figures["readings_per_s"] > 1000
    assert 0 <= figures["cpu_share"] < 1
    assert 20 < figures["resident_mb"] < 200
    assert 5 < figures["catch_up_wire_bytes_per_reading"] < figures["wire_bytes_per_reading"] < 200
    assert 5 < figures["disk_bytes_per_reading"] < 200
    assert figures["confirmed_messages"] > 100
