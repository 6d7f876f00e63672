"""What a WSGI server starts: `granian --interface wsgi --factory web.wsgi:application`."""

from flask import Flask

from application.composition import compose
from application.logs import configure_logs
from application.runtime import collect_rarely
from application.settings import Settings
from web.app import create_app


def application() -> Flask:
    """The application of this process, as the environment configures it."""
    configure_logs()
    settings = Settings.from_environment()
    settings.require_secrets()
    app = create_app(compose(settings))
    collect_rarely()
    return app
