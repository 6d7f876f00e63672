"""Beside each word of a customer all of them, so that two frequent words are found in one index."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

TABLES = ("customer_words", "order_customer_words", "ticket_holder_words")
BYTES = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
LONGEST = 300

KEPT = """
CREATE TEMPORARY TABLE kept AS
SELECT {table}.customer_id, word, CASE WHEN length(words) <= {longest} THEN words ELSE '' END
FROM {table} JOIN (
    SELECT customer_id, ' ' || {joined}(word, ' ') AS words
    FROM (SELECT customer_id, word FROM {table} ORDER BY customer_id, word) AS in_order
    GROUP BY customer_id
) AS together ON together.customer_id = {table}.customer_id
"""


def upgrade() -> None:
    on_postgres = op.get_bind().dialect.name == "postgresql"
    if on_postgres:
        op.execute("LOCK TABLE tracking IN EXCLUSIVE MODE")  # no projector writes meanwhile
    joined = "string_agg" if on_postgres else "group_concat"
    for table in TABLES:
        op.execute(KEPT.format(table=table, longest=LONGEST, joined=joined))
        op.drop_table(table)
        op.create_table(
            table,
            sa.Column("customer_id", sa.Uuid, primary_key=True),
            sa.Column("word", BYTES, primary_key=True),
            sa.Column("words", BYTES, nullable=False, server_default=""),
        )
        op.execute(f"INSERT INTO {table} SELECT * FROM kept")  # nosec B608 # names only
        op.execute("DROP TABLE kept")
        op.create_index(f"ix_{table}_word", table, ["word", "words", "customer_id"])
