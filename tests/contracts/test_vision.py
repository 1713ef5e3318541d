"""The vision port's contract, over every engine: those that read, and those of which a stand-in's weights are known."""

import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from engines.vision import PageText, VisionEngine, identify, load_engine
from engines.vision.layout import page_text
from schemas.errors import Permanent
from schemas.parameters import VisionConfig
from tests.engines.pictures import ENGLISH, GERMAN, TABLE, blank, noisy, page, skewed, table, turned

READING = ("rapidocr", "tesseract")
ENGINES = (*READING, "fake", "florence-2")


@pytest.fixture(params=ENGINES)
def config(request: pytest.FixtureRequest) -> VisionConfig:
    return configured(request.param, request)


@pytest.fixture(params=READING)
def reader(request: pytest.FixtureRequest) -> VisionEngine:
    return loaded(configured(request.param, request))


@pytest.fixture
def engine(config: VisionConfig) -> VisionEngine:
    return loaded(config)


@cache
def loaded(config: VisionConfig) -> VisionEngine:
    return load_engine(config)


def configured(name: str, request: pytest.FixtureRequest) -> VisionConfig:
    if name == "tesseract":
        require_tesseract()
    if name == "florence-2":
        return VisionConfig(engine=f"florence-2:{request.getfixturevalue('tiny_florence')}")
    return VisionConfig(engine=name)


def require_tesseract() -> None:
    if shutil.which("tesseract") is not None:
        return
    sentence = "tesseract is not there: apt-get install tesseract-ocr tesseract-ocr-deu"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


@pytest.fixture(scope="session")
def tiny_florence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from tests.engines.tiny_florence import write

    return write(tmp_path_factory.mktemp("florence"))


def words_of(recognised: PageText) -> str:
    return page_text(recognised)[0].replace("|", " ").replace("---", " ")


def word_f1(expected: str, text: str) -> float:
    wanted, found = Counter(expected.split()), Counter(text.split())
    return 2 * (wanted & found).total() / (wanted.total() + found.total())


# -- every engine -----------------------------------------------------------------------------------------------------


def test_lines_with_boxes_confidence_and_paragraphs(engine: VisionEngine) -> None:
    given = page()
    (recognised,) = engine.recognise([given])
    assert (recognised.width, recognised.height, recognised.rotation) == (given.width, given.height, 0)
    paragraphs = [line.paragraph for line in recognised.lines]
    assert paragraphs == sorted(paragraphs)
    for line in recognised.lines:
        left, top, right, bottom = line.box
        assert 0 <= left < right <= given.width
        assert 0 <= top < bottom <= given.height
        assert 0 <= line.confidence <= 1
        assert line.text == " ".join(line.text.split()) != ""


def test_a_page_does_not_depend_on_what_shares_its_batch(engine: VisionEngine) -> None:
    pages = [page(), page(ENGLISH, number=2), turned(page(), 90), blank(), page("Kurz.", width=60, height=30)]
    alone = {index: engine.recognise([given])[0] for index, given in enumerate(pages)}
    order = random.Random(5).sample(range(len(pages)), k=len(pages))
    assert engine.recognise([pages[index] for index in order]) == [alone[index] for index in order]
    assert engine.recognise([]) == []


@pytest.mark.parametrize("colour", ["white", "black", "#c8c8c8"])
def test_a_page_without_text_has_no_lines(engine: VisionEngine, colour: str) -> None:
    (recognised,) = engine.recognise([blank(colour=colour)])
    assert (recognised.lines, recognised.confidence, recognised.rotation) == ((), 0.0, 0)


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (40, 40)])
def test_any_size_is_taken(engine: VisionEngine, size: tuple[int, int]) -> None:
    (recognised,) = engine.recognise([noisy(blank(*size), 60)])
    assert (recognised.width, recognised.height) in (size, size[::-1])


def test_it_is_identified_without_loading_and_loads_as_identified(config: VisionConfig, engine: VisionEngine) -> None:
    assert identify(config) == engine.identity
    assert str(engine.identity).startswith(f"{config.engine.partition(':')[0]} weights=")


def test_it_says_nothing(engine: VisionEngine, capfd: pytest.CaptureFixture[str]) -> None:
    engine.recognise([page(), blank()])
    assert capfd.readouterr() == ("", "")


# -- engines that read ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [GERMAN, ENGLISH])
@pytest.mark.parametrize(("dpi", "noise", "least"), [(300, 0, 0.97), (150, 14, 0.9)])
def test_words_are_read_and_parted(reader: VisionEngine, text: str, dpi: int, noise: float, least: float) -> None:
    (recognised,) = reader.recognise([noisy(page(text, dpi=dpi), noise)])
    assert word_f1(text, words_of(recognised)) >= least
    assert recognised.confidence > 0.85


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_page_on_its_side_or_head_is_turned(reader: VisionEngine, degrees: int) -> None:
    recognised, upright = reader.recognise([turned(page(), degrees), page()])
    assert recognised == replace(upright, rotation=360 - degrees)


