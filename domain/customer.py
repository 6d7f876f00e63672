"""The life of a customer: registered, changed, erased."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from eventsourcing.domain import event as records

from domain.aggregate import Aggregate, FirstFact
from domain.errors import CustomerErased, InvalidCustomer
from domain.limits import LONGEST_ADDRESS, SHORT, require_length

_country_form = re.compile("([A-Z]{2})?").fullmatch


@dataclass(frozen=True)
class Profile:
    """Who a customer is; `country` is an ISO 3166-1 alpha-2 code, or empty."""

    name: str
    email: str
    phone: str = ""
    country: str = ""


ERASED = Profile(name="erased", email="")
"""What is left of a customer who was erased."""


class Customer(Aggregate):
    TOPIC: ClassVar[str] = "Customer"
    profile: Profile
    role: str
    erased: bool

    class Registered(FirstFact):
        TOPIC = "Customer.Registered"
        profile: Profile
        role: str

    class Changed(Aggregate.Event):
        TOPIC = "Customer.Changed"
        profile: Profile

    class Erased(Aggregate.Event):
        TOPIC = "Customer.Erased"

    def __init__(self, profile: Profile, role: str) -> None:
        self.profile = profile
        self.role = role
        self.erased = False

    @classmethod
    def register(
        cls, customer_id: UUID, profile: Profile, now: datetime, role: str = "attendee"
    ) -> "Customer":
        _require_sound(profile)
        return cls._create(
            cls.Registered, id=customer_id, profile=profile, role=role, timestamp=now
        )

    def change(self, profile: Profile, now: datetime) -> None:
        self.require_not_erased()
        _require_sound(profile)
        if profile != self.profile:
            self._changed(profile=profile, timestamp=now)

    @records(Changed)
    def _changed(self, profile: Profile, timestamp: datetime) -> None:
        self.profile = profile

    def erase(self, now: datetime) -> None:
        if not self.erased:
            self._erased(timestamp=now)

    @records(Erased)
    def _erased(self, timestamp: datetime) -> None:
        self.profile = ERASED
        self.erased = True

    def require_not_erased(self) -> None:
        """Raise `CustomerErased` for a customer who left."""
        if self.erased:
            raise CustomerErased


def _require_sound(profile: Profile) -> None:
    if not profile.name.strip():
        raise InvalidCustomer("A customer has a name.", "name")
    for what in ("name", "phone"):
        require_length(what, getattr(profile, what), SHORT, InvalidCustomer)
    require_length("e-mail address", profile.email, LONGEST_ADDRESS, InvalidCustomer)
    if not _country_form(profile.country):
        raise InvalidCustomer(f"{profile.country!r} is no ISO 3166 code, like 'GB'.", "country")
