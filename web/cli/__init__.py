"""The `turnstile` command: run the box office, move in, replay, rebuild."""

import click

from web.cli import accounts, demo, history, ledger, moving, privacy, read_models, running

ROOMS = (running, demo, moving, read_models, history, ledger, accounts, privacy)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="turnstile")
def main() -> None:
    """An event-sourced box office: it sells, transfers and admits tickets, and can prove it.

    The database is that of DATABASE_URL (default: the SQLite file turnstile.db here, with
    everything in one process). With PostgreSQL, set REDIS_URL as well, for the jobs.
    """


for _room in ROOMS:
    for _command in _room.COMMANDS:
        main.add_command(_command)
