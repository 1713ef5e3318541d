"""`bake-ready`: the ledger found that a job has no open work left."""

from typing import Annotated, ClassVar

from pydantic import Field

from schemas.ids import CustomerId
from schemas.messages._base import Message


class JobCompleted(Message):
    TYPE: ClassVar[str] = "cradle.jobs.v1"

    customer: CustomerId
    generation: Annotated[int, Field(ge=1)]
    """1 for the job's first image; a redrive makes the next."""
