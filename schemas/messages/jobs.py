"""`bake-ready`: the ledger found that a job has no open work left."""

from typing import ClassVar

from schemas.ids import CustomerId
from schemas.messages._base import Message, Number


class JobCompleted(Message):
    TYPE: ClassVar[str] = "cradle.jobs.v1"

    customer: CustomerId
    generation: Number
    """1 for the job's first image; a redrive makes the next."""
