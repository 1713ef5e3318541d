"""Which version a job updates, and which it was packaged as."""

from alembic import op

from infra.postgres.migrations import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql(op.get_bind(), __file__)
