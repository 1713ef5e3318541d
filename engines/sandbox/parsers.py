"""The `Parsers` port in children, and why one died."""

import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, cast
from uuid import UUID

from engines.extraction import Extracted, Member, PageImage, Probe
from engines.extraction.reading import Reading
from engines.sandbox.children import Child, Children, Died, Full, Stumbled
from engines.sandbox.limits import Limits
from engines.sandbox.wire import Call, Untrue
from schemas.errors import Permanent

UNKNOWN_TYPE: Final = "unknown"
"""What a crash while probing is said to be about."""
NEARLY: Final = 0.75
"""A child that had so much of its memory resident when it died is taken to have died of it: native code that gets no
more often does not say so."""


class Suspect(Exception):
    """A child failed that had read other documents before."""

    def __init__(self, cause: Permanent) -> None:
        self.cause = cause


class SandboxedParsers:
    """See `Parsers`."""

    def __init__(self, children: Children, limits: Limits) -> None:
        self._children = children
        self._limits = limits

    async def probe(self, job: UUID, data: bytes, path: str) -> Probe:
        return cast(Probe, await self._one(job, Call("probe", data, (path,)), UNKNOWN_TYPE))

    async def members(self, job: UUID, data: bytes, media_type: str) -> AsyncGenerator[Member, None]:
        async with aclosing(self._answers(job, Call("members", data, (media_type,)), media_type)) as members:
            async for member in members:
                yield member

    async def extract(self, job: UUID, data: bytes, media_type: str) -> Extracted:
        return cast(Extracted, await self._one(job, Call("extract", data, (media_type,)), media_type))

    async def readable(self, job: UUID, data: bytes, media_type: str) -> Reading:
        return cast(Reading, await self._one(job, Call("readable", data, (media_type,)), media_type))

    async def pictures(self, job: UUID, data: bytes, media_type: str, *, dpi: int) -> AsyncGenerator[PageImage, None]:
        async with aclosing(self._answers(job, Call("pictures", data, (media_type, dpi)), media_type)) as pictures:
            async for picture in pictures:
                yield picture

    async def _one(self, job: UUID, call: Call, kind: str) -> Any:
        """The only answer; a second one is a lie, and is not waited for."""
        found: list[Any] = []
        async with aclosing(self._answers(job, call, kind)) as answers:
            async for answer in answers:
                found.append(answer)
                if len(found) > 1:
                    break
        if len(found) != 1:
            raise Permanent("document.crash", kind=kind)
        return found[0]

    async def _answers(self, job: UUID, call: Call, kind: str) -> AsyncGenerator[Any, None]:
        """What a used child died of may be an earlier document's doing: then this one is tried in a new child, unless
        some of its answers were passed on already."""
        passed_on = False
        try:
            async with aclosing(self._asked(job, call, kind)) as answers:
                async for answer in answers:
                    passed_on = True
                    yield answer
                return
        except Suspect as suspect:
            if passed_on:
                raise suspect.cause from None
        async with aclosing(self._asked(job, call, kind, new=True)) as answers:
            async for answer in answers:
                yield answer

    async def _asked(self, job: UUID, call: Call, kind: str, *, new: bool = False) -> AsyncGenerator[Any, None]:
        """Raises Suspect where the child was used before."""
        async with self._children.lend(job, new=new) as child:
            try:
                async with aclosing(child.ask(call)) as answers:
                    async for answer in answers:
                        yield answer
                return
            except (Stumbled, Untrue):
                cause = Permanent("document.crash", kind=kind)
            except Full:
                cause = self._limits.memory()
            except Died:
                cause = await self._cause(child, kind)
            raise Suspect(cause) if child.calls > 1 else cause

    async def _cause(self, child: Child, kind: str) -> Permanent:
        """Raises it at once where it is nobody else's doing."""
        fate = await self._children.fate(child)
        if fate.status == -signal.SIGXCPU:
            raise self._limits.cpu()
        if fate.status == -signal.SIGKILL or fate.peak_bytes >= NEARLY * self._limits.memory_bytes:
            return self._limits.memory()  # who is killed was killed for the machine's memory
        return Permanent("document.crash", kind=kind)
