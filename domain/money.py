"""Money: whole minor units (pence, cents, yen) beside an ISO 4217 currency code."""

import re
from decimal import Decimal

from domain.errors import InvalidMoney
from domain.limits import MOST_PER_ORDER

_TWO_DIGITS = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD
CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD
HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD
MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON
RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD
TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG
"""
_NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND"

MINOR_DIGITS: dict[str, int] = {
    code: digits
    for digits, codes in ((0, _NO_DIGITS), (2, _TWO_DIGITS), (3, _THREE_DIGITS))
    for code in codes.split()
}
"""Digits after the decimal point of each active currency (ISO 4217, list one)."""

LARGEST_PRICE = 10**11
"""Of a ticket, in minor units."""

LARGEST_AMOUNT = LARGEST_PRICE * MOST_PER_ORDER
"""Of an order, in minor units; the total of 92,000 such orders still fits a 64-bit column."""

_MOST_DIGITS = len(str(LARGEST_AMOUNT))
_PLAIN = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?")


def require_currency(code: str) -> None:
    """Raise `InvalidMoney` unless `code` is an active ISO 4217 currency."""
    if code not in MINOR_DIGITS:
        raise InvalidMoney(f"{code!r} is not an ISO 4217 currency code, like 'GBP'.")


def to_minor(amount: str | Decimal, currency: str) -> int:
    """Minor units of a decimal `amount`: `to_minor("128.00", "GBP") == 12800`.

    Raises `InvalidMoney` for anything else than a plain amount the currency can express.
    """
    require_currency(currency)
    plain = _PLAIN.fullmatch(str(amount))
    if plain is None:
        raise InvalidMoney(f"{amount!r} is not a decimal amount, like '12.50'.")
    sign, whole, fraction = plain.groups(default="")
    digits = MINOR_DIGITS[currency]
    if len(fraction.rstrip("0")) > digits:
        raise InvalidMoney(f"{currency} has no more than {digits} decimals.")
    minor = (whole + fraction[:digits].ljust(digits, "0")).lstrip("0") or "0"
    if len(minor) > _MOST_DIGITS or int(minor) > LARGEST_AMOUNT:
        raise InvalidMoney("The amount is out of range.")
    return int(sign + minor)


def to_decimal(minor: int, currency: str) -> str:
    """The decimal string of `minor` units: `to_decimal(12800, "GBP") == "128.00"`."""
    digits = MINOR_DIGITS[currency]
    return f"{Decimal(minor).scaleb(-digits):.{digits}f}"
