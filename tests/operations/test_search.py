import os
import shutil
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from appliance.encoder import DIMENSION, load_encoder
from builders.image import Below, build_image
from builders.oci.archive import save
from builders.oci.read import open_image
from infra.paths import CustomerPaths
from operations.images import customer_images, find_image
from operations.search import search
from schemas.errors import CradleError
from schemas.parameters import EmbeddingConfig, InstallationParameters
from tests.builders.corpus import ABOUT, Book, book, in_order, library

JOBS = [UUID(int=1), UUID(int=2)]


def bake(into: Path, books: list[Book], about: object = ABOUT, *, fold: bool = False) -> Path:
    build_image((one.baked() for one in books), about, None, into, fold=fold)  # type: ignore[arg-type]
    return into


def test_a_customers_newest_image_answers(tmp_path: Path) -> None:
    paths = CustomerPaths(tmp_path, "acme")
    newest = bake(paths.image(JOBS[0], 1), library())
    older = bake(paths.image(JOBS[1], 1), [book("old.txt", "old contract")])
    os.utime(older / "index.json", (1, 1))
    assert customer_images(tmp_path, "acme") == [newest, older]
    assert find_image(tmp_path, "acme") == newest
    [answer] = search(tmp_path, "acme", "notice in writing", limit=1)
    assert answer == {
        "document": "a/contract.txt",
        "page": 1,
        "start": 39,
        "end": 66,
        "score": pytest.approx(1 / 61),
        "marks": [],
        "also": [],
        "names": 1,
        "folded": 0,
        "text": "Notice is given in writing.",
    }


def test_a_layout_and_its_tar_answer_alike(tmp_path: Path) -> None:
    layout = bake(tmp_path / "image", library())
    save(open_image(layout), tmp_path / "image.tar", name="cradle/acme:1")
    answers = search(tmp_path, str(layout), "Urlaub Vertrag pump")
    assert answers == search(tmp_path, str(tmp_path / "image.tar"), "Urlaub Vertrag pump")
    assert len(answers) > 2


def test_an_image_of_several_layers_answers_as_one(tmp_path: Path) -> None:
    """As the customer's engine has it: whoever only has the update cannot ask it."""
    bake(tmp_path / "elsewhere" / "base", library())
    replacing = book("a/contract.txt", "The lease ends after two years.")
    build_image(
        [replacing.baked()],
        ABOUT,
        None,
        tmp_path / "update",
        below=below(tmp_path / "elsewhere" / "base"),
        removed=["z.csv"],
    )
    with pytest.raises(CradleError) as caught:
        search(tmp_path, str(tmp_path / "update"), "lease")
    assert caught.value.code == "image.thin"

    blobs = tmp_path / "update" / "blobs" / "sha256"
    for blob in (tmp_path / "elsewhere" / "base" / "blobs" / "sha256").iterdir():
        shutil.copy(blob, blobs / blob.name)
    bake(tmp_path / "whole", in_order([library()[0], replacing]))
    for question in ("lease", "contract twelve months", "pump", "Urlaub Vertrag"):
        assert search(tmp_path, str(tmp_path / "update"), question) == search(
            tmp_path, str(tmp_path / "whole"), question
        )
    assert search(tmp_path, str(tmp_path / "update"), "pump") == []


def below(layout: Path) -> Below:
    image = open_image(layout)
    return Below(image.digest, image.manifest, image.config)


def test_the_builtin_model_finds_meaning_in_the_other_language(tmp_path: Path) -> None:
    encoder = load_encoder()
    one = book(
        "p.txt", "Der Jahresurlaub beträgt dreißig Tage.\nDie Pumpe wird jährlich gewartet.\nThe canteen opens at noon."
    )
    vectors = np.stack([encoder.encode(text) for text in one.texts])
    assert vectors.shape == (3, DIMENSION)
    parameters = InstallationParameters(customer_id="acme", embedding_config=EmbeddingConfig(model="builtin"))
    about = {"fingerprint": "f" * 64, "parameters": parameters.deciding()}
    layout = bake(tmp_path / "image", in_order([Book(one.document, one.text, one.chunks, vectors)]), about)
    [answer] = search(tmp_path, str(layout), "How many days of holiday do employees get?", limit=1)
    assert answer["text"] == one.texts[0]


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    for target in ("nobody", str(tmp_path / "nothing"), "../etc"):
        with pytest.raises(CradleError) as caught:
            search(tmp_path, target, "contract")
        assert caught.value.code == "image.unknown"


def test_a_damaged_data_layer_is_told(tmp_path: Path) -> None:
    layout = bake(tmp_path / "image", library())
    blob = open_image(layout).layer("data-000").path
    blob.write_bytes(blob.read_bytes().replace(b"CRADLEVF", b"XXXXXXXX"))
    with pytest.raises(CradleError) as caught:
        search(tmp_path, str(layout), "contract")
    assert caught.value.code == "image.broken"
