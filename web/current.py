"""The box office that the current application serves."""

from typing import cast

from flask import current_app

from application.composition import Turnstile

EXTENSION = "turnstile"


def turnstile() -> Turnstile:
    """What `create_app` was given."""
    return cast(Turnstile, current_app.extensions[EXTENSION])
