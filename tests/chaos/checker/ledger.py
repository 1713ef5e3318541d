"""The ledger, by plain SQL: the job's row, its documents, its units of work."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from tests.chaos.checker.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Ledger:
    job: dict[str, Any]
    documents: list[dict[str, Any]]
    work: list[dict[str, Any]]
    progress: dict[str, tuple[int, int]]
    """Outcomes and items by stage."""
    outbox: int

    def finished(self, stage: str) -> set[UUID]:
        return {row["message"] for row in self.work if row["stage"] == stage and row["finished_at"] is not None}


def read_ledger(evidence: Evidence) -> Ledger:
    """One snapshot of all tables."""
    with psycopg.connect(evidence.ledger, row_factory=dict_row) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        job = (evidence.job,)
        [row] = connection.execute("SELECT * FROM ledger.jobs WHERE id = %s", job).fetchall()
        progress = connection.execute("SELECT stage, outcomes, items FROM ledger.progress WHERE job = %s", job)
        return Ledger(
            job=row,
            documents=connection.execute("SELECT * FROM ledger.documents WHERE job = %s", job).fetchall(),
            work=connection.execute("SELECT * FROM ledger.work WHERE job = %s", job).fetchall(),
            progress={one["stage"]: (one["outcomes"], one["items"]) for one in progress},
            outbox=len(connection.execute("SELECT 1 FROM ledger.outbox WHERE job = %s", job).fetchall()),
        )
