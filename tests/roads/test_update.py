"""Updates as an operator makes them: the commands, real stages in processes, the embedded stack.

What the customer has is kept in a folder as its engine keeps it, layer by layer; nothing else of an earlier version is
left when the next one is made. In the end search over the layers is search over one full bake of the same documents.
"""

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.format import layer_folder
from appliance.question import Questions
from appliance.search import Library, open_layers
from builders.image import data_file_names, data_layers
from builders.oci.read import Window, open_image
from schemas.parameters import InstallationParameters
from tests.roads.road import CUSTOMER, STAGES, Road

pytestmark = pytest.mark.apart

TOPICS = ("rent", "pump", "holiday", "insurance", "seal", "notice", "valve", "deposit")
QUESTIONS = [
    *(f"What about the {topic}?" for topic in TOPICS),
    "Wann ist die Miete fällig?",
    '"the second rent"',
    "clause 3 of the pump",
    "something that nobody wrote about",
]


@dataclass
class Customer:
    """What stands at the customer's: the data layers of all versions it was sent."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def load(self, layout: Path) -> None:
        """As an engine takes an image: the layers that are in it come to those that are here."""
        for number, windows in data_layers(open_image(layout)).items():
            into = self.data / layer_folder(number)
            into.mkdir(parents=True)
            for name, window in zip(data_file_names(number), windows, strict=True):
                self._copy(window, into / Path(name).name)

    @staticmethod
    def _copy(window: Window, into: Path) -> None:
        with window.open() as file, into.open("wb") as copy:
            shutil.copyfileobj(file, copy)


@pytest.fixture
def road(new_home: Callable[[], Path]) -> Iterator[Road]:
    road = Road(new_home())
    try:
        road.run("up")
        road.start(*STAGES)
        road.run("customer", "add", CUSTOMER)
        yield road
    finally:
        road.stop()
        road.run("down")


def document(*topics: str, place: int = 0) -> str:
    return f"# Document {place}\n\n" + "\n\n".join(
        f"The {topic} of clause {place}: whoever has the {topic} keeps it until the {place + 1}th of the month."
        for topic in topics
    )


def first_documents() -> dict[str, str]:
    chosen = [(TOPICS[place % 8], TOPICS[place * 3 % 8], TOPICS[place * 5 % 7]) for place in range(24)]
    return {f"folder {place % 3}/{place}.md": document(*topics, place=place) for place, topics in enumerate(chosen)}


def write(folder: Path, sources: dict[str, str], archives: dict[str, dict[str, str]]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    for path, text in sources.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    for path, members in archives.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / path, "w") as archive:
            for name, text in members.items():
                archive.writestr(name, text)
    return folder


def baked(road: Road, *words: str) -> dict[str, Any]:
    """The job's report once its image stands."""
    job = road.json("ingest", *words, "--customer", CUSTOMER)["job"]
    report = road.wait_for_job(job)
    assert report["state"] == "baked", f"{report}\n{road.logs()}"
    return report


def layout_of(road: Road, report: dict[str, Any]) -> Path:
    return road.home / "images" / CUSTOMER / f"{report['job']}.{report['generation']}"


def deliver(road: Road, report: dict[str, Any], version: str, customer: Customer) -> None:
    """The job is packaged, the customer gets its layers, and all else that there is of it is destroyed."""
    assert road.json("package", report["job"])["version"] == version
    assert road.json("job", report["job"])["version"] == version
    customer.load(layout_of(road, report))
    road.json("erase", report["job"])
    shutil.rmtree(layout_of(road, report))
    shutil.rmtree(road.home / "packages")  # it was sent
    assert not [path for path in road.home.rglob(f"*{report['job']}*") if path.suffix != ".destroyed"]


def found(library: Library, questions: list[str]) -> list[list[tuple[Any, ...]]]:
    asked = Questions(library.about)
    answers = []
    for question in questions:
        vector, how = asked.embed(question)
        assert how == "builtin"
        passages = library.search(question, vector, limit=10)
        answers.append([(one.document, one.ordinal, one.start, one.end, one.text, one.score) for one in passages])
    return answers


