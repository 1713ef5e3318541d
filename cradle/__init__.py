"""Cradle's public API: submit documents, ask images.

    async with cradle.Producer() as producer:
        await producer.open("acme", "contracts 2026")
        await producer.add("lease.pdf", Path("lease.pdf"))
        await producer.close()

    passages = cradle.search("acme", "When does the lease end?", limit=3)

Settings come from CRADLE_* variables and cradle.toml, as for the `cradle` command; docs/settings.md lists them.
Every error is a `CradleError` with a `code`, a `sentence` and a `next_step`.
"""

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from schemas.errors import CradleError, Permanent, Retryable

if TYPE_CHECKING:
    from cradle.settings import Settings
    from producers.producer import Producer as _Producer

__all__ = ["CradleError", "Permanent", "Producer", "Retryable", "search"]


class Producer:
    """`async with Producer() as producer`: submits documents to this installation, one job at a time.

    Inside the block `producer` has `open`, `add`, `close` and `ingest`, as `producers.Producer` documents them.
    `settings` takes the place of the environment's and the file's.
    Entering raises CradleError `settings.*`, or `stack.down` if no broker is set and the embedded one never ran.
    """

    def __init__(self, settings: "Settings | None" = None) -> None:
        self._settings = settings
        self._context: AbstractAsyncContextManager[_Producer] | None = None

    async def __aenter__(self) -> "_Producer":
        from cradle.compose import open_producer
        from cradle.settings import load_settings

        self._context = open_producer(self._settings or load_settings())
        return await self._context.__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        assert self._context is not None
        await self._context.__aexit__(*error)


def search(image: str, question: str, *, limit: int = 5, settings: "Settings | None" = None) -> list[dict[str, Any]]:
    """The `limit` best passages, best first: `{document, page, start, end, score, marks, also, names, folded, text}`.
    Blocking.

    `image` is a customer, whose newest image under this home is asked, or a path to an OCI layout, a folder or a tar.
    `page` counts from 1 and is None where the format has no pages; `start` and `end` count code points of the
    document's text. `marks` warns of text that may be misread (`doubtful`) or that a reader of the document does not
    see (`hidden`). `also` has other names of the document, some of its `names`; `folded` says how many other passages
    nearly repeat this one. Raises CradleError `image.unknown` or `image.broken`.
    """
    from cradle.settings import load_settings
    from operations.search import search as ask

    return ask((settings or load_settings()).home, image, question, limit)
