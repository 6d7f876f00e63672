"""The read models of sales: catalogue, summaries, sales by type and by day, customers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

INSTANT = sa.Text().with_variant(postgresql.TIMESTAMP(timezone=True), "postgresql")


def upgrade() -> None:
    _catalogue()
    _event_summaries()
    _ticket_type_sales()
    _sales_by_day()
    _customer_statistics()


def _catalogue() -> None:
    op.create_table(
        "catalogue",
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("organizer_id", sa.Uuid, nullable=False),
        sa.Column("organizer_name", sa.Text, nullable=False),
        sa.Column("venue", sa.Text, nullable=False),
        sa.Column("online", sa.Boolean, nullable=False),
        sa.Column("timezone", sa.Text, nullable=False),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("doors_open_at", INSTANT),
        sa.Column("registration_deadline", INSTANT),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("capacity", sa.Integer),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("committed", sa.Integer, nullable=False),
        sa.Column("sort_title", sa.Text, nullable=False),
        sa.Column("search_text", sa.Text, nullable=False),
    )
    op.create_index("ix_catalogue_category", "catalogue", ["category", "starts_at", "event_id"])
    op.create_index(
        "ix_catalogue_organizer_id", "catalogue", ["organizer_id", "starts_at", "event_id"]
    )
    op.create_index("ix_catalogue_sort_title", "catalogue", ["sort_title", "event_id"])
    op.create_index("ix_catalogue_starts_at", "catalogue", ["starts_at", "event_id"])
    op.create_index("ix_catalogue_status", "catalogue", ["status", "starts_at", "event_id"])
    op.create_table(
        "catalogue_ticket_types",
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("ticket_type_id", sa.Uuid, primary_key=True),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("quantity", sa.Integer),
        sa.Column("sale_starts_at", INSTANT),
        sa.Column("sale_ends_at", INSTANT),
        sa.Column("min_per_order", sa.Integer, nullable=False),
        sa.Column("max_per_order", sa.Integer),
        sa.Column("reentry", sa.Boolean, nullable=False),
        sa.Column("committed", sa.Integer, nullable=False),
    )


def _event_summaries() -> None:
    op.create_table(
        "event_summaries",
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("organizer_name", sa.Text, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("capacity", sa.Integer),
        sa.Column("on_sale", sa.Boolean, nullable=False),
        sa.Column("sold", sa.Integer, nullable=False),
        sa.Column("held", sa.Integer, nullable=False),
        sa.Column("revenue", sa.BigInteger, nullable=False),
        sa.Column("percent_remaining", sa.Double),
    )
    op.create_index(
        "ix_event_summaries_ends_at", "event_summaries", ["on_sale", "ends_at", "event_id"]
    )
    op.create_index(
        "ix_event_summaries_percent_remaining",
        "event_summaries",
        ["on_sale", "percent_remaining", "event_id"],
    )


def _ticket_type_sales() -> None:
    op.create_table(
        "ticket_type_sales_events",
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
    )
    op.create_table(
        "ticket_type_sales",
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("ticket_type_id", sa.Uuid, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("units_sold", sa.Integer, nullable=False),
    )
    op.create_index(
        "ix_ticket_type_sales_units_sold", "ticket_type_sales", [sa.text("units_sold DESC"), "name"]
    )
    op.create_table(
        "ticket_type_sales_days",
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("ticket_type_id", sa.Uuid, primary_key=True),
        sa.Column("units_sold", sa.Integer, nullable=False),
    )


def _sales_by_day() -> None:
    op.create_table(
        "sales_by_day_events",
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("currency", sa.Text, nullable=False),
    )
    op.create_table(
        "sales_by_day_ticket_types",
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("ticket_type_id", sa.Uuid, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
    )
    op.create_table(
        "tickets_by_day",
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("ticket_type_id", sa.Uuid, primary_key=True),
        sa.Column("payment_method", sa.Text, primary_key=True),
        sa.Column("country", sa.Text, primary_key=True),
        sa.Column("week", sa.Date, nullable=False),
        sa.Column("units_sold", sa.Integer, nullable=False),
        sa.Column("units_refunded", sa.Integer, nullable=False),
        sa.Column("amount_sold", sa.BigInteger, nullable=False),
        sa.Column("amount_refunded", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "orders_by_day",
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("payment_method", sa.Text, primary_key=True),
        sa.Column("country", sa.Text, primary_key=True),
        sa.Column("week", sa.Date, nullable=False),
        sa.Column("placed", sa.Integer, nullable=False),
        sa.Column("paid", sa.Integer, nullable=False),
        sa.Column("refunded", sa.Integer, nullable=False),
        sa.Column("cancelled", sa.Integer, nullable=False),
        sa.Column("expired", sa.Integer, nullable=False),
    )


def _customer_statistics() -> None:
    op.create_table(
        "customer_statistics",
        sa.Column("customer_id", sa.Uuid, primary_key=True),
        sa.Column("orders_placed", sa.Integer, nullable=False),
    )
    op.create_table(
        "customer_spending",
        sa.Column("customer_id", sa.Uuid, primary_key=True),
        sa.Column("currency", sa.Text, primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "customer_purchases",
        sa.Column("customer_id", sa.Uuid, primary_key=True),
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("bought", sa.Integer, nullable=False),
        sa.Column("ordered", sa.Integer, nullable=False),
    )
    op.create_table(
        "customer_statistics_events",
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
    )
