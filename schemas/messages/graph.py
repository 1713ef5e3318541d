"""`graphed`: entities and relations found in a run of chunks."""

from typing import ClassVar

from schemas.messages._base import Count, Message, Part
from schemas.messages.documents import Document


class Entity(Part):
    name: str
    kind: str
    chunk: Count
    """Ordinal of the chunk that names it."""


class Relation(Part):
    subject: str
    predicate: str
    object: str
    chunk: Count


class GraphExtracted(Message):
    TYPE: ClassVar[str] = "cradle.graph.v1"

    document: Document
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
