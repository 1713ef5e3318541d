"""What a person may ask for: a topic to read again, and which of its records."""

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from infra.broker import StoredRecord
from schemas.errors import CradleError
from schemas.topology import Topology

_SPAN: Final = re.compile(r"(\d{1,9}):(\d{1,18})(?:-(\d{1,18}))?")


@dataclass(frozen=True, slots=True)
class OffsetSpan:
    """Offsets of one partition, both ends included; without `last` all from `first` on."""

    partition: int
    first: int
    last: int | None = None

    @classmethod
    def read(cls, text: str) -> "OffsetSpan":
        """From `PARTITION:FROM` or `PARTITION:FROM-TO`. Raises CradleError `replay.choice`."""
        match = _SPAN.fullmatch(text)
        if match is None or (match[3] and int(match[3]) < int(match[2])):
            raise CradleError("replay.choice", what="offsets are PARTITION:FROM or PARTITION:FROM-TO")
        return cls(int(match[1]), int(match[2]), int(match[3]) if match[3] else None)

    def holds(self, record: StoredRecord) -> bool:
        after = record.partition == self.partition and record.offset >= self.first
        return after and (self.last is None or record.offset <= self.last)


@dataclass(frozen=True, slots=True)
class Request:
    """What matches everything that is given. A document is replayed whole: one record of it brings the others."""

    topic: str
    """And with it the topics beside it, which the same stages read: a document came by one of them."""
    job: UUID | None = None
    customer: str | None = None
    documents: tuple[str, ...] = ()
    """Ids as `cradle job` shows them, or paths."""
    since: datetime | None = None
    until: datetime | None = None
    """When the record was written: from `since` on, and before `until`."""
    offsets: OffsetSpan | None = None
    parameters: int | None = None
    """Version that the new job pins; None: the parent's."""

    def check(self, topology: Topology) -> None:
        """Raises CradleError `replay.topic`, or `replay.choice` if nothing says what is to be replayed."""
        readable = [name for name, readers in topology.readers.items() if readers]
        if self.topic not in readable:
            raise CradleError("replay.topic", topic=self.topic, known=", ".join(readable))
        if not (self.job or self.customer or self.documents or self.since or self.until or self.offsets):
            raise CradleError("replay.choice", what="nothing was given, which would be every job there is")

    @property
    def by_record(self) -> bool:
        """Whether it asks for certain records rather than for whole jobs or documents."""
        return any((self.since, self.until, self.offsets))

    def takes(self, record: StoredRecord) -> bool:
        """Whether time and offset fit. Offsets are those of the topic that was named, not of those beside it."""
        if self.since and record.timestamp_ms < self.since.timestamp() * 1000:
            return False
        if self.until and record.timestamp_ms >= self.until.timestamp() * 1000:
            return False
        return self.offsets is None or (record.topic == self.topic and self.offsets.holds(record))

    def digest(self, key: bytes) -> str:
        """12 hex digits that are the same for the same request. Under the parent's key: a path may be in it."""
        span = self.offsets and [self.offsets.partition, self.offsets.first, self.offsets.last]
        times = [time and time.timestamp() for time in (self.since, self.until)]
        asked = json.dumps([self.topic, sorted(self.documents), times, span, self.parameters])
        return hmac.new(key, f"replay\0{asked}".encode(), hashlib.sha256).hexdigest()[:12]
