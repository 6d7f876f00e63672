"""Events are found whether or not accents are typed, as customers are."""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

catalogue = sa.table("catalogue", sa.column("event_id"), sa.column("search_text"))


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.execute("LOCK TABLE tracking IN EXCLUSIVE MODE")  # no projector writes meanwhile
    for event_id, text in connection.execute(sa.select(catalogue)).all():
        if not text.isascii():
            mine = catalogue.c.event_id == event_id
            connection.execute(sa.update(catalogue).where(mine).values(search_text=_plain(text)))


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c))
