"""When whoever holds a ticket last passed a gate: the latest passage tells where they are."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0015"
down_revision = "0014"

INSTANT = sa.Text().with_variant(TIMESTAMP(timezone=True), "postgresql")
FILL = """
UPDATE tickets SET passed_at = (
       SELECT max(occurred_at) FROM events
        WHERE stream_id = tickets.id AND topic IN ('Ticket.Admitted', 'Ticket.LetOut'))
 WHERE admissions > 0
"""


def upgrade() -> None:
    op.add_column("tickets", sa.Column("passed_at", INSTANT))
    op.execute(FILL)
