"""A message of a type that only the next release knows: given up, kept as it was, and worked on after the upgrade."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace

import pytest

from operations.redrive import redrive
from schemas.messages import TYPES, DocumentAdmitted
from schemas.topology import read_topology
from tests.consumers.flow import STAGES, document_message
from tests.operations.letters import TWO_READERS, Post, open_post


class DocumentAdmittedAnew(DocumentAdmitted):
    """As the next release has it."""

    TYPE = "cradle.documents.v2"


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    async with AsyncExitStack() as stack:
        yield await open_post(stack)


@contextmanager
def next_release(post: Post) -> Iterator[None]:
    """Within, the stages know the new type, and `chunk-ready` carries it."""
    old = post.flow.runtime
    text = TWO_READERS.replace(DocumentAdmitted.TYPE, DocumentAdmittedAnew.TYPE)
    TYPES[DocumentAdmittedAnew.TYPE] = DocumentAdmittedAnew
    post.flow.runtime = replace(old, topology=read_topology(text, folders={*STAGES, "mirror"}))
    try:
        yield
    finally:
        del TYPES[DocumentAdmittedAnew.TYPE]
        post.flow.runtime = old


async def test_it_is_a_dead_letter_until_the_upgrade_and_then_passes(post: Post) -> None:
    message = DocumentAdmittedAnew(**document_message("a").model_dump())
    with next_release(post):
        sent = await post.flow.publish(message, "chunk-ready", document=message.document.id)
    await post.run()
    [letter] = await post.letters()
    assert (letter.mark.code, letter.mark.stage, letter.state) == ("envelope.type", "split", "dead")
    assert post.ran == []
    with next_release(post):
        [answer] = await redrive([letter], post.mail)
        assert answer.sent
        await post.run()
        assert post.ran == ["split:a", "sink:a", "mirror:a"]
        assert (await post.flow.runtime.ports.ledger.outcomes("split", [sent])) == {sent: None}
        assert len(await post.letters()) == 1, "it was given up once"
        await redrive([letter], post.mail)
        await post.run()
        assert post.ran == ["split:a", "sink:a", "mirror:a"], "a second redrive is harmless"
