from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

MAX_COUNT: Final = 2**31 - 1
MAX_SIZE: Final = 2**53 - 1
"""The largest whole number that every JSON reader keeps exactly."""

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Number = Annotated[int, Field(ge=1, le=MAX_COUNT)]
"""1-based: a page, a generation."""
Size = Annotated[int, Field(ge=0, le=MAX_SIZE)]
"""Bytes."""


class Part(BaseModel):
    """A piece of a message. Unknown fields are ignored, so that an older reader survives a newer writer."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True)


class Message(Part):
    """The value of one record. `TYPE` is its CloudEvents type; the number at its end rises only with a break."""

    TYPE: ClassVar[str]
    ZSTD_LEVEL: ClassVar[int] = 3
    """How hard its content is compressed; lower is faster."""
