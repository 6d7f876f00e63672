"""Who a caller is, once their credentials are known."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from domain.errors import DomainError

ANONYMOUS: Final = "anonymous"
ATTENDEE: Final = "attendee"
ORGANIZER: Final = "organizer"
AUDITOR: Final = "auditor"
ADMIN: Final = "admin"
GATE: Final = "gate"
SERVICE: Final = "service"

OF_PEOPLE = (ATTENDEE, ORGANIZER, AUDITOR, ADMIN)
"""Roles of accounts."""
OF_KEYS = (GATE, SERVICE)
"""Roles of API keys."""

SCOPES = (
    "events:read",
    "events:write",
    "customers:read",
    "customers:write",
    "orders:read",
    "orders:write",
    "tickets:read",
    "tickets:write",
    "checkins:write",
    "stats:read",
    "log:read",
    "metrics:read",
    "projections:write",
)
"""What the key of a service may be made for."""


class Unauthorized(DomainError):
    """The credentials are missing, wrong, expired or revoked."""

    title = "Nobody is known by these credentials"


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller: a person by their account, a device or service by its key, or nobody.

    `subject_id` is the customer that an attendee is, or the organizer that an organizer (or a
    key of theirs) acts for; a service without one acts for the whole box office. `event_ids` are
    the events of a gate's key, `scopes` what the key of a service is for.
    """

    role: str
    id: UUID | None = None
    subject_id: UUID | None = None
    event_ids: frozenset[UUID] = frozenset()
    scopes: frozenset[str] = frozenset()

    @property
    def actor(self) -> str:
        """What events record of them: the role and the id, never a name."""
        return self.role if self.id is None else f"{self.role}:{self.id}"

    @property
    def organizer_id(self) -> UUID | None:
        """The organizer that they act for, if for one."""
        return self.subject_id if self.role in (ORGANIZER, SERVICE) else None


NOBODY = Identity(ANONYMOUS)
