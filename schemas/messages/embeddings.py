"""`embedded`: a run of chunks with their vectors."""

import math
from typing import ClassVar, Literal

from pydantic import model_validator

from schemas.messages._base import Count, Message, Number, Part
from schemas.messages.chunks import ChunksMade

_ITEM_BYTES = {"float32": 4, "float16": 2}


class Vectors(Part):
    """A row-major matrix as raw little-endian bytes: no number is printed or parsed on its way."""

    dtype: Literal["float32", "float16"] = "float32"
    shape: tuple[Count, Number]
    """(rows, dimension)"""
    data: bytes

    @model_validator(mode="after")
    def _data_fits_shape(self) -> "Vectors":
        if len(self.data) != math.prod(self.shape) * _ITEM_BYTES[self.dtype]:
            raise ValueError("the vectors' bytes do not fit their shape")
        return self


class EmbeddingsMade(Message):
    TYPE: ClassVar[str] = "cradle.embeddings.v1"
    ZSTD_LEVEL: ClassVar[int] = -1  # vectors do not compress: this level finds that out 15 times sooner than 3

    chunks: ChunksMade
    vectors: Vectors
    """Row i belongs to `chunks.chunks[i]`."""

    @model_validator(mode="after")
    def _a_row_each(self) -> "EmbeddingsMade":
        if self.vectors.shape[0] != len(self.chunks.chunks):
            raise ValueError("there is not one vector for each chunk")
        return self
