"""Money: whole minor units beside a currency."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidMoney
from domain.money import LARGEST_AMOUNT, MINOR_DIGITS, require_currency, to_decimal, to_minor


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("128.00", "GBP", 12800),
        ("128", "GBP", 12800),
        ("12.5", "GBP", 1250),
        ("0.01", "GBP", 1),
        ("-0.50", "GBP", -50),
        ("0007.10", "GBP", 710),
        ("1.50000", "GBP", 150),
        ("500", "JPY", 500),
        ("500.00", "JPY", 500),
        ("0", "JPY", 0),
        ("1.234", "KWD", 1234),
        (Decimal("12.50"), "EUR", 1250),
        ("1000000000000.00", "GBP", LARGEST_AMOUNT),
    ],
)
def test_a_decimal_amount_becomes_minor_units(amount: str | Decimal, currency: str, minor: int):
    assert to_minor(amount, currency) == minor


@pytest.mark.parametrize(
    "amount",
    [
        "",
        "much",
        "1,50",
        "1.2.3",
        "1e3",
        "1e999999",
        "1_000",
        " 5 ",
        "5\n",
        "5.",
        ".5",
        "+5",
        "٣",
        "NaN",
        "sNaN",
        "Infinity",
        Decimal("NaN"),
        Decimal("-Infinity"),
        "0.001",
        "1.0000000000000000000000000000000000001",
        "10000000000000.01",
        "-10000000000000.01",
        "9" * 5000,
    ],
)
def test_what_is_no_amount_in_the_currency_is_refused(amount: str | Decimal):
    with pytest.raises(InvalidMoney):
        to_minor(amount, "GBP")


def test_yen_have_no_decimals():
    with pytest.raises(InvalidMoney, match="JPY has no more than 0"):
        to_minor("1.5", "JPY")


@pytest.mark.parametrize("code", ["", "gbp", "GB", "XXX", "£", "GBP "])
def test_only_currencies_of_the_standard_are_known(code: str):
    with pytest.raises(InvalidMoney):
        require_currency(code)
    with pytest.raises(InvalidMoney):
        to_minor("1", code)


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [
        (12800, "GBP", "128.00"),
        (5, "GBP", "0.05"),
        (-50, "GBP", "-0.50"),
        (0, "GBP", "0.00"),
        (500, "JPY", "500"),
        (1, "KWD", "0.001"),
        (LARGEST_AMOUNT * 1000 + 1, "GBP", "1000000000000000.01"),
    ],
)
def test_minor_units_are_shown_with_the_decimals_of_the_currency(
    minor: int, currency: str, shown: str
):
    assert to_decimal(minor, currency) == shown


@given(st.integers(-LARGEST_AMOUNT, LARGEST_AMOUNT), st.sampled_from(sorted(MINOR_DIGITS)))
def test_what_is_shown_reads_back_as_the_same_amount(minor: int, currency: str):
    assert to_minor(to_decimal(minor, currency), currency) == minor
