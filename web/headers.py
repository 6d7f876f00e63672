"""The headers of every answer: its request id, and what browsers may do with it."""

from collections.abc import Callable

from flask import Response

from application import tracing
from application.settings import Settings

NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""The policy for data: a browser that shows it loads, runs and embeds nothing."""

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
    """What adds the headers to an answer; a policy and a caching that a view chose stay.

    Where TLS ends in front of us, `hsts_seconds` makes browsers insist on it.
    """
    always = list(ALWAYS)
    if settings.hsts_seconds:
        always.append(("Strict-Transport-Security", f"max-age={settings.hsts_seconds}"))

    def add(response: Response) -> Response:
        headers = response.headers
        headers.add("X-Request-ID", tracing.request_id())
        for name, value in always:
            headers.add(name, value)
        headers.setdefault("Content-Security-Policy", NOTHING)
        headers.setdefault("Cache-Control", "no-store")
        return response

    return add
