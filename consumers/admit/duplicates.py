"""The same bytes under another name: listed, not worked on a second time.

Bytes are the same if their hash is, and what they are was read as: a name may break a tie between two types. The first
document of them is worked on. Which one that is hangs on the order of arrival, and two that arrive at one time at two
workers are both worked on: what is baked goes by the bytes and shows neither.

A document that failed has no duplicates from then on: the next one of its bytes is worked on itself. Those that it has
already fail with it, and are mended with it (`infra.ledger`).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from consumers.admit.core import Verdict
from infra.ledger import DocumentState, Ledger


class Duplicates:
    """Of one poll: what it lets in is known here before the ledger hears of it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._let_in: defaultdict[tuple[UUID, str], set[str]] = defaultdict(set)

    async def marked(self, job: UUID, verdicts: Sequence[Verdict]) -> list[Verdict]:
        """The verdicts in their order. Of those let in, the ones whose bytes are worked on already are duplicates."""
        contents = list(dict.fromkeys(one.document.content for one in verdicts if one.document.content))
        known = await self._ledger.originals(job, contents) if contents else {}
        return [self._marked(job, one, known.get(one.document.content or "", frozenset())) for one in verdicts]

    def _marked(self, job: UUID, verdict: Verdict, known: frozenset[str]) -> Verdict:
        document = verdict.document
        if document.state is not DocumentState.OPEN or document.content is None:
            return verdict
        let_in = self._let_in[job, document.content]
        originals = known | let_in
        if not originals or document.id in originals:  # submitted twice, it is the same document and no duplicate
            let_in.add(document.id)
            return verdict
        duplicate = replace(document, state=DocumentState.DUPLICATE, same_as=min(originals))
        return replace(verdict, document=duplicate, output=None)
