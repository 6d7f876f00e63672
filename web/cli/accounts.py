"""Commands about who may come in: accounts of people, and keys of gates and services."""

import sys
from datetime import UTC, datetime, timedelta
from uuid import UUID

import click
from rich.table import Table
from rich.text import Text
from sqlalchemy import select

from application.access import accounts, api_keys
from application.access.identity import ADMIN, ATTENDEE, AUDITOR, GATE, ORGANIZER, SCOPES, SERVICE
from application.store.tables import api_keys as keys_table
from web.cli import printing
from web.cli.console import box_office, err
from web.owners import require_owned
from web.permissions import require_usable

COMMAND_LINE = "command line"


def _password(given: bool) -> str:
    """From standard input when it is given there, else asked for twice."""
    if given:
        return sys.stdin.readline().rstrip("\n")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input."
)


@click.command()
@click.argument("email")
@password_stdin
def create_admin(email: str, password_stdin: bool) -> None:
    """Make an account for EMAIL that may do everything; it asks for a password."""
    _create_account(email, ADMIN, None, password_stdin)


@click.command()
@click.argument("email")
@click.option(
    "--role",
    type=click.Choice([ORGANIZER, AUDITOR, ATTENDEE]),
    required=True,
    help="What the account is for.",
)
@click.option(
    "--subject",
    type=click.UUID,
    help="The id of the customer who an attendee is, or of an organizer who has events already.",
)
@password_stdin
def create_account(email: str, role: str, subject: UUID | None, password_stdin: bool) -> None:
    """Make an account for EMAIL; it asks for a password."""
    _create_account(email, role, subject, password_stdin)


def _create_account(email: str, role: str, subject: UUID | None, given: bool) -> None:
    if "@" not in email:
        raise click.BadParameter("This is no e-mail address.", param_hint="EMAIL")
    with box_office() as turnstile:
        made = accounts.create(turnstile.access, email, _password(given), role, subject)
    err.print(f"The {role}'s account is {made.id}.", markup=False)
    if role == ORGANIZER:
        err.print(f"They act for the organizer {made.subject_id}.", markup=False)


@click.command()
@click.argument("name")
@click.option("--gate", "events", type=click.UUID, multiple=True, help="An event it scans for.")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, help="What it may do.")
@click.option("--all-scopes", is_flag=True, help="It may do all that a service may.")
@click.option("--organizer", type=click.UUID, help="Only for this organizer's events.")
@click.option("--days", type=click.IntRange(1, 36_500), help="It ends after so many days.")
def create_key(
    name: str,
    events: tuple[UUID, ...],
    scopes: tuple[str, ...],
    all_scopes: bool,
    organizer: UUID | None,
    days: int | None,
) -> None:
    """Make a key called NAME, for a gate (--gate) or a service (--scope), and print it, once.

    The key goes to standard output, everything else to standard error.
    """
    role, granted = GATE if events else SERVICE, SCOPES if all_scopes else scopes
    ends = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with box_office() as turnstile, turnstile.access.changing() as connection:
        key, secret = api_keys.create(
            connection,
            name=name,
            role=role,
            created_by=COMMAND_LINE,
            subject_id=organizer,
            event_ids=events,
            scopes=granted,
            expires_at=ends,
        )
        require_owned(connection, events, organizer)
        require_usable(granted, organizer)
    err.print(f"The key's id is {key.id}; it is shown this once:", markup=False)
    click.echo(secret)


@click.command()
def keys() -> None:
    """List the keys that were made, revoked ones too."""
    with box_office() as turnstile, turnstile.engine.connect() as connection:
        rows = connection.execute(select(keys_table).order_by(keys_table.c.id)).mappings()
        made = [api_keys.read(row) for row in rows]
    table = Table(box=None, pad_edge=False)
    table.add_column("id", no_wrap=True)
    for column in ("name", "for", "made (UTC)", "state"):
        table.add_column(column, overflow="fold")
    for key in made:
        limits = list(key.scopes) or [str(event_id) for event_id in key.event_ids]
        if set(limits) == set(SCOPES):
            limits = ["all scopes"]
        made_at = key.created_at.strftime(printing.SHORT_TIME)
        purpose = f"{key.role}: {', '.join(limits)}"
        name = Text(printing.printable(key.name))
        table.add_row(str(key.id), name, purpose, made_at, _state(key))
    printing.out.print(table)


@click.command()
@click.argument("key_id", type=click.UUID)
def revoke_key(key_id: UUID) -> None:
    """Let nobody in with that key any more."""
    with box_office() as turnstile, turnstile.access.changing() as connection:
        key = api_keys.revoke(connection, key_id)
    err.print(f"The key {key.name!r} is revoked.", markup=False)


def _state(key: api_keys.ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "good until revoked"
    ended = key.expires_at <= datetime.now(UTC)
    return f"{'ended' if ended else 'good until'} {key.expires_at.strftime(printing.SHORT_TIME)}"


COMMANDS = (create_admin, create_account, create_key, keys, revoke_key)
