"""Deciding the commands of one batch, one after another, before anything of it is durable."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, cast

import structlog
from sqlalchemy.exc import DBAPIError

from application.store import answers
from application.store.answers import StoredAnswer
from application.store.batch import Batch
from application.store.work import Answer, Command, Key, Outcome, Work
from domain.errors import DomainError, Forbidden, IdempotencyKeyReused, Stale

NOT_KEPT = (Forbidden, Stale)
"""Refusals of somebody to whom the key is nothing, and of a version that is not the latest, after
which the same may be asked with another."""

logger = structlog.get_logger(__name__)


@dataclass
class Decided:
    """What one command came to, before it is durable.

    `offset` is that of its last event from the start of the batch; None when it had none.
    `replayed` tells that the batch has it from an earlier command, sent with the same key.
    """

    outcome: Outcome
    offset: int | None = None
    replayed: bool = False

    def durable(self, first: int, head: int) -> Outcome:
        """The outcome, once the batch's first event has the position `first`."""
        if isinstance(self.outcome, DomainError):
            return self._refusal(first)
        if isinstance(self.outcome, Exception) or self.outcome.replayed:
            return self.outcome
        at = head if self.offset is None else first + self.offset
        return Answer(self.outcome.body, at, self.replayed)

    def _refusal(self, first: int) -> DomainError:
        refusal: Any = copy(self.outcome) if self.replayed else self.outcome
        refusal.replayed = refusal.replayed or self.replayed
        if self.offset is not None:
            refusal.position = first + self.offset
        return cast(DomainError, refusal)

    def to_keep(self, first: int, head: int) -> StoredAnswer | None:
        """What to keep under the command's keys; None after a bug, so that it can be retried."""
        outcome = self.durable(first, head)
        if isinstance(outcome, DomainError):
            at, recorded = outcome.position or head, outcome.position is not None
            return StoredAnswer(at, None, outcome.rule(), outcome.detail, outcome.field, recorded)
        if isinstance(outcome, Exception):
            return None
        return StoredAnswer(outcome.position, outcome.body)


Fresh = dict[tuple[str, str], tuple[Key, Decided]]
"""What commands with a key came to in this batch, by scope and key."""


def decide_all(
    batch: Batch, commands: Sequence[Command], kept: answers.Kept
) -> tuple[list[Decided], Fresh]:
    """What each command came to, in order; what was `kept` under its keys is not decided again."""
    fresh: Fresh = {}
    decided = []
    for command in commands:
        item = _replay(command, kept, fresh)
        if item is not None and any(key.is_shared for key in command.keys):
            item = _refuse(batch, command) or item
        if item is None:
            item = _decide(batch, command)
            if not isinstance(item.outcome, NOT_KEPT):
                fresh.update({(key.scope, key.key): (key, item) for key in command.keys})
        decided.append(item)
    return decided, fresh


def _decide(batch: Batch, command: Command) -> Decided:
    work = _work(batch, command)
    outcome: Outcome
    before = len(batch.entries)
    try:
        _permit(command, work)
        shown = command.decide(work, **command.arguments)
        outcome = shown if isinstance(shown, DomainError) else Answer(command.present(shown), 0)
        batch.accept(work, command.context.metadata())
    except DomainError as refusal:
        batch.undo(work)
        return Decided(refusal)
    except DBAPIError:
        raise
    except Exception as error:
        batch.undo(work)
        # Whoever leads the batch works for another request.
        asked = command.context.request_id
        logger.exception("command.failed", command=command.name, request_id=asked)
        return Decided(error)
    after = len(batch.entries)
    return Decided(outcome, after - 1 if after > before else None)


def _work(batch: Batch, command: Command) -> Work:
    return Work(
        command.context,
        batch.fetch,
        batch.prefetch,
        batch.since,
        command.target,
        command.expected_version,
    )


def _permit(command: Command, work: Work) -> None:
    if command.permit is not None:
        command.permit(replace(work, target=None))  # a version is not for everybody


def _refuse(batch: Batch, command: Command) -> Decided | None:
    """The refusal of who may not do this; None for who may."""
    try:
        _permit(command, _work(batch, command))
    except DomainError as refusal:
        return Decided(refusal)
    return None


def _replay(command: Command, kept: answers.Kept, fresh: Fresh) -> Decided | None:
    """What the command came to when it was sent before; None when it is new."""
    for key in command.keys:
        name = (key.scope, key.key)
        try:
            if name in kept:
                return Decided(kept[name].answer_to(key).give())
            if name in fresh:
                first_key, item = fresh[name]
                first_key.require_same(key)
                return replace(item, replayed=True)
        except IdempotencyKeyReused as refusal:
            return Decided(refusal)
    return None


def to_keep(fresh: Fresh, first: int, head: int) -> Iterator[tuple[Key, StoredAnswer]]:
    """What to keep under which key, now that the batch's positions are known."""
    for key, item in fresh.values():
        stored = item.to_keep(first, head)
        if stored is not None:
            yield key, stored
