"""Customers, and the versions of their Installation Parameters."""

from alembic import op

from infra.postgres.migrations import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql(op.get_bind(), __file__)
