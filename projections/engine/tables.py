"""The metadata of all read models, and the engine's own tables."""

from sqlalchemy import BigInteger, Column, MetaData, Table, Text, Uuid

from application.store.tables import UTCDateTime

metadata = MetaData()

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("runs_until", BigInteger, nullable=False),
)
"""Who runs a projection; `runs_until` in seconds since 1970 by the database's clock."""

parked = Table(
    "parked_events",
    metadata,
    Column("read_model", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("stream_id", Uuid, nullable=False),
    Column("error", Text, nullable=False),
    Column("parked_at", UTCDateTime, nullable=False),
)
"""Events that a handler could not take, and those behind them on the same stream."""
