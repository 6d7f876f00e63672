"""Which web pages of other origins may call the API from a browser: those configured.

There are no cookies, so credentials are never allowed; callers send theirs in a header.
See https://fetch.spec.whatwg.org/#http-cors-protocol.
"""

from collections.abc import Sequence

from flask import Flask, Response, request

ANY = "*"
METHODS = "GET, POST, PATCH, PUT, DELETE"
TAKEN = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Turnstile-Position, "
    "X-Actor, X-API-Key, X-Request-ID"
)
EXPOSED = (
    "ETag, Idempotent-Replayed, Location, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, "
    "Retry-After, Turnstile-Position, X-RateLimit-Limit, X-RateLimit-Remaining, "
    "X-RateLimit-Reset, X-Request-ID"
)
REMEMBERED_SECONDS = 3600


def allow(app: Flask, origins: Sequence[str]) -> None:
    """Let pages of these origins (`*`: all) call `app`.

    Asked beforehand (a preflight), it answers before anybody looks who is calling: such a request
    carries no credentials.
    """
    every, listed = ANY in origins, frozenset(origins)

    def answer_preflight() -> Response | None:
        asked = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        return _preflight() if asked else None

    def add(response: Response) -> Response:
        origin = request.environ.get("HTTP_ORIGIN")
        if not every:
            response.headers.add("Vary", "Origin")
        if every or origin in listed:
            response.headers.add("Access-Control-Allow-Origin", ANY if every else origin)
            response.headers.add("Access-Control-Expose-Headers", EXPOSED)
        return response

    app.before_request(answer_preflight)
    app.after_request(add)


def _preflight() -> Response:
    return Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": TAKEN,
            "Access-Control-Max-Age": str(REMEMBERED_SECONDS),
        },
    )
