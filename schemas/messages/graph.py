"""`graphed`: entities and relations found in a run of chunks."""

from typing import Annotated, ClassVar

from pydantic import Field

from schemas.messages._base import Message, Part
from schemas.messages.documents import Document


class Entity(Part):
    name: str
    kind: str
    chunk: Annotated[int, Field(ge=0)]
    """Ordinal of the chunk that names it."""


class Relation(Part):
    subject: str
    predicate: str
    object: str
    chunk: Annotated[int, Field(ge=0)]


class GraphExtracted(Message):
    TYPE: ClassVar[str] = "cradle.graph.v1"

    document: Document
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
