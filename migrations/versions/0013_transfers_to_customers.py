"""What was transferred to a customer is found by them: it was looked for among all transfers."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_index("ix_gate_transfers_to_user_id", "gate_transfers", ["to_user_id"])
