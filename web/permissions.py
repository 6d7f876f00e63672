"""Who may do what: every route has its rule here, named after what it allows.

A rule is a list of grants, of which one must fit the caller. A grant may say what a thing must
belong to; commands are held to it under the lock that they are decided under, queries before
they are answered. A list narrows down to what belongs to the caller.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import UUID

from flask import Flask
from sqlalchemy import Connection

from application.access.identity import (
    ADMIN,
    ANONYMOUS,
    ATTENDEE,
    AUDITOR,
    GATE,
    OF_KEYS,
    OF_PEOPLE,
    ORGANIZER,
    SERVICE,
    Identity,
    Unauthorized,
)
from application.history import KINDS
from application.store.work import Work
from domain.errors import Forbidden, Invalid
from web.caller import caller
from web.current import asked, noted
from web.owners import Asking, Deciding, Owners

Ids = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """Something named by `id_name`, and whether it belongs to a caller.

    A list without that id shows what `within` (a filter of the list) leaves of it. What is
    `optional` is looked at only where it is named.
    """

    id_name: str
    belongs: Callable[[Identity, UUID, Owners], bool]
    within: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class Grant:
    """Callers of that role, and keys with that scope, may, where every target is theirs."""

    role: str
    targets: tuple[Target, ...] = ()
    scope: str | None = None

    def fits(self, identity: Identity) -> bool:
        """Whether the caller is one of those; what they ask for is looked at later."""
        if self.scope is None:
            return identity.role == self.role
        bound = identity.subject_id is not None
        known = self.scope in identity.scopes
        return identity.role == self.role and known and not (bound and not self.targets)

    def targets_for(self, identity: Identity) -> tuple[Target, ...]:
        """What must be theirs: nothing for a service of the whole box office."""
        return () if identity.role == SERVICE and identity.subject_id is None else self.targets


Rule = tuple[Grant, ...]

own_events = Target(
    "event_id", lambda who, id_, owners: owners.organizer_of(id_) == who.subject_id, "organizer_id"
)
own_organizer = Target("organizer_id", lambda who, id_, _: id_ == who.subject_id)
kept_organizer = Target("organizer_id", own_organizer.belongs, optional=True)
orders_of_own_events = Target(
    "order_id",
    lambda who, id_, owners: owners.organizer_of(owners.order(id_)[1]) == who.subject_id,
)
tickets_of_own_events = Target(
    "ticket_id",
    lambda who, id_, owners: owners.organizer_of(owners.ticket(id_)[1]) == who.subject_id,
)
own_self = Target("customer_id", lambda who, id_, _: id_ == who.subject_id, "customer_id")
own_orders = Target("order_id", lambda who, id_, owners: owners.order(id_)[0] == who.subject_id)
own_tickets = Target("ticket_id", lambda who, id_, owners: owners.ticket(id_)[0] == who.subject_id)
events_of_the_gate = Target(
    "event_id",
    # Whoever made the key for their events may have given one away since.
    lambda who, id_, owners: (
        id_ in who.event_ids and who.subject_id in (None, owners.organizer_of(id_))
    ),
)


def attendees(*targets: Target) -> Grant:
    return Grant(ATTENDEE, targets)


def organizers(*targets: Target) -> Grant:
    return Grant(ORGANIZER, targets)


def gates(*targets: Target) -> Grant:
    return Grant(GATE, targets)


def services(scope: str, *targets: Target) -> Grant:
    """Keys with that scope; the targets hold for those that are made for one organizer."""
    return Grant(SERVICE, targets, scope)


admins, auditors = Grant(ADMIN), Grant(AUDITOR)

ANYBODY: Rule = tuple(Grant(role) for role in (ANONYMOUS, *OF_PEOPLE, *OF_KEYS))
WHOEVER_LOGGED_IN: Rule = tuple(Grant(role) for role in OF_PEOPLE)

MAKE_OWN_EVENTS: Rule = (
    admins,
    organizers(own_organizer),
    services("events:write", own_organizer),
)
RUN_OWN_EVENTS: Rule = (
    admins,
    organizers(own_events, kept_organizer),
    services("events:write", own_events, kept_organizer),
)
FOLLOW_SALES_OF_OWN_EVENTS: Rule = (
    admins,
    auditors,
    organizers(own_events),
    services("stats:read", own_events),
)
SEE_WHO_COMES_TO_OWN_EVENTS: Rule = (
    admins,
    organizers(own_events),
    services("tickets:read", own_events),
)

REGISTER_CUSTOMERS: Rule = (admins, services("customers:write"))
CHANGE_ONESELF: Rule = (admins, attendees(own_self), services("customers:write"))
LOOK_CUSTOMERS_UP: Rule = (admins, services("customers:read"))
LOOK_ONESELF_UP: Rule = (admins, attendees(own_self), services("customers:read"))

ORDER_FOR_ONESELF: Rule = (
    admins,
    attendees(own_self),
    organizers(own_events),
    services("orders:write", own_events),
)
CANCEL_OWN_ORDERS: Rule = (
    admins,
    attendees(own_orders),
    organizers(orders_of_own_events),
    services("orders:write", orders_of_own_events),
)
TAKE_AND_GIVE_BACK_MONEY: Rule = (
    # Not the attendee: a payment is reported by who received it.
    admins,
    organizers(orders_of_own_events),
    services("orders:write", orders_of_own_events),
)
LIST_OWN_ORDERS: Rule = (
    admins,
    attendees(own_self),
    organizers(own_events),
    services("orders:read", own_events),
)
SEE_OWN_ORDERS: Rule = (
    admins,
    attendees(own_orders),
    organizers(orders_of_own_events),
    services("orders:read", orders_of_own_events),
)

HAND_OWN_TICKETS_OVER: Rule = (
    admins,
    attendees(own_tickets),
    organizers(tickets_of_own_events),
    services("tickets:write", tickets_of_own_events),
)
BLOCK_TICKETS_OF_OWN_EVENTS: Rule = (
    admins,
    organizers(tickets_of_own_events),
    services("tickets:write", tickets_of_own_events),
)
SEE_OWN_TICKETS: Rule = (
    admins,
    attendees(own_tickets),
    organizers(tickets_of_own_events),
    services("tickets:read", tickets_of_own_events),
)
SCAN_AT_OWN_GATES: Rule = (
    admins,
    gates(events_of_the_gate),
    organizers(own_events),
    services("checkins:write", own_events),
)

READ_THE_LOG: Rule = (admins, auditors, services("log:read"))
WATCH_THE_WORKERS: Rule = (admins, auditors, services("metrics:read"))
RUN_THE_WORKERS: Rule = (admins, services("projections:write"))
RUN_THE_BOX_OFFICE: Rule = (admins,)
MAKE_KEYS: Rule = (admins, organizers())

RULES: dict[str, Rule] = {
    "events.create_event": MAKE_OWN_EVENTS,
    "events.change_event": RUN_OWN_EVENTS,
    "events.publish_event": RUN_OWN_EVENTS,
    "events.start_event": RUN_OWN_EVENTS,
    "events.complete_event": RUN_OWN_EVENTS,
    "events.cancel_event": RUN_OWN_EVENTS,
    "events.list_events": ANYBODY,  # but what was never published: `sees_drafts`
    "events.get_event": ANYBODY,
    "events.summarize_events": FOLLOW_SALES_OF_OWN_EVENTS,
    "events.list_low_capacity": FOLLOW_SALES_OF_OWN_EVENTS,
    "events.get_sales": FOLLOW_SALES_OF_OWN_EVENTS,
    "ticket types.add_ticket_type": RUN_OWN_EVENTS,
    "ticket types.change_ticket_type": RUN_OWN_EVENTS,
    "ticket types.list_top_ticket_types": FOLLOW_SALES_OF_OWN_EVENTS,
    "customers.register_customer": REGISTER_CUSTOMERS,
    "customers.change_customer": CHANGE_ONESELF,
    "customers.erase_customer": CHANGE_ONESELF,
    "customers.export_customer": LOOK_ONESELF_UP,
    "customers.list_customers": LOOK_CUSTOMERS_UP,
    "customers.get_customer": LOOK_ONESELF_UP,
    "customers.get_customer_statistics": LOOK_ONESELF_UP,
    "orders.place_order": ORDER_FOR_ONESELF,
    "orders.pay_order": TAKE_AND_GIVE_BACK_MONEY,
    "orders.cancel_order": CANCEL_OWN_ORDERS,
    "orders.refund_order": TAKE_AND_GIVE_BACK_MONEY,
    "orders.list_orders": LIST_OWN_ORDERS,
    "orders.get_order": SEE_OWN_ORDERS,
    "tickets.transfer_ticket": HAND_OWN_TICKETS_OVER,
    "tickets.block_ticket": BLOCK_TICKETS_OF_OWN_EVENTS,
    "tickets.unblock_ticket": BLOCK_TICKETS_OF_OWN_EVENTS,
    "tickets.get_ticket": SEE_OWN_TICKETS,
    "tickets.list_attendees": SEE_WHO_COMES_TO_OWN_EVENTS,
    "check-ins.check_in": SCAN_AT_OWN_GATES,
    "stats.get_stats": FOLLOW_SALES_OF_OWN_EVENTS,
    "stats.get_daily_stats": FOLLOW_SALES_OF_OWN_EVENTS,
    "stats.get_hourly_stats": FOLLOW_SALES_OF_OWN_EVENTS,
    "stats.list_scans": FOLLOW_SALES_OF_OWN_EVENTS,
    "stats.list_transfers": FOLLOW_SALES_OF_OWN_EVENTS,
    "stats.list_invalid_attempts": FOLLOW_SALES_OF_OWN_EVENTS,
    "figures.get_figures": FOLLOW_SALES_OF_OWN_EVENTS,
    "figures.list_figure_sources": READ_THE_LOG,
    **{
        f"log.get_{kind}_{view}": READ_THE_LOG
        for kind in KINDS
        for view in ("history", "as_of", "diff", "proof")
    },
    "log.get_log": READ_THE_LOG,
    "log.list_checkpoints": READ_THE_LOG,
    "projections.list_projections": WATCH_THE_WORKERS,
    "projections.get_projection": WATCH_THE_WORKERS,
    "projections.rebuild_projection": RUN_THE_WORKERS,
    "projections.retry_projection": RUN_THE_WORKERS,
    "accounts.register_account": ANYBODY,
    "accounts.log_in": ANYBODY,
    "accounts.refresh_tokens": ANYBODY,
    "accounts.log_out": WHOEVER_LOGGED_IN,
    "accounts.change_password": WHOEVER_LOGGED_IN,
    "accounts.change_email": WHOEVER_LOGGED_IN,
    "accounts.get_own_account": WHOEVER_LOGGED_IN,
    "accounts.create_account": RUN_THE_BOX_OFFICE,
    "accounts.list_accounts": RUN_THE_BOX_OFFICE,
    "accounts.disable_account": RUN_THE_BOX_OFFICE,
    "accounts.enable_account": RUN_THE_BOX_OFFICE,
    "accounts.delete_account": RUN_THE_BOX_OFFICE,
    "API keys.create_key": MAKE_KEYS,
    "API keys.list_keys": MAKE_KEYS,
    "API keys.revoke_key": MAKE_KEYS,
    "health.live": ANYBODY,
    "health.ready": ANYBODY,
    "health.metrics": WATCH_THE_WORKERS,
    "rules.explain_rule": ANYBODY,
    "pages.docs": ANYBODY,
    "pages.redoc": ANYBODY,
    "pages.script": ANYBODY,
    "openapi": ANYBODY,
}


SCOPES_OF_ORGANIZERS = {"events:read"} | {
    grant.scope for rule in RULES.values() for grant in rule if grant.scope and grant.targets
}
"""What a key that acts for one organizer can be made for; `sees_drafts` asks for the first."""


def require_usable(scopes: Iterable[str], organizer_id: UUID | None) -> None:
    """Raise `Invalid` unless a key that acts for that organizer, if for one, can do something by
    each."""
    useless = set(scopes) - SCOPES_OF_ORGANIZERS
    if organizer_id is not None and useless:
        listed = ", ".join(sorted(useless))
        raise Invalid(f"The key of an organizer can do nothing by {listed}.", "scopes")


def callers(rule: Rule) -> str:
    """Who may, in words: "For admins; organizers, of what is theirs"."""
    words = {role: f"{role}s" for role in (*OF_PEOPLE, GATE)}
    if any(grant.role == ANONYMOUS for grant in rule):
        return "For anybody."
    free = [words[grant.role] for grant in rule if not grant.targets and not grant.scope]
    bound = [words[grant.role] for grant in rule if grant.targets and not grant.scope]
    scopes = [f"keys with `{grant.scope}`" for grant in rule if grant.scope]
    parts = [_listed(free + scopes), f"{_listed(bound)}, of what is theirs" if bound else ""]
    return f"For {'; '.join(filter(None, parts))}."


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def require_rules(app: Flask) -> None:
    """Raise `RuntimeError` unless each route has a rule, and each rule a route."""
    routes = {rule.endpoint for rule in app.url_map.iter_rules()}
    if routes != set(RULES):
        raise RuntimeError(
            f"Routes without a rule: {sorted(routes - set(RULES))};"
            f" rules without a route: {sorted(set(RULES) - routes)}."
        )


def admit() -> None:
    """Keep those grants of the route's rule that fit the caller.

    Raises `Unauthorized` for a nobody whom none fits, `Forbidden` for anybody else.
    """
    if "refusal" in noted():
        raise noted().refusal
    endpoint = asked().endpoint
    if endpoint is None:  # there is no such route, which is for the router to say
        return
    identity = caller().identity
    grants = noted().grants = tuple(grant for grant in RULES[endpoint] if grant.fits(identity))
    if not grants:
        _refuse(_why_none_fits(RULES[endpoint], identity))


def _why_none_fits(rule: Rule, identity: Identity) -> str:
    scopes = [grant.scope for grant in rule if grant.role == identity.role and grant.scope]
    if not scopes:
        return f"A caller of the role '{identity.role}' may not do this."
    if identity.scopes.isdisjoint(scopes):
        return f"This needs a key with the scope {' or '.join(scopes)}."
    return "The key of an organizer may not do this, whatever its scopes."


def permit_command(arguments: Mapping[str, Any]) -> Callable[[Work], None] | None:
    """What the command's permission hangs on; None where it hangs on nothing more."""
    if _hangs_on_nothing():
        return None
    identity, grants, ids = caller().identity, noted().grants, _ids_of(arguments)
    return lambda work: _require(grants, identity, ids, Deciding(work))


