"""Search by the beginnings of words, through an index that works alike in both databases.

`LIKE '%…%'` would read a whole table; words in order of their bytes are read from where they stand.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Index,
    Table,
    Text,
    Uuid,
    and_,
    false,
    select,
)

from projections.engine.rows import Rows
from projections.engine.tables import metadata

_WORD = re.compile(r"[^\W_]+")
_ADDRESS = re.compile(r"[\w.+-]+@[\w.-]*")
_LAST = "\U0010ffff"
FEW = 500
_BYTES = Text().with_variant(Text(collation="C"), "postgresql")


def word_table(name: str) -> Table:
    """A table of the words by which customers are found.

    Its key serves a rare word, its index a frequent one: whoever is listed is looked up there.
    """
    return Table(
        name,
        metadata,
        Column("word", _BYTES, primary_key=True),
        Column("customer_id", Uuid, primary_key=True),
        Index(f"ix_{name}_customer_id", "customer_id", "word"),
    )


@lru_cache(maxsize=1_000)
def words(*texts: str) -> frozenset[str]:
    """The words of all texts, without case, accents and punctuation; and e-mail addresses whole.

    Several read models ask for those of the same customer, one soon after the other.
    """
    plain = _plain(" ".join(texts))
    return frozenset((*_WORD.findall(plain), *_ADDRESS.findall(plain)))


def replace_words(
    rows: Rows, table: Table, customer_id: UUID, before: Iterable[str], after: Iterable[str]
) -> None:
    """From now on the customer is found by the texts `after`, no longer by `before`.

    What is in `before` must be what `after` was the last time.
    """
    old, new = words(*before), words(*after)
    for word in old - new:
        rows.remove(table, word=word, customer_id=customer_id)
    for word in new - old:
        rows.add(table, word=word, customer_id=customer_id)


def found_by(
    connection: Connection, customer_id: ColumnElement[Any], table: Table, q: str
) -> ColumnElement[bool]:
    """That every word of `q` begins a word of the customer; no word at all finds nobody.

    An address counts as one word, since those that it is made of are everybody's. When few are
    found, they are named: a database that expects many would read its whole list in order.
    """
    wanted = {*_ADDRESS.findall(_plain(q)), *_WORD.findall(_ADDRESS.sub(" ", _plain(q)))}
    if not wanted:
        return false()
    each = [
        select(table.c.customer_id).where(table.c.word.between(word, word + _LAST))
        for word in sorted(wanted)
    ]
    conditions = [table.c.customer_id.in_(others) for others in each[1:]]
    few = connection.execute(each[0].where(*conditions).limit(FEW + 1)).scalars().all()
    if len(few) <= FEW:
        return customer_id.in_(set(few))
    return and_(*(customer_id.in_(found) for found in each))


def _plain(text: str) -> str:
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))
