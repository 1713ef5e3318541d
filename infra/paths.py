"""Where everything on disk lies: under CRADLE_HOME, and nowhere else."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from schemas.ids import check_customer_id


@dataclass(frozen=True, slots=True)
class CustomerPaths:
    """One customer's folders. Raises Permanent `customer.id` for an id that could leave them."""

    home: Path
    customer: str

    def __post_init__(self) -> None:
        check_customer_id(self.customer)

    @property
    def images(self) -> Path:
        return self.home / "images" / self.customer

    def image(self, job: UUID, generation: int) -> Path:
        """The OCI layout of a job's image."""
        return self.images / f"{job}.{generation}"
