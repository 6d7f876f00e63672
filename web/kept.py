"""Answers that grow with the box office and are asked for again and again, by dashboards: each is
made once for as long as the read models that it is made of have not moved."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any
from weakref import WeakKeyDictionary

from flask import Response

from application.composition import Turnstile
from projections.engine.positions import Standing
from web.current import noted, turnstile
from web.encoding import JSON, JSONResponse, encode

MOST = 8
"""Answers that a process keeps; the longest known, of a thousand events, has 300 kB."""

Standings = tuple[Standing, ...]


class _Shelf:
    """The answers of one box office by what was asked, each with where the read models stood."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[Standings, bytes]] = OrderedDict()

    def find(self, asked: Hashable, standings: Standings) -> bytes | None:
        with self._mutex:
            at, body = self._kept.get(asked, ((), b""))
            return body if at == standings else None

    def keep(self, asked: Hashable, standings: Standings, body: bytes) -> None:
        with self._mutex:
            self._kept[asked] = standings, body
            self._kept.move_to_end(asked)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)


_shelves: WeakKeyDictionary[Turnstile, _Shelf] = WeakKeyDictionary()


def kept_while_still(asked: Hashable, make: Callable[[], Any]) -> Response:
    """What `make` answers, in JSON; made anew once one of the read models that the query reads has
    moved. `asked` tells this answer from others, also from those for other callers.

    They are looked up before the answer is made, so that it may be newer, but never older.
    """
    standings, shelf = noted().standings, _shelves.setdefault(turnstile(), _Shelf())
    body = shelf.find(asked, standings)
    if body is None:
        body = encode(make())
        shelf.keep(asked, standings, body)
    return JSONResponse(body, 200, [("Content-Type", JSON)])
