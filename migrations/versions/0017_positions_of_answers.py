"""Where a registration, whose answer is kept here, stands in the log."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("access_answers", sa.Column("position", sa.BigInteger))
