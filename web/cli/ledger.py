"""The commands that sign, verify and prove what was recorded."""

import time
from pathlib import Path
from typing import Any

import click
import msgspec

from application import keys, proofs
from application.checkpoints import Checkpoint, Verified, listing, take_checkpoint, verify
from application.history import KINDS, recorded
from application.store import log
from application.store.log import Entry
from application.store.mapper import Undecodable
from web.cli import printing
from web.cli.console import (
    aggregate_id_of,
    as_json,
    box_office,
    err,
    explained,
    progress,
    show,
    source,
)

LATEST = "latest"
UNPINNED = (
    "Nobody has said that this key is to be trusted. With --public-key KEY, as its owner has"
    " published it, only what that key has signed counts."
)


class _PublicKey(click.ParamType[str]):
    """A public key in hexadecimal digits."""

    name = "key"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not keys.is_key(str(value).lower()):
            self.fail(f"{value!r} is not a public key: 64 hexadecimal digits.", param, ctx)
        return str(value).lower()


_public_key = click.option(
    "--public-key",
    "trusted",
    type=_PublicKey(),
    multiple=True,
    help="Trust what this key has signed, and nothing else. May be given again.",
)


@click.command("new-key")
@click.argument(
    "name",
    type=click.Choice(("CHECKPOINT_KEY", "MASTER_KEY", "SECRET_KEY")),
    default="CHECKPOINT_KEY",
)
def new_key(name: str) -> None:
    """Make a key, and print it as the variable NAME [CHECKPOINT_KEY].

    CHECKPOINT_KEY signs checkpoints; publish its public key. MASTER_KEY wraps the keys of personal
    data: when it is lost, so are they. SECRET_KEY signs what callers show to be let in. Keep them
    where the processes of the box office get their environment from, and nowhere in the
    database's reach.
    """
    made = keys.new_key()
    click.echo(f"{name}={made.private}")
    if name == "CHECKPOINT_KEY":
        click.echo(f"Its public key, for --public-key: {made.public}", err=True)


@click.command("checkpoint")
@as_json("Print it as JSON.")
def checkpoint_(as_json: bool) -> None:
    """Verify what was recorded since the last checkpoint, and sign what the log is now."""
    with explained(), box_office(as_stored=True) as turnstile:
        key = turnstile.settings.checkpoint_key
        if key is None:
            raise click.ClickException(
                "There is no key to sign with: set CHECKPOINT_KEY. 'turnstile new-key' makes one."
            )
        with progress("Verifying what is new", 1) as advance:
            taken = take_checkpoint(turnstile.engine, key, advance)
    if taken is None:
        raise click.ClickException("The log is empty.")
    show(taken, as_json, lambda taken: click.echo(printing.checkpoint(taken)))


@click.command("checkpoints")
@click.option("--limit", type=click.IntRange(1), help="Only so many.")
@as_json("Print JSON, for 'verify --checkpoints'.")
def checkpoints_(limit: int | None, as_json: bool) -> None:
    """Show the checkpoints, the newest first.

    Keep a copy where nobody who can change the database can change it too.
    """
    with box_office(as_stored=True) as turnstile, turnstile.engine.connect() as connection:
        stored = listing(connection, limit)
    show(stored, as_json, printing.checkpoints_table)


@click.command("verify")
@click.option(
    "--from",
    "since",
    metavar="POSITION",
    help="Start at the checkpoint of this position, or at the 'latest'.",
)
@click.option(
    "--checkpoints",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Checkpoints that were kept elsewhere, as 'checkpoints --json' prints them.",
)
@_public_key
@as_json()
def verify_(since: str | None, file: Path | None, trusted: tuple[str, ...], as_json: bool) -> None:
    """Follow the whole log and name the first position that is not what was recorded.

    The log has to agree with every checkpoint. They have to be signed by one of the keys
    given, else by that of CHECKPOINT_KEY, else by whichever key they name.
    """
    with explained(), box_office(as_stored=True) as turnstile:
        own = turnstile.settings.checkpoint_public_key
        trusted = trusted or ((own,) if own else ())
        known = _read_checkpoints(file) if file else []
        began = time.monotonic()
        with progress("Verifying the log", 1) as advance:
            done = verify(
                turnstile.engine,
                trusted=trusted,
                known=known,
                since=_position(turnstile, since),
                progress=advance,
            )
        seconds = time.monotonic() - began
    show(
        {"verified": done, "seconds": round(seconds, 3)},
        as_json,
        lambda found: _print_verified(done, seconds, trusted),
    )


