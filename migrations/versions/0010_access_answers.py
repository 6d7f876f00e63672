"""Answers about accounts, sessions and keys, for who asks again under the same idempotency key."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0010"
down_revision = "0009"

INSTANT = sa.Text().with_variant(TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "access_answers",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("account_id", sa.Uuid, sa.ForeignKey("accounts.id", ondelete="CASCADE")),
        sa.Column("expires_at", INSTANT, nullable=False),
    )
    op.create_index("ix_access_answers_account_id", "access_answers", ["account_id"])
    op.create_index("ix_access_answers_expires_at", "access_answers", ["expires_at"])
