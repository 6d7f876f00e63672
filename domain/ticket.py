"""The life of a ticket: issued, transferred, admitted and let out, or voided.

Refused scans and transfers are recorded as well: they are evidence.
"""

import hmac
from bisect import bisect, insort
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, ClassVar
from uuid import UUID

from eventsourcing.domain import event as records

from domain.aggregate import Aggregate, FirstFact
from domain.errors import TicketVoid
from domain.limits import CLOCKS_DIFFER

FORCEABLE = ("already_redeemed", "blocked", "invalid_time")
_AFTER_ALL = datetime.max.replace(tzinfo=UTC)
_by_time = attrgetter("at")


@dataclass(frozen=True)
class Scan:
    """One attempt at a gate, as the scanner reported it."""

    event_id: UUID
    type: str = "entry"
    scanner_id: str = ""
    location: str = ""
    device_info: str = ""
    forced: bool = False
    additional_metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Secret:
    """A ticket's secret, which is its present one until the next."""

    text: str
    since: datetime


@dataclass(frozen=True)
class Passage:
    """Somebody came in, or went out."""

    at: datetime
    goes_in: bool


@dataclass(frozen=True)
class Block:
    """How long a ticket is blocked."""

    since: datetime
    until: datetime | None = None

    def holds(self, at: datetime) -> bool:
        return self.since <= at and (self.until is None or at < self.until)


