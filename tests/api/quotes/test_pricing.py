"""Prices: the rounding rule, who bears what, discounts, the minimum charge, the tax."""

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.quotes.pricing import (
    BASIS_POINTS,
    MINIMUM_CHARGE,
    NOTHING_COVERED,
    Cover,
    Line,
    PartCost,
    Tariff,
    Unpriced,
    price,
    rounded,
    tax_within,
)
from api.quotes.rules import money

TARIFF = Tariff(
    "EUR",
    labour_hour_minor=8_050,
    labour_step_minutes=15,
    travel_km_minor=95,
    part_factor_bp=17_500,
    minimum_charge_minor=4_000,
    tax_rate_bp=1_900,
    operations={"descale": 3_900},
    zones={"A": 2_500},
    parts={"PUMP": 12_990},
    fees={"express": 1_500},
)
COSTS = {
    "PUMP": PartCost("Pump", 6_000, "EUR"),
    "SEAL": PartCost("Seal", 333, "EUR"),
    "BELT": PartCost("Belt", 9, "CNY"),
}
ALL = Cover(labour=True, travel=True, parts=True, fees=True)


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**6))
def test_a_fraction_is_rounded_to_the_nearest_a_half_away_from_zero(numerator, denominator):
    exact = Decimal(numerator) / Decimal(denominator)
    with_digits = Decimal(numerator * 10**12 // denominator) / 10**12 if exact != exact.to_integral() else exact
    assert abs(Decimal(rounded(numerator, denominator)) - with_digits) <= Decimal("0.500000000001")
    assert rounded(-numerator, denominator) == -rounded(numerator, denominator)
    assert rounded(2 * numerator + 1, 2) == int(Decimal(2 * numerator + 1).__truediv__(2).to_integral(ROUND_HALF_UP))


def test_lines_are_priced_by_the_list():
    lines = [
        Line("labour", quantity=61),
        Line("labour", "descale"),
        Line("travel", quantity=12),
        Line("travel", "A"),
        Line("part", "PUMP", quantity=2),
        Line("part", "SEAL", quantity=3),
        Line("fee", "express"),
        Line("fee", "towing", amount_minor=700),
        Line("value_added_sale", "cleaner", quantity=2, amount_minor=990, description="Cleaner, 1 l"),
    ]
    priced = price(lines, TARIFF, COSTS)
    # A step begun counts: 75 minutes at 80.50 are 100.625, half a cent up. 333 × 1.75 is 582.75 a piece, 583 rounded.
    nets = [10_063, 3_900, 1_140, 2_500, 25_980, 1_749, 1_500, 700, 1_980]
    assert [line.net_minor for line in priced.lines] == nets
    assert [line.description for line in priced.lines[:4]] == [
        "Labour, 75 min",
        "Labour, descale",
        "Travel, 12 km",
        "Travel, zone A",
    ]
    assert priced.lines[0].quantity == 75
    assert priced.net_minor == sum(nets) == 49_512
    assert priced.tax_minor == 9_407  # 9407.28
    assert priced.gross_minor == 58_919


@pytest.mark.parametrize(
    ("line", "field", "said"),
    [
        (Line("labour", "unknown"), "code", "no operation unknown"),
        (Line("travel", "Z"), "code", "no travel zone Z"),
        (Line("part", "NIX"), "code", "there is no part NIX"),
        (Line("part", "BELT"), "code", "cost is in CNY, not EUR"),
        (Line("fee", "unknown"), "code", "no fee unknown"),
        (Line("value_added_sale", "x"), "amount_minor", "price that was agreed"),
        (Line("discount", amount_minor=1, reason="r"), "amount_minor", "only 0 is left"),
    ],
)
def test_what_has_no_price_is_named(line, field, said):
    with pytest.raises(Unpriced, match=said) as refused:
        price([Line("value_added_sale", "free", amount_minor=0), line], TARIFF, COSTS)
    assert (refused.value.place, refused.value.field) == (1, field)


def test_the_maker_bears_labour_travel_and_parts_each_for_itself():
    lines = [Line("labour", quantity=60), Line("travel", quantity=10), Line("part", "PUMP")]
    priced = price(lines, TARIFF, COSTS, Cover(parts=True, labour=True))
    assert [(line.customer_minor, line.bearer) for line in priced.lines[:3]] == [(0, "maker"), (950, ""), (0, "maker")]
    # The minimum charge tops up what the customer pays; where they pay nothing it does not tell.
    assert (priced.lines[3].code, priced.lines[3].net_minor) == (MINIMUM_CHARGE, 3_050)
    assert (priced.net_minor, priced.borne_minor) == (4_000, 8_050 + 12_990)
    free = price(lines, TARIFF, COSTS, ALL)
    assert (free.gross_minor, len(free.lines)) == (0, 3)
    sold = price([*lines, Line("value_added_sale", "cleaner", amount_minor=500)], TARIFF, COSTS, ALL)
    assert (sold.net_minor, len(sold.lines)) == (500, 4)


def test_discounts_are_on_what_the_customer_would_pay():
    lines = [Line("part", "PUMP"), Line("discount", percent_bp=1_000, reason="late"), Line("fee", "express")]
    priced = price(lines, TARIFF, COSTS, Cover(parts=True))
    # 15.00, topped up to 40.00, less a tenth.
    assert [line.customer_minor for line in priced.lines] == [0, -400, 1_500, 2_500]
    assert priced.net_minor == 3_600
    halves = [Line("discount", percent_bp=5_000, reason="r"), Line("discount", amount_minor=2_001, reason="r")]
    with pytest.raises(Unpriced, match="only 2000 is left"):
        price([Line("fee", "f", amount_minor=4_000), *halves], TARIFF, COSTS)


def test_sums_that_do_not_fit_are_refused():
    with pytest.raises(Unpriced, match="together are more"):
        price([Line("part", "PUMP", quantity=10**6)] * 200, Tariff("EUR", parts={"PUMP": 10**12}), COSTS)


AMOUNTS = st.integers(0, 10**7)
WORK = st.one_of(
    st.builds(Line, st.just("labour"), quantity=st.integers(1, 5_000)),
    st.builds(Line, st.just("travel"), quantity=st.integers(1, 2_000)),
    st.builds(Line, st.just("part"), st.sampled_from(["PUMP", "SEAL"]), quantity=st.integers(1, 50)),
    st.builds(Line, st.just("fee"), st.just("towing"), amount_minor=AMOUNTS),
    st.builds(Line, st.just("value_added_sale"), st.just("cleaner"), quantity=st.integers(1, 9), amount_minor=AMOUNTS),
)
DISCOUNTS = st.builds(Line, st.just("discount"), percent_bp=st.integers(0, 3_000), reason=st.just("r"))
TARIFFS = st.builds(
    Tariff,
    st.just("EUR"),
    labour_hour_minor=AMOUNTS,
    labour_step_minutes=st.integers(1, 480),
    travel_km_minor=AMOUNTS,
    part_factor_bp=st.integers(0, 10**6),
    minimum_charge_minor=AMOUNTS,
    tax_rate_bp=st.integers(0, BASIS_POINTS),
)
COVERS = st.builds(Cover, st.booleans(), st.booleans(), st.booleans(), st.booleans())


@given(st.lists(WORK, min_size=1, max_size=8), st.lists(DISCOUNTS, max_size=3), TARIFFS, COVERS)
def test_what_is_printed_adds_up(work, discounts, tariff, cover):
    priced = price([*work, *discounts], tariff, COSTS, cover)
    assert priced.net_minor == sum(line.customer_minor for line in priced.lines) >= 0
    assert priced.gross_minor == priced.net_minor + priced.tax_minor
    assert abs(priced.tax_minor * BASIS_POINTS - priced.net_minor * tariff.tax_rate_bp) * 2 <= BASIS_POINTS
    assert priced.borne_minor == sum(line.net_minor - line.customer_minor for line in priced.lines)
    for line in priced.lines:
        # Within half a minor unit of the exact price of the line.
        assert abs(line.quantity * line.price_minor - line.net_minor * line.price_per) * 2 <= line.price_per
        assert line.customer_minor in {line.net_minor, 0}
        assert (line.bearer != "") == (cover.bears(line.kind) and line.code != MINIMUM_CHARGE)
    # Who bears more never makes the customer pay more, and nobody is paid for having a warranty.
    assert priced.net_minor <= price([*work, *discounts], tariff, COSTS, NOTHING_COVERED).net_minor
    # The order of the work does not change what it costs.
    assert price([*reversed(work), *discounts], tariff, COSTS, cover).gross_minor == priced.gross_minor


@given(st.integers(0, 10**12), st.integers(0, BASIS_POINTS))
def test_the_tax_within_an_amount_is_the_tax_on_the_rest(net, rate):
    gross = net + rounded(net * rate, BASIS_POINTS)
    assert abs(tax_within(gross, rate) - rounded(net * rate, BASIS_POINTS)) <= 1


def test_money_is_written_with_its_currencys_digits():
    assert money(123_450, "EUR") == "1,234.50 EUR"
    assert money(-5, "EUR") == "-0.05 EUR"
    assert money(1_234, "JPY") == "1,234 JPY"
    assert money(1_234, "KWD") == "1.234 KWD"


def test_a_part_that_is_not_on_the_list_costs_what_the_catalogue_says():
    costs = {**COSTS, "SEAL": PartCost("Seal", 333, "EUR", 700), "BELT": PartCost("Belt", 9, "CNY", 450)}
    priced = price([Line("part", "PUMP"), Line("part", "SEAL"), Line("part", "BELT")], TARIFF, costs)
    assert [line.price_minor for line in priced.lines] == [12_990, 700, 450]
