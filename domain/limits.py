"""How long texts and how large counts may be: what every index and column can hold."""

from domain.errors import Invalid

SHORT = 200
LONG = 20_000
LARGEST_COUNT = 2**31 - 1


def require_length(what: str, text: str, most: int, error: type[Invalid]) -> None:
    """Raise `error` for a text of more than `most` characters."""
    if len(text) > most:
        raise error(f"The {what} has more than {most:,} characters.")


def require_count(what: str, count: int | None, least: int, error: type[Invalid]) -> None:
    """Raise `error` for a count below `least` or too large for a column; None is no limit."""
    if count is not None and not least <= count <= LARGEST_COUNT:
        raise error(f"The {what} is from {least} to {LARGEST_COUNT:,}.")
