"""Fields that let nothing through which the domain, the log or a database would choke on."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from marshmallow import RAISE, Schema, ValidationError, fields, validate

from domain.limits import EARLIEST_YEAR, LATEST_YEAR, MOST_PLACES

LARGEST_METADATA = 8192
DEEPEST_METADATA = 8
INT64 = 2**63

_Aware = Annotated[datetime, msgspec.Meta(tz=True)]


_digits = re.compile(r"-?[0-9]{1,19}").fullmatch


class Strict(Schema):
    """Refuses what it does not know, so that a misspelt field is not silently ignored."""

    class Meta:
        unknown = RAISE


class FullMatch(validate.Regexp):
    """A pattern for the whole value; `$` alone would let a newline through."""

    def __init__(self, pattern: str, error: str) -> None:
        super().__init__(pattern, error=error)
        self._fullmatch = re.compile(pattern).fullmatch

    def __call__(self, value: str) -> str:  # type: ignore[override]
        if self._fullmatch(value) is None:
            raise ValidationError(self.error)
        return value


class Text(fields.String):
    """A string of bounded length, without NUL, which PostgreSQL cannot store."""

    def __init__(self, longest: int, *, shortest: int = 0, **kwargs: Any) -> None:
        super().__init__(validate=validate.Length(shortest, longest), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if "\0" in text:
            raise ValidationError("It contains a NUL character.")
        return text


class Clearable(Text):
    """Text that null empties."""

    def __init__(self, longest: int, **kwargs: Any) -> None:
        super().__init__(longest, allow_none=True, **kwargs)

    def deserialize(
        self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any
    ) -> Any:
        return super().deserialize("" if value is None else value, attr, data, **kwargs)


class Id(fields.UUID):
    """A UUID in its canonical form."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> UUID:
        try:
            return msgspec.convert(value, UUID)
        except msgspec.ValidationError:
            raise self.make_error("invalid_uuid") from None


class Instant(fields.DateTime):
    """A time with its offset (RFC 3339), read as UTC."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        try:
            given = msgspec.convert(value, _Aware)
        except msgspec.ValidationError:
            message = "Not a time with an offset, like 2026-07-31T18:00:00Z."
            raise ValidationError(message) from None
        _require_year(given)
        return given.astimezone(UTC)


class Day(fields.Date):
    """A day (`2026-07-31`); of a time the day in UTC is taken."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> date:
        try:
            day = msgspec.convert(value, date)
        except msgspec.ValidationError:
            try:
                day = msgspec.convert(value, _Aware)
            except msgspec.ValidationError:
                message = "Not a day, like 2026-07-31."
                raise ValidationError(message) from None
        _require_year(day)
        return day.astimezone(UTC).date() if isinstance(day, datetime) else day


class Flag(fields.Boolean):
    """`true` or `false`, and nothing that merely looks like it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Words(fields.String):
    """Words with commas between them, each of those that are known."""

    def __init__(self, known: tuple[str, ...], default: str) -> None:
        pattern = f"({'|'.join(map(re.escape, known))})"
        metadata = {
            "pattern": f"^{pattern}(,{pattern})*$",
            "description": f"One or more of {', '.join(known)}, with commas between them.",
            "examples": [",".join(known[:2])],
            "default": default,
        }
        super().__init__(metadata=metadata, load_default=lambda: (default,))
        self.known = known

    def _deserialize(  # type: ignore[override]
        self, value: Any, attr: str | None, data: Any, **kwargs: Any
    ) -> tuple[str, ...]:
        words = tuple(super()._deserialize(value, attr, data, **kwargs).split(","))
        if not set(words) <= set(self.known):
            raise ValidationError(f"Each is one of {', '.join(self.known)}.")
        return tuple(dict.fromkeys(words))


class Metadata(fields.Dict):
    """A small JSON object of the caller's own."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        _require_storable(value, DEEPEST_METADATA)
        if len(msgspec.json.encode(value)) > LARGEST_METADATA:
            raise ValidationError(f"Longer than {LARGEST_METADATA} bytes.")
        return value


class Number(fields.Integer):
    """A whole number in a query string, in plain digits: Python would read more than these."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not _digits(value):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


def count(least: int = 0, most: int = MOST_PLACES, **kwargs: Any) -> fields.Integer:
    """A whole number as JSON has it."""
    return fields.Integer(strict=True, validate=validate.Range(least, most), **kwargs)


def limit(default: int = 20, most: int = 200) -> Number:
    """How many items at most, in a query string."""
    return Number(
        load_default=default,
        validate=validate.Range(1, most),
        metadata={"description": "How many items at most."},
    )


def search(said: str) -> Text:
    """Words that are looked for, in a query string."""
    return Text(200, metadata={"description": said})


def after() -> Text:
    """The cursor of a list; a name of 200 characters makes one of up to 1,700."""
    return Text(
        2000,
        load_default=None,
        metadata={"description": "The `next` of the page before this one."},
    )


def token(**kwargs: Any) -> fields.String:
    """A short name for programs, such as a payment method."""
    return fields.String(
        validate=FullMatch(r"^[a-z0-9_]{1,40}$", error="1 to 40 of a-z, 0-9 and _."), **kwargs
    )


def amount(**kwargs: Any) -> fields.String:
    """Money as a decimal string; how many decimals there may be depends on the currency."""
    metadata = {"examples": ["128.00"], "description": "A decimal amount, as a string."}
    return fields.String(
        validate=FullMatch(
            r"^[0-9]{1,13}(\.[0-9]{1,3})?$", error="Not a decimal string, like '128.00'."
        ),
        metadata=metadata,
        **kwargs,
    )


def currency(**kwargs: Any) -> fields.String:
    """An ISO 4217 code; the domain knows which exist."""
    return fields.String(
        validate=FullMatch(r"^[A-Z]{3}$", error="Not an ISO 4217 code, like 'GBP'."),
        metadata={"examples": ["GBP"]},
        **kwargs,
    )


def _require_year(day: date) -> None:
    if not EARLIEST_YEAR <= day.year <= LATEST_YEAR:
        raise ValidationError(f"Not between the years {EARLIEST_YEAR} and {LATEST_YEAR}.")


def _require_storable(value: Any, depth: int) -> None:
    if depth == 0:
        raise ValidationError(f"Nested deeper than {DEEPEST_METADATA} levels.")
    if isinstance(value, str) and "\0" in value:
        raise ValidationError("It contains a NUL character.")
    if isinstance(value, int) and not -INT64 <= value < INT64:
        raise ValidationError("It contains a number beyond 64 bits.")
    if isinstance(value, Mapping):
        for key in value:
            _require_storable(key, depth)
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            _require_storable(item, depth - 1)
