"""What is in hand, what was discarded, how much may fail, and documents that are to be met again."""

from alembic import op

from infra.postgres.migrations import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql(op.get_bind(), __file__)
