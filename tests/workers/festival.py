"""A real festival's record in a database, and what a database holds."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, inspect, select, text, update

import migrations
from application.composition import Turnstile, compose
from application.importing import Importer, Refusal
from application.settings import Settings
from application.store.database import writing
from application.store.tables import tracking
from projections.engine.positions import positions
from projections.engine.projector import Projector
from projections.engine.read_model import ReadModel
from projections.engine.tables import leases
from projections.registry import READ_MODELS

RECORD = Path(__file__).parents[3] / "shared" / "data" / "emf2016" / "record.jsonl"
"""It lies beside the repository, and is read there."""
SOURCE = "emf"
NAMES = [model.name for model in READ_MODELS]

Rows = dict[str, list[str]]


@cache
def record() -> list[bytes]:
    """The record's lines."""
    if not RECORD.exists():
        raise FileNotFoundError(f"The festival's record is missing; it should be {RECORD}")
    return RECORD.read_bytes().splitlines()


@contextmanager
def box_office(url: str, redis_url: str | None = None) -> Iterator[Turnstile]:
    """A box office on that database, migrated."""
    turnstile = compose(Settings(database_url=url, redis_url=redis_url))
    with closing(turnstile):
        migrations.upgrade(turnstile.engine)
        yield turnstile


def import_lines(turnstile: Turnstile, lines: Iterable[bytes]) -> None:
    """Import those lines of the record; none is refused."""
    refused: list[Refusal] = []
    for _ in Importer(turnstile, SOURCE, refused.append).run(lines):
        pass
    assert not refused


def import_record(url: str) -> None:
    """Import the whole record into that database, and let every read model take it."""
    with box_office(url) as turnstile:
        import_lines(turnstile, record())
        Projector(turnstile).catch_up()


def rows_of(turnstile: Turnstile, models: Iterable[ReadModel] = READ_MODELS) -> Rows:
    """Every row of the read models' tables, by table, in an order of their own."""
    tables = [table for model in models for table in model.tables]
    with turnstile.engine.connect() as connection:
        return {
            table.name: sorted(repr(tuple(row)) for row in connection.execute(select(table)))
            for table in tables
        }


def shape_of(turnstile: Turnstile) -> dict[str, Any]:
    """Every table with its columns, keys and what its indexes index, whatever their names."""
    inspector = inspect(turnstile.engine)
    return {
        table: {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"])
                for column in inspector.get_columns(table)
            ],
            "key": inspector.get_pk_constraint(table)["constrained_columns"],
            "indexes": sorted(
                f"{index.get('expressions') or index['column_names']} {index['unique']}"
                for index in inspector.get_indexes(table)
            ),
        }
        for table in inspector.get_table_names()
    }


def reached(turnstile: Turnstile, names: list[str] = NAMES) -> int:
    """The position that all those read models have reached."""
    with turnstile.engine.connect() as connection:
        at = positions(connection, names)
    return min((at.get(name, 0) for name in names), default=0)


def forget_read_models(turnstile: Turnstile) -> None:
    """Empty every read model, as if the log were all there is."""
    with writing(turnstile.engine) as connection:
        for model in READ_MODELS:
            for table in model.tables:
                connection.execute(delete(table))
        connection.execute(delete(tracking))
        connection.execute(delete(leases))


def let_leases_run_out(connection: Connection) -> None:
    """As if their time had passed, which it does while nobody renews them."""
    connection.execute(update(leases).values(runs_until=0))


def count(connection: Connection, table: str) -> int:
    return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())
