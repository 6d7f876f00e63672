"""The routes, one file per subject."""

from web.blueprint import Blueprint
from web.routes import (
    accounts,
    api_keys,
    checkins,
    customers,
    events,
    figures,
    health,
    log,
    orders,
    projections,
    stats,
    ticket_types,
    tickets,
)

ROUTES: tuple[Blueprint, ...] = (
    events.blueprint,
    ticket_types.blueprint,
    customers.blueprint,
    orders.blueprint,
    tickets.blueprint,
    checkins.blueprint,
    stats.blueprint,
    figures.blueprint,
    log.blueprint,
    projections.blueprint,
    accounts.blueprint,
    api_keys.blueprint,
    health.blueprint,
)