def permit_query(connection: Connection, ids: Ids) -> None:
    """Raise `Forbidden` unless what is named belongs to the caller, as the log has it."""
    if not _hangs_on_nothing():
        _require(noted().grants, caller().identity, ids, Asking(connection))


def narrow(connection: Connection, ids: Ids, query: dict[str, Any]) -> dict[str, Any]:
    """The query, narrowed down to what belongs to the caller unless it names something.

    Raises `Forbidden` where what the path or the query names does not.
    """
    identity = caller().identity
    named = {**query, **ids}
    for grant in noted().grants:
        targets = grant.targets_for(identity)
        if targets and targets[0].within is not None and targets[0].id_name not in named:
            return query | {targets[0].within: identity.subject_id}
    permit_query(connection, named)
    return query


def narrow_to_own_drafts(query: dict[str, Any]) -> dict[str, Any]:
    """The query for drafts, narrowed down to the organizer's own; for others it is refused."""
    own = caller().identity.organizer_id
    narrowed = query if own is None else {"organizer_id": own, **query}
    if not sees_drafts(narrowed.get("organizer_id")):
        _refuse("Drafts are for those who make them.")
    return narrowed


def sees_drafts(organizer_id: UUID | None) -> bool:
    """Whether the caller may see drafts, also those called off before they were published: of
    that organizer, or with None of all of them."""
    identity = caller().identity
    if identity.role == SERVICE and "events:read" not in identity.scopes:
        return False
    if identity.organizer_id is not None:
        return identity.organizer_id == organizer_id
    return identity.role in (ADMIN, AUDITOR, SERVICE)


