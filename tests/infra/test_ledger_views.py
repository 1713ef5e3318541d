"""A release that goes on while the next one has migrated its database."""

import psycopg

from infra.ledger.migrations import migrate
from infra.local.postgres import EmbeddedPostgres

KNOWN = (
    "id customer reference state parameters fingerprint parent generation manifest total done failed open_work items "
    "outcomes reason image merkle opened_at completed_at baked_at erased_at retain_until chunks max_failed_count "
    "max_failed_share first_done_at first_done last_done_at"
)


def test_the_view_has_no_column_that_the_release_before_does_not_know(postgres_server: EmbeddedPostgres) -> None:
    """Its workers take each column of `job_views` for a field of theirs."""
    postgres_server.create_database("test_ledger_views")
    url = postgres_server.url("test_ledger_views")
    migrate(url)
    with psycopg.connect(url) as connection:
        columns = [column.name for column in connection.execute("SELECT * FROM ledger.job_views").description or ()]
    assert columns == KNOWN.split()
