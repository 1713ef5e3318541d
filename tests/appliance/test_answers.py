import asyncio
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from appliance import wire
from appliance.answers import Answers
from appliance.search import open_layers
from tests.builders.corpus import book, in_order
from tests.builders.test_data_layer import write


class Hanging:
    """A model that answers once it is let go."""

    how = "service"

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def embed(self, _: str) -> tuple[None, str]:
        self.let_go.wait(60)
        return None, "lexical"


async def test_all_else_is_answered_while_the_model_service_hangs(layers: Path) -> None:
    model: Any = Hanging()
    with open_layers(layers) as library, closing(Answers(library, model, [])) as answers:
        asked = [asyncio.create_task(answers.search(wire.Question(question=f"valves {i}"))) for i in range(50)]
        try:
            await asyncio.wait_for(answers.check(), 20)
            await asyncio.wait_for(answers.documents(wire.DocumentsAsked()), 20)
            assert not any(one.done() for one in asked)
        finally:
            model.let_go.set()
        assert {found.understood for found in await asyncio.gather(*asked)} == {"lexical"}


def test_words_are_looked_for_while_vectors_are_read(layers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, let_go = threading.Event(), threading.Event()

    def slow(_: Any) -> None:
        begun.set()
        let_go.wait(60)

    monkeypatch.setattr("appliance.search.Measured.of", slow)
    with open_layers(layers) as library:
        warming = threading.Thread(target=library.warm)
        asking = threading.Thread(target=library.ready)
        warming.start()
        try:
            assert begun.wait(20)
            asking.start()
            asking.join(20)
            assert not asking.is_alive()
        finally:
            let_go.set()
            warming.join()


async def test_documents_of_one_path_are_never_lost_between_two_answers(tmp_path: Path) -> None:
    shelf = in_order([book("a", "one"), book("b", "two"), book("b", "three"), book("c", "four")])
    write(tmp_path / "000", shelf)
    model: Any = Hanging()
    with open_layers(tmp_path) as library, closing(Answers(library, model, [])) as answers:
        for limit in (1, 2, 3, 4):
            listed: list[str] = []
            after: str | None = None
            while not listed or after:
                answer = await answers.documents(wire.DocumentsAsked(after=after, limit=limit))
                listed += [one.sha256 for one in answer.documents]
                after = answer.next
            assert listed == [one.document.sha256 for one in shelf]


async def test_a_folded_passage_names_the_one_that_it_repeats(tmp_path: Path) -> None:
    notice = "All statements are made to the best of our knowledge and without warranty."
    write(tmp_path / "000", in_order([book("a.txt", notice), book("b.txt", f"Pumps.\n{notice}")]), fold=True)
    nobody: Any = Hanging()
    with open_layers(tmp_path) as library, closing(Answers(library, nobody, [])) as answers:
        told = await answers.passages(wire.PassagesAsked(path="b.txt"))
        place = {"document": "a.txt", "page": 1, "start": 0, "end": len(notice), "ordinal": 0}
        assert [one.model_dump()["folded_into"] for one in told.passages] == [None, place]
