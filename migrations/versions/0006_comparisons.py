"""What rebuilds found in the live rows; parked events by stream, for a retry."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

INSTANT = sa.Text().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "comparisons",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("read_model", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("equal", sa.BigInteger, nullable=False),
        sa.Column("missing", sa.BigInteger, nullable=False),
        sa.Column("extra", sa.BigInteger, nullable=False),
        sa.Column("different", sa.BigInteger, nullable=False),
        sa.Column("parked_before", sa.BigInteger, nullable=False),
        sa.Column("parked_after", sa.BigInteger, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("compared_at", INSTANT, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("swapped_at", INSTANT),
        sa.Column("tables", sa.Text, nullable=False),
    )
    op.create_index("ix_comparisons_read_model", "comparisons", ["read_model", "compared_at"])
    op.create_index(
        "ix_parked_events_stream_id", "parked_events", ["read_model", "stream_id", "position"]
    )
