"""Customers' keys; what names a customer rests nowhere but in the log and the read models."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "customer_keys",
        sa.Column("customer_id", sa.Uuid, primary_key=True),
        sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
    )
    op.execute("DELETE FROM snapshots WHERE topic = 'Customer'")
    op.execute(_EMPTY_ANSWERS[op.get_bind().dialect.name])


# The answers of imports are kept for ever, and nobody asks what was in them. Those of requests
# are forgotten within a day.
_EMPTY_ANSWERS = {
    "postgresql": """
        UPDATE idempotency SET answer = jsonb_set(answer::jsonb, '{body}', '{}')::text
         WHERE expires_at IS NULL AND scope LIKE 'import:%' AND answer LIKE '%"email":%'
    """,
    "sqlite": """
        UPDATE idempotency SET answer = json_set(answer, '$.body', json('{}'))
         WHERE expires_at IS NULL AND scope LIKE 'import:%' AND answer LIKE '%"email":%'
    """,
}
