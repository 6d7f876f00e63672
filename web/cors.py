"""Which web pages of other origins may call the API from a browser: those configured.

There are no cookies, so credentials are never allowed; callers send theirs in a header.
See https://fetch.spec.whatwg.org/#http-cors-protocol.
"""

from collections.abc import Sequence

from flask import Response

from web.current import asked

ANY = "*"
METHODS = "GET, POST, PATCH, PUT, DELETE"
TAKEN = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Turnstile-Position, "
    "X-API-Key, X-Request-ID"
)
EXPOSED = (
    "ETag, Idempotent-Replayed, Location, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, "
    "Retry-After, Turnstile-Position, X-Request-ID"
)
REMEMBERED_SECONDS = 3600


class Cors:
    """Lets pages of these origins (`*`: all) call the application.

    Asked beforehand (a preflight), it answers before anybody looks who is calling: such a request
    carries no credentials.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._every, self._listed = ANY in origins, frozenset(origins)

    def is_preflight(self) -> bool:
        """Whether a browser asks what it may ask for."""
        return asked().method == "OPTIONS" and "Access-Control-Request-Method" in asked().headers

    def answer_preflight(self) -> Response:
        """What it may."""
        return Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": METHODS,
                "Access-Control-Allow-Headers": TAKEN,
                "Access-Control-Max-Age": str(REMEMBERED_SECONDS),
            },
        )

    def add_headers(self, response: Response) -> None:
        """Say whether the page that asked may see the answer, and which of its headers."""
        origin = asked().environ.get("HTTP_ORIGIN")
        if not self._every:
            response.headers.add("Vary", "Origin")
        if self._every or origin in self._listed:
            response.headers.add("Access-Control-Allow-Origin", ANY if self._every else origin)
            response.headers.add("Access-Control-Expose-Headers", EXPOSED)