def _print_verified(done: Verified, seconds: float, trusted: tuple[str, ...]) -> None:
    click.echo(printing.verified(done, seconds))
    if done.checkpoints and not trusted:
        click.echo(UNPINNED)


@click.command("prove")
@click.argument("kind", type=click.Choice(sorted(KINDS)))
@click.argument("reference", metavar="ID")
@source
@click.option("-o", "--output", type=click.File("w", atomic=True), default="-", help="A file.")
def prove_(kind: str, reference: str, source: str | None, output: Any) -> None:
    """Export the history of an event, order, ticket or customer with a proof of it.

    It goes up to the latest checkpoint. 'turnstile check-proof' checks it anywhere. Secrets are
    not in it, only their hashes.
    """
    aggregate_id = aggregate_id_of(kind, reference, source)
    with explained(), box_office() as turnstile, turnstile.engine.connect() as connection:
        own = turnstile.settings.checkpoint_public_key
        proof = proofs.prove(connection, kind, aggregate_id, public_key=own)
        later = log.read_stream(connection, aggregate_id, after=len(proof.events))
    output.write(printing.json_text(proof) + "\n")
    if later:
        err.print(
            f"{len(later):,} later events are not in it, which no checkpoint covers yet.",
            style="yellow",
        )


@click.command("check-proof")
@click.argument("file", type=click.File("rb"))
@_public_key
@as_json()
def check_proof(file: Any, trusted: tuple[str, ...], as_json: bool) -> None:
    """Check a proof, without any database, and show what it proves.

    These events were recorded, as they stand here, before the checkpoint was signed, and none
    before the last of them is left out. Later ones may have been withheld.
    """
    with explained():
        proof = proofs.read_proof(file.read())
        history = [_shown(entry) for entry in proofs.check(proof, trusted)]
    shown = {"kind": proof.kind, "id": proof.id, "checkpoint": proof.checkpoint}
    show(
        {**shown, "history": history},
        as_json,
        lambda found: _print_proven(proof, history, trusted),
    )


def _shown(entry: Entry) -> dict[str, Any]:
    """Where a scan's own metadata has a secret with a quotation mark in it, what is left when
    secrets are replaced by their hashes is no JSON."""
    try:
        return recorded(entry)
    except Undecodable:
        as_hashed = msgspec.json.encode({"as_hashed": entry.payload}).decode()
        return recorded(entry._replace(payload=as_hashed))


def _print_proven(
    proof: proofs.Proof, history: list[dict[str, Any]], trusted: tuple[str, ...]
) -> None:
    printing.timeline(proof.kind, proof.id, history, None, None)
    click.echo(printing.proven(proof))
    if not trusted:
        click.echo(UNPINNED)


COMMANDS = (
    new_key,
    checkpoint_,
    checkpoints_,
    verify_,
    prove_,
    check_proof,
)


def _position(turnstile: Any, since: str | None) -> int | None:
    if since is None or since.isdigit():
        return None if since is None else int(since)
    if since != LATEST:
        raise click.UsageError(f"--from takes a position or {LATEST!r}, not {since!r}.")
    with turnstile.engine.connect() as connection:
        stored = listing(connection, 1)
    if not stored:
        raise click.ClickException("There is no checkpoint yet.")
    return stored[0].position


def _read_checkpoints(file: Path) -> list[Checkpoint]:
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=list[Checkpoint] | Checkpoint)
    except ValueError as error:
        raise click.ClickException(f"{file} does not hold checkpoints: {error}.") from None
    return kept if isinstance(kept, list) else [kept]
