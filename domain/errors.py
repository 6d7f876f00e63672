"""The rules of the box office, as errors: each is named after the rule it defends."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class DomainError(Exception):
    """A rule of the box office said no.

    `detail` explains it to the person who asked; `rule` names it for programs.
    """

    title: ClassVar[str] = "The command was refused"
    replayed = False
    """Whether this is the stored refusal of a command that was sent before."""
    position: int | None = None
    """Where in the log it stands what was refused; None when that is not recorded."""

    def __init__(self, detail: str = "", field: str = "") -> None:
        """`field` is the one to blame of what was asked, like `ticket_types.0.price`, if one is."""
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.field = field

    @classmethod
    def rule(cls) -> str:
        """The rule's name in kebab case, as it ends the `type` of a problem document."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    @classmethod
    def kinds(cls) -> Iterator[type["DomainError"]]:
        """Every error below this one that has been imported by now."""
        for child in cls.__subclasses__():
            yield child
            yield from child.kinds()


class Invalid(DomainError):
    """What was asked makes no sense, whatever the state."""

    title = "This makes no sense"


@contextmanager
def within(field: str) -> Iterator[None]:
    """Tell what is invalid in there as of `field`, or as of a field of it."""
    try:
        yield
    except Invalid as error:
        error.field = f"{field}.{error.field}" if error.field else field
        raise


class NotFound(DomainError):
    """What was asked about does not exist."""

    title = "There is no such thing"


class Forbidden(DomainError):
    """The caller may not do this."""

    title = "The caller may not do this"


class Conflict(DomainError):
    """What was asked does not fit the present state."""


class Stale(DomainError):
    """The caller acted on a version that is no longer the latest."""

    title = "It has changed since you read it"


class InvalidMoney(Invalid):
    title = "Not an amount of money in a known currency"


class InvalidEvent(Invalid):
    title = "The event's details do not fit together"


class InvalidTicketType(Invalid):
    title = "The ticket type's terms do not fit together"


class InvalidCustomer(Invalid):
    title = "The customer's profile cannot be taken"


class InvalidOrder(Invalid):
    title = "The order's lines do not fit the ticket types"


class InvalidTime(Invalid):
    title = "This cannot have happened at that time"


class AlreadyExists(Conflict):
    title = "It exists already"


class NothingToSell(Conflict):
    title = "An event needs a ticket type before it is published"


class EventOver(Conflict):
    title = "The event is over"


class EventCancelled(Conflict):
    title = "The event is cancelled"


class NotOnSale(Conflict):
    title = "Tickets are not on sale"


class SoldOut(Conflict):
    title = "Not enough tickets are left"


class BelowCommitted(Conflict):
    title = "More tickets than that are held or sold already"


class CurrencyFixed(Conflict):
    title = "The currency is fixed once the event has ticket types"


class WrongEventStatus(Conflict):
    title = "The event's status does not allow this"


class WrongOrderStatus(Conflict):
    title = "The order's status does not allow this"


class HoldExpired(Conflict):
    title = "The hold has expired"


class HoldStillRuns(Conflict):
    title = "The hold has not expired yet"


class AlreadyPaid(Conflict):
    title = "The order was paid by another payment"


class AmountMismatch(Conflict):
    title = "The amount paid is not the order's total"


class TransferRefused(Conflict):
    title = "The ticket cannot be transferred"


class TicketVoid(Conflict):
    title = "The ticket is void"


class CustomerErased(Conflict):
    title = "The customer was erased"


class IdempotencyKeyReused(Invalid):
    title = "This idempotency key was used for another request"
