"""Read models of the gate, and look-ups: orders, tickets, customers, open holds."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

INSTANT = sa.Text().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")
BYTES = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    _gate_statistics()
    _gate_lists()
    _orders()
    _tickets()
    _customers()
    _open_holds()


def _gate_statistics() -> None:
    op.create_table("gate_totals", _key("event_id"), *_gate_counts())
    op.create_table(
        "gate_days",
        _key("event_id"),
        sa.Column("stat_date", sa.Date, primary_key=True),
        *_gate_counts(),
    )
    op.create_table(
        "gate_hours",
        _key("event_id"),
        sa.Column("hour", INSTANT, primary_key=True),
        _key("ticket_type_id"),
        sa.Column("admissions", sa.Integer, nullable=False),
        sa.Column("exits", sa.Integer, nullable=False),
        sa.Column("refused", sa.Integer, nullable=False),
    )
    _names("gate_ticket_types", "ticket_type_id", "name")


def _gate_lists() -> None:
    op.create_table(
        "gate_scans",
        _position("id"),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("ticket_id", sa.Uuid),
        sa.Column("scanner_id", sa.Text, nullable=False),
        sa.Column("scan_timestamp", INSTANT, nullable=False),
        sa.Column("is_valid", sa.Boolean, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
    )
    op.create_index("ix_gate_scans_event_id", "gate_scans", ["event_id", "scan_timestamp", "id"])
    op.create_table(
        "gate_transfers",
        _position("id"),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("ticket_id", sa.Uuid, nullable=False),
        sa.Column("from_user_id", sa.Uuid, nullable=False),
        sa.Column("to_user_id", sa.Uuid, nullable=False),
        sa.Column("transfer_timestamp", INSTANT, nullable=False),
        sa.Column("is_successful", sa.Boolean, nullable=False),
        sa.Column("transfer_reason", sa.Text, nullable=False),
    )
    op.create_index(
        "ix_gate_transfers_event_id", "gate_transfers", ["event_id", "transfer_timestamp", "id"]
    )
    op.create_table(
        "gate_invalid_attempts",
        _position("id"),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("attempt_type", sa.Text, nullable=False),
        sa.Column("ticket_id", sa.Uuid),
        sa.Column("attempt_timestamp", INSTANT, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("ip_address", sa.Text),
    )
    op.create_index(
        "ix_gate_invalid_attempts_event_id",
        "gate_invalid_attempts",
        ["event_id", "attempt_timestamp", "id"],
    )


def _orders() -> None:
    op.create_table(
        "orders",
        _key("id"),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("customer_id", sa.Uuid, nullable=False),
        sa.Column("country", sa.Text, nullable=False),
        sa.Column("payment_method", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("paid", sa.BigInteger, nullable=False),
        sa.Column("refunded", sa.BigInteger, nullable=False),
        sa.Column("ticket_count", sa.Integer, nullable=False),
        sa.Column("placed_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("paid_at", INSTANT),
        sa.Column("ended_at", INSTANT),
    )
    op.create_index("ix_orders_placed_at", "orders", ["placed_at", "id"])
    for column in ("event_id", "customer_id", "status", "payment_method"):
        op.create_index(f"ix_orders_{column}", "orders", [column, "placed_at", "id"])
    op.create_table(
        "order_tickets",
        _key("ticket_id"),
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("ticket_type_id", sa.Uuid, nullable=False),
        sa.Column("unit_price", sa.BigInteger, nullable=False),
        sa.Column("refund_id", sa.BigInteger),
    )
    op.create_index("ix_order_tickets_order_id", "order_tickets", ["order_id", "place"])
    op.create_table(
        "order_payments",
        _position("id"),
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("refusal", sa.Text),
    )
    op.create_index("ix_order_payments_order_id", "order_payments", ["order_id", "id"])
    op.create_index("ix_order_payments_reference", "order_payments", ["reference"])
    op.create_table(
        "order_refunds",
        _position("id"),
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("ix_order_refunds_order_id", "order_refunds", ["order_id", "id"])
    _names("order_customers", "customer_id", "name", "email")
    _words("order_customer_words")
    _names("order_events", "event_id", "title")
    _names("order_ticket_types", "ticket_type_id", "name")


def _tickets() -> None:
    op.create_table(
        "tickets",
        _key("id"),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("ticket_type_id", sa.Uuid, nullable=False),
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("holder_id", sa.Uuid, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("blocked", sa.Boolean, nullable=False),
        sa.Column("inside", sa.Boolean, nullable=False),
        sa.Column("admissions", sa.Integer, nullable=False),
        sa.Column("transfers", sa.Integer, nullable=False),
        sa.Column("issued_at", INSTANT, nullable=False),
        sa.Column("first_admitted_at", INSTANT),
        sa.Column("voided_at", INSTANT),
    )
    op.create_index("ix_tickets_event_id", "tickets", ["event_id", "issued_at", "id"])
    op.create_index("ix_tickets_status", "tickets", ["event_id", "status", "issued_at", "id"])
    op.create_index("ix_tickets_holder_id", "tickets", ["event_id", "holder_id"])
    _names("ticket_holders", "customer_id", "name", "email")
    _words("ticket_holder_words")
    _names("ticket_events", "event_id", "title")
    _names("ticket_type_names", "ticket_type_id", "name")


def _customers() -> None:
    op.create_table(
        "customers",
        _key("id"),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("phone", sa.Text, nullable=False),
        sa.Column("country", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("erased", sa.Boolean, nullable=False),
        sa.Column("registered_at", INSTANT, nullable=False),
    )
    op.create_index("ix_customers_name", "customers", ["erased", "name", "id"])
    op.create_index("ix_customers_country", "customers", ["erased", "country", "name", "id"])
    _words("customer_words")


def _open_holds() -> None:
    op.create_table(
        "open_holds",
        _key("order_id"),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
    )
    op.create_index("ix_open_holds_expires_at", "open_holds", ["expires_at", "order_id"])


def _gate_counts() -> list[sa.Column[Any]]:
    return [
        sa.Column("valid_scan_count", sa.Integer, nullable=False),
        sa.Column("invalid_scan_count", sa.Integer, nullable=False),
        sa.Column("successful_transfer_count", sa.Integer, nullable=False),
        sa.Column("failed_transfer_count", sa.Integer, nullable=False),
        sa.Column("last_updated", INSTANT),
    ]


def _names(table: str, key: str, *columns: str) -> None:
    texts = (sa.Column(column, sa.Text, nullable=False) for column in columns)
    op.create_table(table, _key(key), *texts)


def _words(table: str) -> None:
    op.create_table(table, sa.Column("word", BYTES, primary_key=True), _key("customer_id"))
    op.create_index(f"ix_{table}_customer_id", table, ["customer_id", "word"])


def _key(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Uuid, primary_key=True)


def _position(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)