def test_search_over_an_image_and_its_updates_is_search_over_one_full_bake(road: Road, tmp_path: Path) -> None:
    customer = Customer(tmp_path / "customer")
    sources = first_documents()
    archives = {"papers.zip": {"one.md": document("seal", place=30), "two.md": document("deposit", place=31)}}
    deliver(road, baked(road, str(write(tmp_path / "in", sources, archives))), "v1.0-init", customer)

    # -- v1.1: two replaced, one added, an archive whose members change, a file and a folder removed
    added = {
        "folder 0/0.md": document("pump", "valve", place=40),
        "folder 1/1.md": "# Miete\n\nDie Miete ist am dritten Werktag fällig. The second rent is due in May.",
        "new/added.md": document("insurance", "rent", place=41),
    }
    changed = {"papers.zip": {"two.md": document("holiday", place=42), "three.md": document("rent", place=43)}}
    update = write(tmp_path / "in", added, changed)
    report = baked(road, str(update), "--update", "--remove", "folder 2/2.md", "--remove", "folder 1/")
    assert (report["extends"], report["documents"]) == ("v1.0-init", {"total": 5, "done": 5, "failed": 0})
    assert road.json("verify", report["job"])["holds"]
    deliver(road, report, "v1.1-update", customer)
    sources = {
        path: text for path, text in sources.items() if path != "folder 2/2.md" and not path.startswith("folder 1/")
    } | added
    archives |= changed
    equal_to_a_full_bake(road, customer, sources, archives, tmp_path)

    # -- v1.2: only removes; another update of v1.1 was made meanwhile, and comes too late
    late = baked(road, str(write(tmp_path / "in", {"late.md": document("rent")}, {})), "--update")
    report = baked(road, "--update", "--remove", "folder 0/0.md", "--remove", "papers.zip!/two.md")
    assert (report["extends"], report["documents"]["total"]) == ("v1.1-update", 0)
    deliver(road, report, "v1.2-update", customer)
    refused = road.run("package", late["job"], ok=False)
    assert (refused.returncode, late["extends"]) == (1, "v1.1-update")
    assert "version.superseded" in refused.stderr
    del sources["folder 0/0.md"]
    del archives["papers.zip"]["two.md"]

    # -- v1.3: what was removed comes back, and an archive goes with all it held
    again = {"folder 0/0.md": document("notice", place=50), "folder 1/7.md": document("pump", place=51)}
    report = baked(road, str(write(tmp_path / "in", again, {})), "--update", "--remove", "papers.zip")
    assert report["extends"] == "v1.2-update"
    deliver(road, report, "v1.3-update", customer)
    equal_to_a_full_bake(road, customer, sources | again, {}, tmp_path)


def equal_to_a_full_bake(
    road: Road, customer: Customer, sources: dict[str, str], archives: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    report = baked(road, str(write(tmp_path / "whole", sources, archives)))
    whole = Customer(tmp_path / report["job"])
    whole.load(layout_of(road, report))
    with open_layers(customer.data) as layers, open_layers(whole.data) as full:
        assert [one.path for one in layers.documents(limit=99)] == [one.path for one in full.documents(limit=99)]
        answers = found(full, QUESTIONS)
        assert all(answers), "each question has an answer"
        assert found(layers, QUESTIONS) == answers


def test_what_cannot_be_updated_says_why(road: Road, tmp_path: Path) -> None:
    note = write(tmp_path / "in", {"note.md": document("rent")}, {})
    about = ("--customer", CUSTOMER)

    def code(*words: str) -> str:
        done = road.run("ingest", *words, *about, ok=False)
        assert done.returncode == 2, done.stderr
        return done.stderr

    assert "update.nothing" in code(str(note), "--update")
    assert "update.needed" in code("--update")
    assert "update.needed" in code(str(note), "--remove", "note.md")
    report = baked(road, str(note))
    deliver(road, report, "v1.0-init", Customer(tmp_path / "customer"))
    assert "update.parameters" in code(str(note), "--update", "--parameters", "1")
    parameters = InstallationParameters(customer_id=CUSTOMER).model_dump(mode="json", exclude={"customer_id"})
    parameters["chunking_config"] |= {"max_tokens": 64, "overlap_tokens": 0}
    (road.home / "coarse.json").write_text(json.dumps(parameters))
    assert road.json("customer", "add", CUSTOMER, "--parameters", "coarse.json")["parameters"]["version"] == 2
    update = baked(road, str(note), "--update")
    assert (update["parameters"], update["fingerprint"]) == (1, report["fingerprint"])
    assert "update.disagrees" in code(str(note), "--reference", update["reference"])
    assert baked(road, str(note), "--parameters", "1")["parameters"] == 1
    assert baked(road, str(note))["parameters"] == 2
