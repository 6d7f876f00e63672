"""How long texts and how large counts may be, what every index and column can hold; and how far
clocks may differ."""

from datetime import timedelta

from domain.errors import Invalid

SHORT = 200
"""Characters of a name, a title, a venue, a category or a payment method."""

LONG = 20_000
LONGEST_ADDRESS = 254
"""Characters of an e-mail address (RFC 5321, section 4.5.3.1.3, less the angle brackets)."""

CLOCKS_DIFFER = timedelta(minutes=5)
"""How far the clock of a scanner may be from ours."""

EARLIEST_YEAR, LATEST_YEAR = 1900, 9998
LARGEST_COUNT = 2**31 - 1
"""What a column can hold."""
MOST_PLACES = 10_000_000
"""Of an event, or tickets of a type, that anybody outside may ask for."""
MOST_PER_ORDER = 1000
"""Tickets: they are issued in one transaction."""


def require_length(what: str, text: str, most: int, error: type[Invalid]) -> None:
    """Raise `error` for a text of more than `most` characters."""
    if len(text) > most:
        raise error(f"The {what} has more than {most:,} characters.")


def require_count(what: str, count: int | None, least: int, error: type[Invalid]) -> None:
    """Raise `error` for a count below `least` or too large for a column; None is no limit."""
    if count is not None and not least <= count <= LARGEST_COUNT:
        raise error(f"The {what} is from {least} to {LARGEST_COUNT:,}.", what)
