"""Reading what was sent, before any rule is asked: JSON bodies and query strings."""

import math
from typing import Any

import msgspec
from marshmallow import Schema, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from web.current import asked, noted
from web.encoding import JSON
from web.problems import BadRequest, InvalidFields

REPEATED = "Given more than once; of what may be several, write them with commas between."

_decode = msgspec.json.Decoder().decode


def load_body(schema: Schema) -> dict[str, Any]:
    """The JSON body as `schema` reads it; raises `InvalidFields` for what does not fit."""
    return _load(schema, json_body(), 422)


def json_body() -> dict[str, Any]:
    """The JSON body as it was sent, which is read once; no body stands for an empty object.

    Raises `BadRequest` for what is not JSON and `InvalidFields` for what is no object.
    """
    if "body" not in noted():
        body = _read_body()
        if type(body) is not dict:
            raise InvalidFields({"_schema": ["The body is a JSON object."]})
        noted().body = body
    return noted().body  # type: ignore[no-any-return]


def load_query(schema: Schema, error_status: int = 422) -> dict[str, Any]:
    """The query string as `schema` reads it; a repeated parameter fits nowhere."""
    given = asked().args
    repeated = {name: [REPEATED] for name, values in given.lists() if len(values) > 1}
    if repeated:
        raise InvalidFields(repeated, error_status)
    return _load(schema, given.to_dict(), error_status)


def _load(schema: Schema, raw: dict[str, Any], error_status: int) -> dict[str, Any]:
    try:
        return schema.load(raw)  # type: ignore[no-any-return]
    except ValidationError as error:
        raise InvalidFields(error.messages, error_status) from None


def _read_body() -> Any:
    data = asked().get_data(cache=False)
    _require_whole(data)
    if not data:
        return {}
    if asked().environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body as it is, without Content-Encoding.")
    if asked().environ.get("CONTENT_TYPE") != JSON and not asked().is_json:
        raise UnsupportedMediaType("Send JSON, with Content-Type: application/json.")
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"The body is not JSON that can be read: {error}.") from None
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8.") from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None


def _require_whole(data: bytes) -> None:
    """Raise `BadRequest` for a body that broke off, of which granian passes on the part that came;
    and `RequestEntityTooLarge`.

    Nothing at all would pass for the empty object, and take effect.
    """
    environ = asked().environ
    most = asked().max_content_length or math.inf
    if "HTTP_TRANSFER_ENCODING" in environ and len(data) >= most:
        raise RequestEntityTooLarge  # of which werkzeug passes on as much as is allowed
    length = environ.get("CONTENT_LENGTH") or "0"
    announced = int(length) if length.isdecimal() else 0
    if len(data) < announced or (not data and "HTTP_TRANSFER_ENCODING" in environ):
        raise BadRequest("The body broke off.")
