"""The commands about personal data: erase, keep for so long, and carry the keys elsewhere."""

import os

import click

from application import keys
from application.backup import opened
from application.composition import Turnstile
from application.customers import erase_customer
from application.key_backup import export_keys, import_keys, rewrap_keys
from application.presenting import show_customer
from application.store.vault import Vault
from application.store.work import Command, Context
from web.cli.console import aggregate_id_of, box_office, err, explained, source
from workers import retention

OLD_KEY = "OLD_MASTER_KEY"


@click.command("erase-customer")
@click.argument("reference", metavar="ID")
@source
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase_customer_(reference: str, source: str | None, yes: bool) -> None:
    """Erase who a customer is, for ever: name, e-mail address and phone number.

    Orders, tickets and figures stay. Doing it again changes nothing.
    """
    customer_id = aggregate_id_of("customer", reference, source)
    if not yes:
        click.confirm(f"Erase who {customer_id} is? It cannot be undone.", abort=True)
    with box_office() as turnstile:
        context = Context(actor="command-line")
        arguments = {"customer_id": customer_id}
        answer = turnstile.executor.execute(
            Command(erase_customer, arguments, context, show_customer)
        )
    click.echo(f"{customer_id} is erased, at position {answer.position:,}.")


@click.command("retention")
@click.option("--dry-run", is_flag=True, help="Only say how many it would be.")
def retention_(dry_run: bool) -> None:
    """Erase customers who have done nothing for RETENTION_DAYS, as the reactor does every hour.

    That is no registration, change, order, transfer or refund for so long, counted from the end of
    each event that they hold a ticket for, or have paid for.
    """
    with box_office() as turnstile:
        days = turnstile.settings.retention_days
        if days is None:
            raise click.ClickException("RETENTION_DAYS is not set: customers are kept for ever.")
        try:
            number = retention.count_idle(turnstile)
        except retention.Postponed as error:
            raise click.ClickException(f"Nobody would be erased at present. {error}") from None
        if not dry_run:
            number = retention.erase_idle(turnstile)
    would = "would be" if dry_run else "were"
    click.echo(f"{number:,} customers {would} erased, who did nothing for {days:,} days.")


@click.command("export-keys")
@click.argument("file")
def export_keys_(file: str) -> None:
    """Write the keys of personal data to FILE (- for stdout), wrapped by MASTER_KEY.

    Without them a log that 'import-log' has restored shows everybody as erased. Whoever has this
    file, MASTER_KEY and an old log can read who was erased since: keep only the newest.
    """
    with explained(), box_office(as_stored=True) as turnstile, opened(file, "wb") as output:
        number = export_keys(turnstile.engine, output.write)
    err.print(
        f"{number:,} keys, which open with the MASTER_KEY that wrapped them only.", highlight=False
    )


@click.command("import-keys")
@click.argument("file")
def import_keys_(file: str) -> None:
    """Restore the keys that 'export-keys' wrote to FILE (- for stdin), with the same MASTER_KEY.

    Keys of customers whom the log here knows to be erased are left out. Rebuild the read models
    afterwards, if they were made without the keys.
    """
    with explained(), box_office(migrate=True) as turnstile, opened(file, "rb") as lines:
        done = import_keys(turnstile.engine, lines)
    err.print(
        f"{done.added:,} keys added; {done.present:,} were there,"
        f" {done.erased:,} are of customers who were erased.",
        highlight=False,
    )


@click.command("rewrap-keys")
def rewrap_keys_() -> None:
    """Change the master key: wrap by MASTER_KEY what OLD_MASTER_KEY has wrapped.

    End all other processes before, and start them with the new one afterwards.
    """
    old = os.environ.get(OLD_KEY, "")
    if not keys.is_key(old):
        raise click.ClickException(f"{OLD_KEY} is not a key: 64 hexadecimal digits.")
    with box_office(as_stored=True) as turnstile:
        _require_secrets(turnstile)
        number = rewrap_keys(turnstile.engine, Vault(old))
    click.echo(f"{number:,} keys open with the new MASTER_KEY now.")


def _require_secrets(turnstile: Turnstile) -> None:
    try:
        turnstile.settings.require_secrets()
    except ValueError as error:
        raise click.ClickException(str(error)) from None


COMMANDS = (erase_customer_, retention_, export_keys_, import_keys_, rewrap_keys_)
