"""Use cases of an organizer: make an event, change it, and lead it through its life."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from application.store.work import Work
from domain.errors import AlreadyExists, within
from domain.event import Details, Event, Terms


def create_event(
    work: Work, event_id: UUID, details: Details, ticket_types: Sequence[tuple[UUID, Terms]]
) -> Event:
    if work.find(Event, event_id) is not None:
        raise AlreadyExists(f"There is an event {event_id} already.")
    event = Event.draft(event_id, details, work.now)
    for number, (ticket_type_id, terms) in enumerate(ticket_types):
        with within(f"ticket_types.{number}"):
            event.add_ticket_type(ticket_type_id, terms, work.now)
    work.save(event)
    return event


def change_event(work: Work, event_id: UUID, changes: dict[str, Any]) -> Event:
    event = work.load(Event, event_id)
    event.change(replace(event.details, **changes), work.now)
    work.save(event)
    return event


def add_ticket_type(work: Work, event_id: UUID, ticket_type_id: UUID, terms: Terms) -> Event:
    event = work.load(Event, event_id)
    event.add_ticket_type(ticket_type_id, terms, work.now)
    work.save(event)
    return event


def change_ticket_type(
    work: Work, event_id: UUID, ticket_type_id: UUID, changes: dict[str, Any]
) -> Event:
    event = work.load(Event, event_id)
    terms = event.ticket_type(ticket_type_id).terms
    event.change_ticket_type(ticket_type_id, replace(terms, **changes), work.now)
    work.save(event)
    return event


def publish_event(work: Work, event_id: UUID) -> Event:
    event = work.load(Event, event_id)
    event.publish(work.now)
    work.save(event)
    return event


def start_event(work: Work, event_id: UUID) -> Event:
    event = work.load(Event, event_id)
    event.start(work.now)
    work.save(event)
    return event


def complete_event(work: Work, event_id: UUID) -> Event:
    event = work.load(Event, event_id)
    event.complete(work.now)
    work.save(event)
    return event


def cancel_event(work: Work, event_id: UUID, reason: str = "") -> Event:
    event = work.load(Event, event_id)
    event.cancel(reason, work.now)
    work.save(event)
    return event
