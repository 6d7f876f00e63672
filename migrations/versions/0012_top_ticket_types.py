"""The list of top ticket types in the whole of its order: among equals it read all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

TABLE, NAME = "ticket_type_sales", "ix_ticket_type_sales_units_sold"


def upgrade() -> None:
    for index in sa.inspect(op.get_bind()).get_indexes(TABLE):
        if str(index["name"]).startswith(NAME):  # a rebuild names it anew
            op.drop_index(str(index["name"]), TABLE)
    op.create_index(NAME, TABLE, [sa.text("units_sold DESC"), "name", "ticket_type_id"])
