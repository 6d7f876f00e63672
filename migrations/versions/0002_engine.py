"""The projection engine's leases and parked events, and the jobs of the workers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

INSTANT = sa.Text().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("runs_until", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "parked_events",
        sa.Column("read_model", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("stream_id", sa.Uuid, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("parked_at", INSTANT, nullable=False),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("requested_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT),
    )
    op.create_index("ix_jobs_subject", "jobs", ["kind", "subject", "requested_at"])
