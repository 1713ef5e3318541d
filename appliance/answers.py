"""The answers, whoever asks and by whatever road: each takes what was asked and returns what is answered."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from appliance import wire
from appliance.problems import Refused
from appliance.question import Questions
from appliance.sbom import read_components
from appliance.search import Library, open_layers
from appliance.settings import Settings

_QUESTIONS_AT_ONCE: Final = 4
"""That wait for the model. In threads of their own: all else is answered while a model service hangs."""
_NO_DOCUMENT = "There is no document of this path. Paths are those that a search or the list of documents gives."


class Answers:
    def __init__(self, library: Library, questions: Questions, components: list[dict[str, Any]]) -> None:
        self._library, self._questions, self._components = library, questions, components
        self._waiting = ThreadPoolExecutor(_QUESTIONS_AT_ONCE, "questions")

    @property
    def fingerprint(self) -> str:
        return str(self._library.about["fingerprint"])

    async def search(self, asked: wire.Question) -> wire.FoundPassages:
        loop = asyncio.get_running_loop()
        vector, understood = await loop.run_in_executor(self._waiting, self._questions.embed, asked.question)
        found = await asyncio.to_thread(
            self._library.search,
            asked.question,
            vector,
            limit=asked.limit,
            document=asked.document,
            language=asked.language,
            since=asked.since,
            until=asked.until,
        )
        return wire.FoundPassages.model_validate({"understood": understood, "passages": found})

    async def documents(self, asked: wire.DocumentsAsked) -> wire.DocumentEntries:
        entries = await asyncio.to_thread(
            self._library.documents,
            after=asked.after,
            limit=asked.limit + 1,
            language=asked.language,
            since=asked.since,
            until=asked.until,
        )
        paths = list(dict.fromkeys(entry.path for entry in entries))[: asked.limit]
        shown = [entry for entry in entries if entry.path in paths]
        following = paths[-1] if len(entries) > len(shown) else None
        return wire.DocumentEntries.model_validate({"documents": shown, "next": following})

    async def document(self, asked: wire.DocumentAsked) -> wire.DocumentPart:
        """Raises Refused: no such document or page, or the span is empty."""
        document = await asyncio.to_thread(self._library.document, asked.path)
        if document is None:
            raise Refused(404, _NO_DOCUMENT)
        pages = [wire.Page.model_validate(page) for page in document.pages]
        start, end = _span(asked, pages, len(document.text))
        stop = min(end, start + asked.limit)
        return wire.DocumentPart(
            document=wire.DocumentEntry.model_validate(document),
            characters=len(document.text),
            pages=len(pages),
            shown=[page for page in pages if page.start < stop and page.end > start],
            start=start,
            end=stop,
            text=document.text[start:stop],
            next=stop if stop < end else None,
        )

    async def passages(self, asked: wire.PassagesAsked) -> wire.DocumentPassages:
        """Raises Refused: no such document."""
        document = await asyncio.to_thread(self._library.document, asked.path)
        if document is None:
            raise Refused(404, _NO_DOCUMENT)
        everything = await asyncio.to_thread(self._library.passages, asked.path)
        passages = [one for one in everything if one.ordinal > asked.after]
        shown = passages[: asked.limit]
        following = shown[-1].ordinal if len(passages) > len(shown) else None
        return wire.DocumentPassages.model_validate({"document": document, "passages": shown, "next": following})

    async def about(self, _: wire.AboutAsked | None = None) -> wire.About:
        told: dict[str, Any] = {"understands": self._questions.how, "components": self._components}
        return wire.About.model_validate({**self._library.about, **told})

    async def check(self) -> None:
        """A real, tiny search. Raises what the data's failure raises."""
        await asyncio.to_thread(self._library.ready)

    def close(self) -> None:
        """Waits for no question."""
        self._waiting.shutdown(wait=False, cancel_futures=True)

    def warm(self) -> None:
        """Begins to load what the first question with a vector needs. Questions may come meanwhile."""
        threading.Thread(target=self._warm, daemon=True).start()

    def _warm(self) -> None:
        self._questions.warm()
        if self._questions.how != "lexical":
            self._library.warm()


@asynccontextmanager
async def open_answers(data: Path, settings: Settings) -> AsyncIterator[Answers]:
    """Raises OSError or ValueError where the data or the SBOM cannot be read."""
    with ExitStack() as stack:
        library = stack.enter_context(open_layers(data))
        questions = Questions(
            library.about,
            settings.embeddings_url,
            model=settings.embeddings_model,
            token=settings.embeddings_token,
        )
        stack.callback(questions.close)
        answers = Answers(library, questions, read_components(settings.sbom))
        stack.callback(answers.close)
        yield answers


def _span(asked: wire.DocumentAsked, pages: list[wire.Page], length: int) -> tuple[int, int]:
    start, end = asked.start, length if asked.end is None else min(asked.end, length)
    if asked.page is not None:
        page = next((page for page in pages if page.number == asked.page), None)
        if page is None:
            raise Refused(404, f"The document has no page {asked.page}; it has {len(pages)}.")
        start, end = max(start, page.start), min(end, page.end)
    if start > end or (start == end and length and asked.page is None):
        raise Refused(400, f"Nothing lies between {start} and {end}: the document has {length} characters.")
    return start, end
