"""The headers of every answer: its request id, and what browsers may do with it."""

from collections.abc import Callable

from flask import Response

from application import tracing
from application.settings import Settings
from web.encoding import JSONResponse

NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""The policy for data: a browser that shows it loads, runs and embeds nothing."""

FOR_DATA = [("Content-Security-Policy", NOTHING), ("Cache-Control", "no-store")]
ALWAYS = [
    # Keeps the WSGI server from naming itself.
    ("Server", "turnstile"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]

Add = Callable[[Response], Response]


def added_by(settings: Settings) -> Add:
    """What adds the headers to an answer; what a page has chosen for itself stays.

    Where TLS ends in front of us, `hsts_seconds` makes browsers insist on it.
    """
    always = list(ALWAYS)
    if settings.hsts_seconds:
        always.append(("Strict-Transport-Security", f"max-age={settings.hsts_seconds}"))
    of_data = [*always, *FOR_DATA]

    def add(response: Response) -> Response:
        headers = response.headers
        headers.add("X-Request-ID", tracing.request_id())
        # JSON chooses nothing for itself; to look would cost as much as to add.
        is_data = isinstance(response, JSONResponse)
        for name, value in of_data if is_data else always:
            headers.add(name, value)
        if not is_data:
            for name, value in FOR_DATA:
                headers.setdefault(name, value)
        return response

    return add
