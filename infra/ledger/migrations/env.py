"""Read by alembic."""

from infra.postgres.migrations import run_revisions

run_revisions()
