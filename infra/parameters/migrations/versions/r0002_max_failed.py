"""How many documents of a customer's job may fail."""

from alembic import op

from infra.postgres.migrations import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql(op.get_bind(), __file__)
