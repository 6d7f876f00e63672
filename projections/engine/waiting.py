"""Waiting until a read model has seen a position: woken, not polling."""

from application.composition import Turnstile
from application.store.signals import READ_MODELS
from projections.engine.positions import positions


def wait_for(turnstile: Turnstile, name: str, position: int, timeout: float) -> bool:
    """Whether the read model has reached `position` within `timeout` seconds."""

    def reached() -> int | None:
        with turnstile.engine.connect() as connection:
            at = positions(connection, [name]).get(name, 0)
        return at if at >= position else None

    return turnstile.signals.wait_for(READ_MODELS, reached, timeout) is not None