@pytest.mark.parametrize("degrees", [-4.0, 1.3])
def test_a_skewed_page_is_straightened(reader: VisionEngine, degrees: float) -> None:
    (straight,) = reader.recognise([page()])
    (recognised,) = reader.recognise([skewed(page(), degrees)])
    assert word_f1(GERMAN, words_of(recognised)) >= 0.95
    assert len(recognised.lines) == len(straight.lines)
    heights = [line.box[3] - line.box[1] for line in recognised.lines]
    assert max(heights) > max(line.box[3] - line.box[1] for line in straight.lines), "boxes lie on the skewed page"


def test_columns_are_read_one_after_the_other_and_cut_words_made_whole(reader: VisionEngine) -> None:
    (recognised,) = reader.recognise([page(f"{GERMAN} {ENGLISH}", columns=2, width=150, height=70)])
    text = words_of(recognised)
    assert word_f1(f"{GERMAN} {ENGLISH}", text) >= 0.95
    assert text.index("Stunden") < text.index("unterwiesen") < text.index("valve") < text.index("hotline")


def test_a_table_keeps_its_cells(reader: VisionEngine) -> None:
    (recognised,) = reader.recognise([page(f"{ENGLISH}\n\n{table()}", height=110)])
    lines = page_text(recognised)[0].splitlines()
    rows = [f"| {' | '.join(row)} |" for row in TABLE]
    assert lines[-5:] == [rows[0], "| --- | --- | --- |", *rows[1:]]


# -- rapidocr ---------------------------------------------------------------------------------------------------------

MEASURED = """
import re, sys
from pathlib import Path
from engines.vision import load_engine
from schemas.parameters import VisionConfig
from tests.engines.pictures import ENGLISH, page
engine = load_engine(VisionConfig(engine="rapidocr"))
pages = [page(" ".join([ENGLISH] * 14), width=210, height=297, dpi=300)] * 2
assert len(engine.recognise(pages)[0].lines) > 20
assert not {"rapidocr", "requests", "omegaconf"} & sys.modules.keys()
status = Path("/proc/self/status").read_text()  # ru_maxrss would have the parent's, from before exec
print(int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) // 1024)
"""


def test_rapidocr_takes_little_memory_and_nothing_of_its_package_but_the_models() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True, timeout=120)
    assert done.stderr == ""
    assert int(done.stdout) < 450, "MiB, of which the pages are 50"


def test_rapidocr_says_where_a_page_has_more_than_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    from engines.vision import rapidocr

    engine, given = loaded(VisionConfig(engine="rapidocr")), page(ENGLISH, dpi=150)
    whole = engine.recognise([given])[0]
    assert whole.is_whole
    monkeypatch.setattr(rapidocr, "MOST_WIDTH", 2000)
    cut = engine.recognise([given])[0]
    assert not cut.is_whole
    assert 0 < len(cut.lines) < len(whole.lines)


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from engines.vision import rapidocr

    monkeypatch.setattr(rapidocr, "SHA256", dict.fromkeys(rapidocr.SHA256, "0" * 64))
    with pytest.raises(Permanent) as refusal:
        load_engine(VisionConfig(engine="rapidocr"))
    assert refusal.value.code == "engine.weights"


# -- what is missing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("unheard-of", "engine.unknown"),
        ("florence-2", "engine.missing"),
        ("florence-2:someone/a-model", "engine.revision"),
        ("florence-2:/nowhere", "engine.missing"),
        ("tesseract:xyz", "engine.missing"),
        ("tesseract:../../eng", "engine.missing"),
    ],
)
def test_says_what_is_missing(name: str, code: str) -> None:
    for act in (identify, load_engine):
        with pytest.raises(Permanent) as refusal:
            act(VisionConfig(engine=name))
        assert refusal.value.code == code


def test_tesseract_names_its_languages_and_says_when_it_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_tesseract()
    both, one = (identify(VisionConfig(engine=f"tesseract:{languages}")) for languages in ("deu+eng", "eng"))
    assert (both.languages, one.languages) == (("de", "en"), ("en",))
    assert both.weights != one.weights
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Permanent, match="program tesseract"):
        identify(VisionConfig(engine="tesseract"))


def test_a_failing_tesseract_tells_nothing_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_tesseract()
    engine = load_engine(VisionConfig(engine="tesseract:eng"))
    broken = tmp_path / "tesseract"
    broken.write_text("#!/bin/sh\necho secret >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(engine, "_installed", engine._installed.__class__(str(broken), "5", "eng", ""))  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError) as failure:
        engine.recognise([page()])
    assert "secret" not in str(failure.value)
