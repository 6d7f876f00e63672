"""The metadata of all read models, and the engine's own tables."""

from sqlalchemy import BigInteger, Column, Float, Index, MetaData, Table, Text, Uuid

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
    Index("ix_parked_events_stream_id", "read_model", "stream_id", "position"),
)
"""Events that a handler could not take, and those behind them on the same stream."""

comparisons = Table(
    "comparisons",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("read_model", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("equal", BigInteger, nullable=False),
    Column("missing", BigInteger, nullable=False),
    Column("extra", BigInteger, nullable=False),
    Column("different", BigInteger, nullable=False),
    Column("parked_before", BigInteger, nullable=False),
    Column("parked_after", BigInteger, nullable=False),
    Column("started_at", UTCDateTime, nullable=False),
    Column("compared_at", UTCDateTime, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("swapped_at", UTCDateTime),
    Column("tables", Text, nullable=False),
    Index("ix_comparisons_read_model", "read_model", "compared_at"),
)
"""What rebuilds found in the live rows; `tables` is JSON, a `TableComparison` for each."""
