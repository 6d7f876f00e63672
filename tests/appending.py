"""Appending to the log by itself, where no command is asked for."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from application.store.log import Head, NewEntry, write
from application.store.sealing import Keys
from application.store.writes import writes_to


def append(
    connection: Connection, head: Head, new: Sequence[NewEntry], recorded_at: datetime
) -> Head:
    """Append `new` behind the locked `head`, at once; the new head. Raises what `write` raises."""
    with writes_to(connection) as writes:
        return write(writes, head, new, recorded_at, Keys(connection))
