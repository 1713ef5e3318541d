from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.format import DATABASE, VECTORS
from builders.image import BuiltImage, build_image, building
from builders.oci.read import Image, layer_files, open_image
from schemas.errors import CradleError
from tests.builders.corpus import ABOUT, library
from tests.builders.test_oci import foreign_base


def built(into: Path, base: Path | str | None = None, rows: int = 100) -> BuiltImage:
    return build_image((one.baked(rows) for one in library()), ABOUT, base, into)


def test_an_image_holds_the_appliance_and_the_data(tmp_path: Path) -> None:
    result = built(tmp_path / "image")
    image = open_image(tmp_path / "image")
    image.verify()
    assert (image.digest, image.size) == (result.digest, result.size)
    assert (result.documents, result.chunks) == (3, 7)
    layer_files(image.layer("data"), [f"data/{DATABASE}", f"data/{VECTORS}"])
    sources = layer_files(image.layer("appliance"), ["opt/cradle/appliance/__main__.py"])
    assert b"argparse" in sources["opt/cradle/appliance/__main__.py"].read()
    assert image.manifest["annotations"]["cradle.merkle.chunk"] == result.merkle["chunk"]


def test_the_same_documents_give_the_same_image_anywhere(tmp_path: Path) -> None:
    one = built(tmp_path / "one" / "image", rows=1)
    assert one == built(tmp_path / "another place" / "image")


def test_a_base_lies_below_by_path_or_by_digest(tmp_path: Path) -> None:
    base = foreign_base(tmp_path / "base")
    by_path = built(tmp_path / "one", tmp_path / "base")
    by_digest = built(tmp_path / "two", f"{tmp_path / 'base'}@{base.digest}")
    assert by_path == by_digest
    assert open_image(tmp_path / "one").layers[0] == base.layers[0]
    with pytest.raises(CradleError) as caught:
        built(tmp_path / "three", tmp_path / "no base")
    assert caught.value.code == "image.unknown"


def test_building_again_leaves_the_image_as_it_stands(tmp_path: Path) -> None:
    first = built(tmp_path / "image")
    before = (tmp_path / "image").stat().st_ino
    assert built(tmp_path / "image") == first
    assert (tmp_path / "image").stat().st_ino == before


def test_a_damaged_image_is_built_anew(tmp_path: Path) -> None:
    first = built(tmp_path / "image")
    image = open_image(tmp_path / "image")
    image.blob(image.layers[0]["digest"]).path.write_bytes(b"damaged")
    assert built(tmp_path / "image") == first
    open_image(tmp_path / "image").verify()


def test_an_image_that_another_build_replaces_meanwhile_is_put_there_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = built(tmp_path / "image")
    monkeypatch.setattr("builders.image.open_image", _replaced(open_image))
    assert built(tmp_path / "image") == first
    open_image(tmp_path / "image").verify()


def _replaced(look: Callable[[Path], Image]) -> Callable[[Path], Image]:
    """The image at its place is renamed away between a look at it and reading it."""

    def looked(place: Path) -> Image:
        image = look(place)
        if place.name == "image":
            raise FileNotFoundError
        return image

    return looked


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), building(tmp_path / "image", None) as image:
        one = library()[0].baked()
        for passages in one.passages:
            image.data.add(one.document, one.title, passages)
        raise RuntimeError
    assert not list(tmp_path.iterdir())
