"""How much each payment was, also one that was refused: that is money to give back.

A payment that was taken was of the whole order; of those refused earlier it was not recorded.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

FILL = """
UPDATE order_payments SET amount = (SELECT paid FROM orders WHERE id = order_payments.order_id)
 WHERE refusal IS NULL
"""


def upgrade() -> None:
    op.add_column("order_payments", sa.Column("amount", sa.BigInteger))
    op.execute(FILL)