class Ticket(Aggregate):
    TOPIC: ClassVar[str] = "Ticket"
    class_version = 5
    event_id: UUID
    ticket_type_id: UUID
    order_id: UUID
    holder_id: UUID
    secrets: list[Secret]
    reentry: bool
    voided_at: datetime | None
    blocks: list[Block]
    inside: bool
    passages: list[Passage]
    admissions: int

    class Issued(FirstFact):
        TOPIC = "Ticket.Issued"
        event_id: UUID
        ticket_type_id: UUID
        order_id: UUID
        holder_id: UUID
        secret: str
        reentry: bool

    class Transferred(Aggregate.Event):
        TOPIC = "Ticket.Transferred"
        event_id: UUID
        from_customer_id: UUID
        to_customer_id: UUID
        secret: str
        reason: str

    class TransferRefused(Aggregate.Event):
        TOPIC = "Ticket.TransferRefused"
        event_id: UUID
        from_customer_id: UUID
        to_customer_id: UUID
        reason: str
        refusal: str

    class Admitted(Aggregate.Event):
        TOPIC = "Ticket.Admitted"
        ticket_type_id: UUID
        scan: Scan

    class LetOut(Aggregate.Event):
        TOPIC = "Ticket.LetOut"
        ticket_type_id: UUID
        scan: Scan

    class ScanRefused(Aggregate.Event):
        TOPIC = "Ticket.ScanRefused"
        ticket_type_id: UUID
        scan: Scan
        reason: str

    class Blocked(Aggregate.Event):
        TOPIC = "Ticket.Blocked"
        event_id: UUID
        reason: str

    class Unblocked(Aggregate.Event):
        TOPIC = "Ticket.Unblocked"
        event_id: UUID

    class Voided(Aggregate.Event):
        TOPIC = "Ticket.Voided"
        event_id: UUID
        reason: str

    def __init__(
        self,
        event_id: UUID,
        ticket_type_id: UUID,
        order_id: UUID,
        holder_id: UUID,
        secret: str,
        reentry: bool,
    ) -> None:
        self.event_id = event_id
        self.ticket_type_id = ticket_type_id
        self.order_id = order_id
        self.holder_id = holder_id
        self.secrets = [Secret(secret, self.created_on)]
        self.reentry = reentry
        self.voided_at = None
        self.blocks = []
        self.inside = False
        self.passages = []
        self.admissions = 0

    @classmethod
    def issue(
        cls,
        ticket_id: UUID,
        *,
        event_id: UUID,
        ticket_type_id: UUID,
        order_id: UUID,
        holder_id: UUID,
        secret: str,
        reentry: bool,
        now: datetime,
    ) -> "Ticket":
        return cls._create(
            cls.Issued,
            id=ticket_id,
            event_id=event_id,
            ticket_type_id=ticket_type_id,
            order_id=order_id,
            holder_id=holder_id,
            secret=secret,
            reentry=reentry,
            timestamp=now,
        )

    def transfer(
        self, to_customer_id: UUID, secret: str, reason: str, *, why_not: str | None, now: datetime
    ) -> str | None:
        """Hand the ticket over under a new secret; a refusal is recorded, and returned.

        `why_not` is what speaks against it outside of the ticket.
        """
        refusal = self._why_not_transferable(to_customer_id) or why_not
        if refusal is not None:
            self._transfer_refused(
                event_id=self.event_id,
                from_customer_id=self.holder_id,
                to_customer_id=to_customer_id,
                reason=reason,
                refusal=refusal,
                timestamp=now,
            )
            return refusal
        self._transferred(
            event_id=self.event_id,
            from_customer_id=self.holder_id,
            to_customer_id=to_customer_id,
            secret=secret,
            reason=reason,
            timestamp=now,
        )
        return None

    @records(Transferred)
    def _transferred(
        self,
        event_id: UUID,
        from_customer_id: UUID,
        to_customer_id: UUID,
        secret: str,
        reason: str,
        timestamp: datetime,
    ) -> None:
        self.holder_id = to_customer_id
        self.secrets.append(Secret(secret, timestamp))

    @records(TransferRefused)
    def _transfer_refused(
        self,
        event_id: UUID,
        from_customer_id: UUID,
        to_customer_id: UUID,
        reason: str,
        refusal: str,
        timestamp: datetime,
    ) -> None:
        """A refusal changes nothing."""

    def present(
        self,
        scan: Scan,
        secret: str | None,
        *,
        why_not: str | None,
        now: datetime,
        told_at: datetime | None = None,
    ) -> str | None:
        """Try to pass the gate; a refusal is recorded, and its reason returned.

        `secret` is None when the staff looked the ticket up; `why_not` is what speaks
        against it outside of the ticket. `told_at` is when it was, by a scanner that tells of it
        late; without it the present counts, whatever the clocks of two servers say.
        """
        refusal = self._why_not_admissible(scan, secret, why_not, told_at)
        if refusal is not None:
            self._scan_refused(
                ticket_type_id=self.ticket_type_id, scan=scan, reason=refusal, timestamp=now
            )
            return refusal
        pass_gate = self._let_out if scan.type == "exit" else self._admitted
        pass_gate(ticket_type_id=self.ticket_type_id, scan=scan, timestamp=now)
        return None

    @records(Admitted)
    def _admitted(self, ticket_type_id: UUID, scan: Scan, timestamp: datetime) -> None:
        self.admissions += 1
        self._pass(Passage(timestamp, goes_in=True))

    @records(LetOut)
    def _let_out(self, ticket_type_id: UUID, scan: Scan, timestamp: datetime) -> None:
        self._pass(Passage(timestamp, goes_in=False))

    def _pass(self, passage: Passage) -> None:
        self.inside, _ = after_passage(self.inside, self.passed_at, passage.goes_in, passage.at)
        insort(self.passages, passage, key=_by_time)

    @records(ScanRefused)
    def _scan_refused(
        self, ticket_type_id: UUID, scan: Scan, reason: str, timestamp: datetime
    ) -> None:
        """A refusal changes nothing."""

    def block(self, reason: str, now: datetime) -> None:
        if self.status == "voided":
            raise TicketVoid
        if not self.blocked:
            self._blocked(event_id=self.event_id, reason=reason, timestamp=now)

    @records(Blocked)
    def _blocked(self, event_id: UUID, reason: str, timestamp: datetime) -> None:
        self.blocks.append(Block(timestamp))

    def unblock(self, now: datetime) -> None:
        if self.blocked:
            self._unblocked(event_id=self.event_id, timestamp=now)

    @records(Unblocked)
    def _unblocked(self, event_id: UUID, timestamp: datetime) -> None:
        if self.blocks:  # as of a time by clocks that differ, the block may not have come yet
            self.blocks[-1] = replace(self.blocks[-1], until=timestamp)

    def void(self, reason: str, now: datetime) -> None:
        if self.status != "voided":
            self._voided(event_id=self.event_id, reason=reason, timestamp=now)

    @records(Voided)
    def _voided(self, event_id: UUID, reason: str, timestamp: datetime) -> None:
        self.voided_at = timestamp

    @property
    def status(self) -> str:
        """Either "issued" or "voided"; a ticket may be blocked besides."""
        return "issued" if self.voided_at is None else "voided"

    @property
    def blocked(self) -> bool:
        return bool(self.blocks) and self.blocks[-1].until is None

    @property
    def passed_at(self) -> datetime | None:
        """When the latest passage was, whichever was told last."""
        return self.passages[-1].at if self.passages else None

    @property
    def secret(self) -> str:
        """The present one."""
        return self.secrets[-1].text

    @property
    def old_secrets(self) -> list[str]:
        """Those of earlier holders."""
        return [secret.text for secret in self.secrets[:-1]]

    def knows(self, secret: str) -> bool:
        """Whether `secret` is or ever was a secret of this ticket."""
        return any(_same(secret, mine.text) for mine in self.secrets)

    def shown_since(self, secret: str | None) -> datetime:
        """Since when somebody can show this secret, or the ticket where it is looked up."""
        return self._present_one(secret)[0]

    def _why_not_transferable(self, to_customer_id: UUID) -> str | None:
        if self.status == "voided":
            return "canceled"
        if self.blocked:
            return "blocked"
        if self.admissions:
            return "already_redeemed"
        if to_customer_id == self.holder_id:
            return "same_holder"
        return None

    def _why_not_admissible(
        self, scan: Scan, secret: str | None, why_not: str | None, at: datetime | None
    ) -> str | None:
        """The first objection that stands; staff may override some, but never what is behind."""
        overridden = FORCEABLE if scan.forced else ()
        objections = (*self._objections(scan, secret, at), why_not)
        return next((reason for reason in objections if reason not in overridden), None)

    def _objections(self, scan: Scan, secret: str | None, at: datetime | None) -> Iterator[str]:
        """What was true at the time counts; without one, the present."""
        at = at or _AFTER_ALL
        _, until = self._present_one(secret)
        if until is not None and at >= until:
            yield "revoked"
        if scan.event_id != self.event_id:
            yield "product"
        yield from self._no_way_out(at) if scan.type == "exit" else self._no_way_in(at)

    def _present_one(self, secret: str | None) -> tuple[datetime, datetime | None]:
        """Since and until when this is the present secret. What never was one is so at no time, and
        who is looked up by id needs none."""
        since, *later = (mine.since for mine in self.secrets)
        if secret is None:
            return since, None
        for mine, until in zip(self.secrets, (*later, None), strict=True):
            if _same(secret, mine.text):
                return mine.since, until
        return since, since

    def _no_way_out(self, at: datetime) -> Iterator[str]:
        """Whoever is inside may leave, whatever became of the ticket meanwhile."""
        if self._out_of_turn(Passage(at, goes_in=False)):
            yield "invalid"

    def _no_way_in(self, at: datetime) -> Iterator[str]:
        if self.voided_at is not None and at >= self.voided_at:
            yield "canceled"
        if any(block.holds(at) for block in self.blocks):
            yield "blocked"
        if self._out_of_turn(Passage(at, goes_in=True)) or (self.admissions and not self.reentry):
            yield "already_redeemed"

    def _out_of_turn(self, passage: Passage) -> bool:
        """Whether somebody would come in who is inside, or go out who is not; well before the
        latest passage, the one before it and the one after it tell."""
        if self.passed_at is None or passage.at >= self.passed_at - CLOCKS_DIFFER:
            return self.inside == passage.goes_in
        place = bisect(self.passages, passage.at, key=_by_time)
        before = place > 0 and self.passages[place - 1].goes_in
        return passage.goes_in in (before, self.passages[place].goes_in)


def after_passage(
    was_inside: bool, passed_at: datetime | None, went_in: bool, at: datetime
) -> tuple[bool, datetime]:
    """Whether somebody is inside, and when they last passed a gate, after a passage at that time.

    The latest tells where they are, not one before it of which a scanner tells late, or again. Of
    two that clocks may have put in the wrong order, the way in counts: nobody gets in twice.
    """
    if passed_at is None:
        return went_in, at
    since = passed_at - CLOCKS_DIFFER if went_in else passed_at
    return went_in if at >= since else was_inside, max(at, passed_at)


def _same(shown: str, mine: str) -> bool:
    """Compare in constant time; as bytes, since anybody may show anything."""
    return hmac.compare_digest(shown.encode(errors="replace"), mine.encode())
