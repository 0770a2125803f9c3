"""Numbers, addresses and consents, without a database."""

import pytest

from api.customers import rules


@pytest.mark.parametrize(
    ("written", "country", "kept"),
    [
        ("+49 (0)151 2345-6789", None, "+4915123456789"),
        ("0151 23456789", "DE", "+4915123456789"),
        ("138 0013 8000", "CN", "+8613800138000"),
        ("+8613800138000", "DE", "+8613800138000"),
    ],
)
def test_a_phone_number_is_kept_as_e164(written, country, kept) -> None:
    assert rules.phone_number(written, country) == kept


@pytest.mark.parametrize(
    ("written", "country", "words"),
    [
        ("0151 23456789", None, "country"),
        ("call me", "DE", "no phone number"),
        ("12345678901234567890", "DE", "phone number"),
    ],
)
def test_what_is_no_phone_number_is_refused_with_the_remedy(written, country, words) -> None:
    with pytest.raises(ValueError, match=words):
        rules.phone_number(written, country)


def test_a_phone_number_is_searched_by_all_of_it_or_by_its_last_digits() -> None:
    assert rules.searched_phone("+49 151 23456789", None) == ("+4915123456789", None)
    assert rules.searched_phone("0151 23456789", "DE") == ("+4915123456789", None)
    assert rules.searched_phone("0151-23456789", None) == (None, "98765432151")
    with pytest.raises(ValueError, match="digits"):
        rules.searched_phone("12", None)


def test_a_mail_address_is_kept_in_small_letters_and_not_asked_for() -> None:
    assert rules.email_address("Marta.Beispiel@Example.COM") == "marta.beispiel@example.com"
    with pytest.raises(ValueError, match="no mail address"):
        rules.email_address("marta at example")


def test_two_ways_to_write_a_tax_number_are_one() -> None:
    assert rules.plain_number("de 123.456-789") == rules.plain_number("DE123456789") == "DE123456789"
    with pytest.raises(ValueError, match="letters or digits"):
        rules.plain_number("--")


def test_there_are_all_countries_of_iso_3166() -> None:
    assert len(rules.COUNTRIES - {"XK"}) == 249
    assert rules.country_code("AQ") == "AQ"
    with pytest.raises(ValueError, match="ISO 3166"):
        rules.country_code("EU")


@pytest.mark.parametrize(
    ("purpose", "consent", "allowed"),
    [
        ("service", None, True), ("service", "given", True), ("service", "withdrawn", False),
        ("marketing", None, False), ("marketing", "given", True), ("marketing", "withdrawn", False),
    ],
)  # fmt: skip
def test_service_heeds_a_withdrawal_and_marketing_needs_a_consent(purpose, consent, allowed) -> None:
    assert rules.may_be_contacted(purpose, consent) is allowed


def test_of_two_consents_the_stricter_holds() -> None:
    sms, mail, post = ("sms", "marketing"), ("email", "marketing"), ("post", "service")
    mine = {sms: "given", mail: "withdrawn", post: "given"}
    theirs = {sms: "withdrawn", mail: "given"}
    assert rules.to_withdraw(mine, theirs) == [mail, sms]
    assert rules.to_withdraw(mine, {}) == []
