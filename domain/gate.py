"""What is shown at a gate without being a ticket: kept as evidence on a stream of its own."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from eventsourcing.domain import event as records

from domain.aggregate import Aggregate, FirstFact
from domain.ids import derived_id
from domain.ticket import Scan


class Unmatched(Aggregate):
    """A secret, or the id of a ticket never issued, that somebody presented at a gate.

    The stream's id is derived from what was shown, so that attempts with the same forgery
    stand together; the secret itself is not kept.
    """

    TOPIC: ClassVar[str] = "Unmatched"
    attempts: int

    class Presented(FirstFact):
        TOPIC = "Unmatched.Presented"
        scan: Scan
        reason: str
        ticket_id: UUID | None

    class PresentedAgain(Aggregate.Event):
        TOPIC = "Unmatched.PresentedAgain"
        scan: Scan
        reason: str
        ticket_id: UUID | None

    def __init__(self) -> None:
        self.attempts = 1

    @staticmethod
    def id_for(shown: str) -> UUID:
        return derived_id("unmatched", shown)

    @classmethod
    def present(
        cls, shown: str, scan: Scan, reason: str, ticket_id: UUID | None, now: datetime
    ) -> "Unmatched":
        return cls._create(
            cls.Presented,
            id=cls.id_for(shown),
            scan=scan,
            reason=reason,
            ticket_id=ticket_id,
            timestamp=now,
        )

    def present_again(self, scan: Scan, reason: str, ticket_id: UUID | None, now: datetime) -> None:
        self._presented_again(scan=scan, reason=reason, ticket_id=ticket_id, timestamp=now)

    @records(PresentedAgain)
    def _presented_again(
        self, scan: Scan, reason: str, ticket_id: UUID | None, timestamp: datetime
    ) -> None:
        self.attempts += 1
