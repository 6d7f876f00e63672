"""Search by the beginnings of words, through an index that works alike in both databases.

`LIKE '%…%'` would read a whole table; words in order of their bytes are read from where they stand.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Index,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    false,
    func,
    or_,
    select,
    type_coerce,
)

from application.store.database import is_postgres
from application.store.tables import text_of
from projections.engine.rows import Rows
from projections.engine.tables import metadata

_WORD = re.compile(r"[^\W_]+")
_ADDRESS = re.compile(r"[\w.+-]+@[\w.-]*")
_LAST = "\U0010ffff"
FEW = 500
LONGEST = 300
"""Characters of all words of a customer, so that they and any of them fit into an index's entry."""
_BYTES = Text().with_variant(Text(collation="C"), "postgresql")


def word_table(name: str) -> Table:
    """A table of the words by which customers are found, each beside all `words` of the customer.

    Its index serves a rare word, its key a frequent one: whoever is listed is looked up there. Who
    has two words that thousands have is seen in the index, at the rarer of them.
    """
    return Table(
        name,
        metadata,
        Column("customer_id", Uuid, primary_key=True),
        Column("word", _BYTES, primary_key=True),
        Column("words", _BYTES, nullable=False, server_default=""),
        Index(f"ix_{name}_word", "word", "words", "customer_id"),
    )


@lru_cache(maxsize=1_000)
def words(*texts: str) -> frozenset[str]:
    """The words of all texts, without case, accents and punctuation; and e-mail addresses whole.

    Several read models ask for those of the same customer, one soon after the other.
    """
    text = plain(" ".join(texts))
    return frozenset((*_WORD.findall(text), *_ADDRESS.findall(text)))


def replace_words(
    rows: Rows, table: Table, customer_id: UUID, before: Iterable[str], after: Iterable[str]
) -> None:
    """From now on the customer is found by the texts `after`, no longer by `before`.

    What is in `before` must be what `after` was the last time.
    """
    old, new = words(*before), words(*after)
    if old == new:
        return
    for word in old:
        rows.remove(table, customer_id=customer_id, word=word)
    together = _together(new)
    for word in new:
        rows.add(table, customer_id=customer_id, word=word, words=together)


def found_by(
    connection: Connection, customer_id: ColumnElement[Any], table: Table, q: str
) -> ColumnElement[bool]:
    """That every word of `q` begins a word of the customer; no word at all finds nobody.

    An address counts as one word, since those that it is made of are everybody's. Of the longest
    word, most likely the rarest, all customers are looked through. When few are found, they are
    named: a database that expects many would read its whole list in order.
    """
    wanted = {*_ADDRESS.findall(plain(q)), *_WORD.findall(_ADDRESS.sub(" ", plain(q)))}
    if not wanted:
        return false()
    longest, *others = sorted(wanted, key=lambda word: (-len(word), word))
    # LIKE reads a text character by character, for twice as long.
    position_of = func.strpos if is_postgres(connection) else func.instr
    found = _having(table, longest).where(*(_also(table, word, position_of) for word in others))
    texts = found.with_only_columns(text_of(table.c.customer_id)).limit(FEW + 1)
    few = connection.execute(texts).scalars().all()
    if len(few) <= FEW:
        return type_coerce(customer_id, Uuid(as_uuid=False)).in_(set(few))
    return customer_id.in_(found)


def _having(table: Table, word: str) -> Select[tuple[UUID]]:
    """Ids of customers with a word that begins with `word`."""
    return select(table.c.customer_id).where(table.c.word.between(word, word + _LAST))


def _also(table: Table, word: str, position_of: Callable[..., Any]) -> ColumnElement[bool]:
    """The customer also has a word beginning with `word`: read from `words`, or looked up where
    that column is empty."""
    return or_(
        position_of(table.c.words, f" {word}") > 0,
        and_(table.c.words == "", table.c.customer_id.in_(_having(table, word))),
    )


def _together(found: frozenset[str]) -> str:
    """The words of a customer in order, each after a blank; empty if that gets too long."""
    text = "".join(f" {word}" for word in sorted(found))
    return text if len(text) <= LONGEST else ""


def plain(text: str) -> str:
    """As it is searched: in small letters, without accents."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    # Letters of other shapes, like those of mathematics, have small ones only once decomposed.
    return "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()
