"""From facts to options."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.allocation.facts import Facts, Kit, Need, Part, Policy, Source, Spot, Stock, Substitute, Way
from api.allocation.options import options_of, targets
from api.conventions.positions import Position
from api.warehouses.rules import Lane

NOW = datetime(2026, 7, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = Policy(
    currency="EUR",
    late_minor={"low": 100, "normal": 1000, "high": 4000, "urgent": 10_000},
    refusal_days=365,
    holding_bp=2000,
    oldest_days=1000,
    shortage_minor=10_000,
    service_level_bp=9500,
    freight_base_minor=800,
    freight_kg_minor=100,
    order_minor=1500,
    kit_minor=700,
    alternative_minor=900,
)
PUMP = Part(1, "PUMP", 10_000, "EUR", weight_grams=2500)
HOUSE = Spot(1, "city-partner", "partner", "city")
VAN = Spot(2, "city-van", "van", "city")
AWAY = Spot(3, "north", "central", "north", transfer_days=3)
FAR = Spot(4, "south", "partner", "south", transfer_days=9)


def need(quantity=1, *, days=2, priority="normal", strict=False, near=(HOUSE, VAN), part=PUMP):
    delivery = near[0] if near else AWAY
    return Need(part, quantity, NOW + days * DAY, priority, strict, "city", None, tuple(near), delivery)


def stock(spot, pieces, part=PUMP, **fields):
    return Stock(spot, part, pieces, 0, **fields)


def way(spot, days, base=500, kilogram=200, currency="EUR", *, entered=True):
    lane = Lane(
        spot.warehouse_id,
        HOUSE.warehouse_id,
        days * 24,
        base,
        kilogram,
        currency,
        frozenset({"normal"}),
        entered=entered,
    )
    return Way(lane, NOW + days * DAY)


def asked(wanted, *stocks, **facts):
    return options_of(wanted, Facts(stocks, **facts), POLICY, NOW)


def only(ways):
    (priced,) = ways.options
    return priced


def test_a_part_at_the_site_costs_nothing_and_is_there_now():
    priced = only(asked(need(), stock(HOUSE, 1)))
    assert (priced.option.kind, priced.option.available_at, priced.total_minor) == ("on_hand", NOW, 0)
    assert priced.option.lane is None
    assert "at hand at city-partner" in priced.option.reason


def test_from_elsewhere_it_is_sent_to_the_partner_at_the_site_by_the_lane():
    priced = only(asked(need(2, days=1), stock(AWAY, 5, way=way(AWAY, 3))))
    option = priced.option
    assert option.kind == "transfer"
    assert (option.lane.from_warehouse_id, option.lane.to_warehouse_id) == (3, 1)
    assert (option.freight_base_minor, option.freight_minor) == (500, 1000)
    assert option.lateness_minor == 2000
    assert priced.total_minor == 3500
    assert "sent from north to city-partner, there on 2026-07-04, 2 days late" in option.reason


def test_where_no_lane_is_entered_the_policy_says_what_freight_costs():
    priced = only(asked(need(), stock(AWAY, 1, way=way(AWAY, 1, 0, 0, entered=False))))
    assert priced.freight_minor == 800 + 250
    foreign = only(asked(need(), stock(AWAY, 1, way=way(AWAY, 1, 9, 9, "CNY"))))
    assert foreign.freight_minor == 800 + 250
    assert "its freight in CNY is taken as the policy's" in foreign.option.reason


def test_where_the_site_has_no_warehouse_it_comes_to_the_door_directly():
    priced = only(asked(need(near=()), stock(AWAY, 1)))
    assert (priced.option.kind, priced.option.lane) == ("on_hand", None)
    assert priced.option.available_at == NOW + 3 * DAY
    assert priced.freight_minor == 1050


def test_what_is_likely_to_be_missed_is_taken_from_where_it_is_not():
    ways = asked(
        need(),
        stock(AWAY, 1, way=way(AWAY, 1), mean=1.0),
        stock(FAR, 1, way=way(FAR, 1)),
    )
    assert [priced.warehouse for priced in ways.options] == ["south", "north"]
    assert ways.options[1].risk_minor == 6321


def test_the_oldest_stock_goes_first():
    ways = asked(
        need(),
        stock(HOUSE, 1, stocked_at=NOW - 10 * DAY),
        stock(VAN, 1, stocked_at=NOW - 365 * DAY),
    )
    assert [priced.warehouse for priced in ways.options] == ["city-van", "city-partner"]
    assert ways.options[0].option.age_credit_minor == 2000
    ancient = only(asked(need(), stock(HOUSE, 1, stocked_at=NOW - 5000 * DAY)))
    assert ancient.option.age_credit_minor == 5479


def test_an_alternative_costs_its_trouble_and_what_it_is_dearer():
    better = Part(7, "PUMP-2", 12_000, "EUR")
    priced = only(asked(need(2), stock(HOUSE, 2, better), substitutes=[Substitute(better, "its successor")]))
    assert (priced.option.kind, priced.sku) == ("alternative", "PUMP-2")
    assert priced.option.extra_minor == 900 + 4000
    assert "PUMP-2 instead of PUMP (its successor)" in priced.option.reason
    yuan = replace(better, currency="CNY")
    priced = only(asked(need(), stock(HOUSE, 2, yuan), substitutes=[Substitute(yuan, "its successor")]))
    assert priced.option.extra_minor == 900
    assert "its price in CNY is not compared" in priced.option.reason


def test_kits_are_taken_apart_in_whole():
    kit = Part(8, "KIT", 30_000, "EUR")
    ways = asked(need(3), stock(HOUSE, 2, kit), stock(VAN, 1, kit), kits=[Kit(kit, 2)])
    priced = only(ways)
    assert (priced.option.kind, priced.sku, priced.option.takes[0].pieces) == ("kit", "PUMP", 2)
    assert priced.option.extra_minor == 1400
    assert ("city-van", "2 needed at once, 1 available (1 on hand, 0 reserved)") in {
        (unfit.warehouse, unfit.reason) for unfit in ways.unfit
    }


def test_an_order_has_an_honest_date_and_what_is_ordered_already_costs_no_order():
    sources = [
        Source(PUMP, NOW + 30 * DAY, "Maker", price_minor=11_000, currency="EUR"),
        Source(PUMP, NOW + 12 * DAY, "Maker", line_id=5),
    ]
    ways = asked(need(), sources=sources)
    assert [priced.option.available_at for priced in ways.options] == [NOW + 12 * DAY, NOW + 30 * DAY]
    assert [priced.total_minor for priced in ways.options] == [10_000, 28_000 + 1500 + 1000]
    assert "ordered from Maker, by city-partner on 2026-07-31, 28 days late" in ways.options[1].option.reason
    assert {(unfit.warehouse, unfit.reason) for unfit in ways.unfit} == {
        ("city-partner", "none on hand"),
        ("city-van", "none on hand"),
    }


def test_by_the_date_or_not_at_all():
    late = stock(AWAY, 1, way=way(AWAY, 5))
    ways = asked(need(strict=True), late)
    assert ways.options == []
    assert ways.earliest == NOW + 5 * DAY
    reasons = [unfit.reason for unfit in ways.unfit if unfit.warehouse == "north"]
    assert reasons == ["transfer: at the site only on 2026-07-06, needed by 2026-07-03"]
    assert only(asked(need(strict=True, days=5), late)).warehouse == "north"


@pytest.mark.parametrize(
    ("lacking", "why"),
    [
        (stock(AWAY, 0), "none on hand"),
        (Stock(AWAY, PUMP, 2, 2), "all 2 on hand are reserved for others"),
        (Stock(AWAY, PUMP, 2, 1), "2 needed at once, 1 available (2 on hand, 1 reserved)"),
        (
            stock(Spot(9, "pen", "quarantine", "city"), 5),
            "a quarantine gives nothing to cases; transfer its stock first",
        ),
        (
            stock(AWAY, 5, replace(PUMP, shipping_class="battery"), way=way(AWAY, 1)),
            "no lane from there takes battery goods",
        ),
    ],
)
def test_every_place_that_is_no_option_says_why(lacking, why):
    ways = asked(need(2, near=(HOUSE,)), lacking)
    assert ways.options == []
    assert why in [unfit.reason for unfit in ways.unfit]


def test_the_order_of_equal_options_is_always_the_same():
    spots = [Spot(number, f"w{number}", "partner", "city") for number in range(5, 9)]
    stocks = [stock(spot, 1 + (spot.code == "w7")) for spot in spots]
    wanted = need(near=tuple(spots))
    for order in (stocks, stocks[::-1]):
        assert [priced.warehouse for priced in asked(wanted, *order).options] == ["w7", "w5", "w6", "w8"]


def test_parts_are_sent_to_the_partner_whose_case_it_is():
    here, there = Position(31.2, 121.5), Position(31.3, 121.4)
    own = Spot(1, "own", "van", "city", there, provider_id=4)
    spots = [
        Spot(2, "central", "central", "city", here),
        Spot(3, "near", "partner", "city", here, provider_id=5),
        Spot(4, "nearish", "partner", "city", there, provider_id=6),
        Spot(5, "elsewhere", "partner", "town", here),
        Spot(6, "pen", "quarantine", "city", here),
        own,
    ]
    assert [spot.code for spot in targets(spots, "city", here, 4)] == ["own", "near", "nearish", "central"]
    assert [spot.code for spot in targets(spots, "city", here, None)] == ["near", "nearish", "central", "own"]
