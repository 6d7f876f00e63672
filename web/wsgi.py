"""What a WSGI server starts: `granian --interface wsgi --factory web.wsgi:application`."""

from contextlib import suppress

from flask import Flask
from sqlalchemy.exc import DBAPIError

from application.composition import compose
from application.logs import configure_logs
from application.runtime import collect_rarely
from application.settings import Settings
from application.store.sealing import require_master_key
from web.app import create_app


def application() -> Flask:
    """The application of this process, as the environment configures it.

    Raises `ValueError` or `WrongMasterKey` for a secret that must not be served with.
    """
    configure_logs()
    settings = Settings.from_environment()
    settings.require_secrets()
    turnstile = compose(settings)
    # A database that is down, or empty yet, is for /health/ready to tell of.
    with suppress(DBAPIError), turnstile.engine.connect() as connection:
        require_master_key(connection)
    app = create_app(turnstile)
    collect_rarely()
    return app
