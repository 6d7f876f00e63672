"""Which events of the catalogue were ever published: a draft that is called off never was."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

PUBLISHED = """
UPDATE catalogue SET published = true
WHERE status NOT IN ('draft', 'cancelled')
    OR (status = 'cancelled' AND EXISTS (
        SELECT 1 FROM events
        WHERE events.stream_id = catalogue.event_id AND events.topic = 'Event.Published'
    ))
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("LOCK TABLE tracking IN EXCLUSIVE MODE")  # no projector writes meanwhile
    missing = sa.Column("published", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("catalogue", missing)
    op.execute(PUBLISHED)