def require_holder(holder_id: UUID) -> None:
    """Raise `Forbidden` for an attendee whose ticket it is no more, or not yet: what the read
    model shows may be a moment older than what the permission came from."""
    identity = caller().identity
    if identity.role == ATTENDEE and identity.subject_id != holder_id:
        _refuse("This belongs to somebody else.")


def sees_secrets() -> bool:
    """Whether the caller, who may see the ticket, may also come in on it, or hand it out."""
    identity = caller().identity
    return identity.role == ATTENDEE or (identity.role == SERVICE and identity.subject_id is None)


def _hangs_on_nothing() -> bool:
    """Whether one of the caller's grants holds whatever they name."""
    identity = caller().identity
    return any(not grant.targets_for(identity) for grant in noted().grants)


def _refuse(reason: str) -> NoReturn:
    if caller().identity.role == ANONYMOUS:
        raise Unauthorized("Log in, or send an API key.")
    raise Forbidden(reason)


def _require(grants: Rule, identity: Identity, ids: Ids, owners: Owners) -> None:
    if not any(_holds(grant, identity, ids, owners) for grant in grants):
        raise Forbidden("This belongs to somebody else.")


def _holds(grant: Grant, identity: Identity, ids: Ids, owners: Owners) -> bool:
    return all(
        target.optional
        if target.id_name not in ids
        else target.belongs(identity, ids[target.id_name], owners)
        for target in grant.targets_for(identity)
    )


def _ids_of(arguments: Mapping[str, Any]) -> Ids:
    """What the arguments of a use case name, an event's organizer among it."""
    ids = {name: value for name, value in arguments.items() if isinstance(value, UUID)}
    if "details" in arguments:
        ids["organizer_id"] = arguments["details"].organizer_id
    if "organizer_id" in arguments.get("changes", ()):
        ids["organizer_id"] = arguments["changes"]["organizer_id"]
    return ids
