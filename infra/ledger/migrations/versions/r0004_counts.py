"""What outcomes count by name; documents of the same bytes."""

from alembic import op

from infra.postgres.migrations import run_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql(op.get_bind(), __file__)
