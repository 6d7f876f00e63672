"""JSON by msgspec, which writes ids and times by itself and is several times faster."""

from typing import Any

import msgspec
from flask import Response
from flask.json.provider import JSONProvider
from werkzeug.datastructures import Headers

JSON = "application/json"

encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class JSONResponse(Response):
    """An answer whose headers are complete as they are."""

    def get_wsgi_headers(self, environ: Any) -> Headers:
        return self.headers


class MsgspecProvider(JSONProvider):
    """What `flask.json` and the test client use."""

    def dumps(self, obj: Any, **_: Any) -> str:
        return encode(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:
        return _decode(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        return json_response(self._prepare_response_obj(args, kwargs))


def json_response(body: Any, status: int = 200, mimetype: str = JSON) -> Response:
    """An answer with that body."""
    return JSONResponse(encode(body), status, [("Content-Type", mimetype)])
