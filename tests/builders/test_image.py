import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from appliance.format import DATABASE, VECTORS
from builders.image import SBOM, Below, BuiltImage, build_image, building, data_layers
from builders.oci.archive import save
from builders.oci.read import Image, layer_files, open_image, read_files, role_of
from schemas.errors import CradleError
from tests.builders.corpus import ABOUT, Book, book, library
from tests.builders.test_oci import foreign_base


def built(into: Path, base: Path | str | None = None, rows: int = 100) -> BuiltImage:
    return build_image((one.baked(rows) for one in library()), ABOUT, base, into)


def test_an_image_holds_the_appliance_and_the_data(tmp_path: Path) -> None:
    result = built(tmp_path / "image")
    image = open_image(tmp_path / "image")
    image.verify()
    assert (image.digest, image.size) == (result.digest, result.size)
    assert (result.documents, result.chunks) == (3, 7)
    layer_files(image.layer("data-000"), [f"data/000/{DATABASE}", f"data/000/{VECTORS}"])
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


# -- updates


def below(layout: Path) -> Below:
    """What is remembered of an image: no layer."""
    image = open_image(layout)
    return Below(image.digest, image.manifest, image.config)


def updated(
    into: Path, layout: Path, books: list[Book], removed: tuple[str, ...] = (), builder: str = "daemonless"
) -> BuiltImage:
    return build_image(
        (one.baked() for one in books), ABOUT, None, into, below=below(layout), removed=removed, builder=builder
    )


def test_an_update_is_one_more_layer_over_what_is_remembered(tmp_path: Path) -> None:
    base = foreign_base(tmp_path / "base")
    built(tmp_path / "full", tmp_path / "base")
    result = updated(tmp_path / "update", tmp_path / "full", [book("new.txt", "A new line.")])
    full, update = open_image(tmp_path / "full"), open_image(tmp_path / "update")
    assert update.layers[:-1] == full.layers
    assert update.missing == [layer["digest"] for layer in full.layers]
    assert [role_of(layer) for layer in update.layers] == ["", "appliance", "data-000", "data-001"]
    assert update.config["config"] == full.config["config"]
    assert update.config["history"][:-1] == full.config["history"]
    assert len(update.config["rootfs"]["diff_ids"]) == len(update.layers)
    assert update.manifest["annotations"]["org.opencontainers.image.base.digest"] == base.digest
    assert update.manifest["annotations"]["cradle.merkle.chunk"] == result.merkle["chunk"]
    assert result.size == sum(blob.stat().st_size for blob in (tmp_path / "update" / "blobs" / "sha256").iterdir())
    update.verify()


def test_an_update_hides_what_it_replaces_and_removes(tmp_path: Path) -> None:
    built(tmp_path / "full")
    updated(tmp_path / "update", tmp_path / "full", [book("z.csv", "pump;VS-55;900 EUR")], ("a/", "old.txt"))
    [(number, (database, _))] = data_layers(open_image(tmp_path / "update")).items()
    connection = sqlite3.connect(":memory:")
    connection.deserialize(database.read())
    with closing(connection):
        hidden = [path for (path,) in connection.execute("SELECT path FROM hidden ORDER BY path")]
        documents = [path for (path,) in connection.execute("SELECT path FROM documents")]
    assert (number, hidden, documents) == (1, ["a/", "old.txt", "z.csv"], ["z.csv"])


def test_an_update_may_only_remove(tmp_path: Path) -> None:
    built(tmp_path / "full")
    result = updated(tmp_path / "update", tmp_path / "full", [], ("z.csv",))
    assert (result.documents, result.chunks) == (0, 0)
    open_image(tmp_path / "update").verify()


def test_updates_lie_over_updates_and_are_the_same_anywhere(tmp_path: Path) -> None:
    built(tmp_path / "full")
    updated(tmp_path / "one", tmp_path / "full", [book("one.txt", "One.")])
    two = updated(tmp_path / "two", tmp_path / "one", [book("two.txt", "Two.")])
    assert updated(tmp_path / "elsewhere" / "two", tmp_path / "one", [book("two.txt", "Two.")]) == two
    image = open_image(tmp_path / "two")
    assert role_of(image.layers[-1]) == "data-002"
    assert list(data_layers(image)) == [2]


def test_a_thin_image_without_its_own_layer_is_broken(tmp_path: Path) -> None:
    built(tmp_path / "full")
    updated(tmp_path / "update", tmp_path / "full", [book("one.txt", "One.")])
    open_image(tmp_path / "update").layer("data-001").path.unlink()
    with pytest.raises(CradleError) as caught:
        open_image(tmp_path / "update").verify()
    assert caught.value.code == "image.broken"


def test_a_full_image_that_lacks_a_layer_is_broken(tmp_path: Path) -> None:
    built(tmp_path / "full")
    open_image(tmp_path / "full").layer("appliance").path.unlink()
    with pytest.raises(CradleError) as caught:
        open_image(tmp_path / "full").verify()
    assert caught.value.code == "image.broken"


@pytest.mark.parametrize("thin", [False, True])
def test_an_image_is_saved_as_far_as_it_is_here(tmp_path: Path, thin: bool) -> None:
    built(tmp_path / "layout")
    if thin:
        updated(tmp_path / "update", tmp_path / "layout", [book("one.txt", "One.")])
    image = open_image(tmp_path / ("update" if thin else "layout"))
    save(image, tmp_path / "image.tar", name="cradle/acme:v1.0")
    saved = open_image(tmp_path / "image.tar")
    saved.verify()
    assert (saved.digest, saved.missing) == (image.digest, image.missing)
    assert len(saved.missing) == (2 if thin else 0)


# -- what a customer's engine and people read of it


def test_it_says_how_it_runs_and_what_it_is(tmp_path: Path) -> None:
    built(tmp_path / "image")
    image = open_image(tmp_path / "image")
    settings = image.config["config"]
    assert (settings["User"], settings["Cmd"]) == ("65532:65532", ["serve"])
    assert settings["ExposedPorts"] == {"8080/tcp": {}}
    assert settings["Healthcheck"]["Test"] == ["CMD", "python3", "-m", "appliance", "healthcheck"]
    told = {name: value for name, value in image.manifest["annotations"].items() if not name.startswith("cradle.")}
    assert told == settings["Labels"]
    assert set(told) == {f"org.opencontainers.image.{name}" for name in ("title", "description", "version", "licenses")}


def test_the_appliance_is_all_its_files_and_the_sbom(tmp_path: Path) -> None:
    built(tmp_path / "image")
    names = read_files(open_image(tmp_path / "image"), lambda name: name.startswith("opt/"))
    assert "opt/cradle/appliance/page.html" in names
    assert not [name for name in names if "__pycache__" in name]
    assert names[SBOM].startswith(b"{")


def test_of_two_builds_at_once_one_wins_and_the_other_sees_it(tmp_path: Path) -> None:
    with building(tmp_path / "image", None) as one, building(tmp_path / "image", None) as other:
        for image in (one, other):
            for baked in (book.baked() for book in library()):
                for passages in baked.passages:
                    image.data.add(baked.document, baked.title, passages)
                image.data.close_document(baked.document, baked.title, baked.whole())
        first = one.finish(ABOUT)
        stands = (tmp_path / "image").stat().st_ino
        assert other.finish(ABOUT) == first
        assert (tmp_path / "image").stat().st_ino == stands
    assert [path.name for path in tmp_path.iterdir()] == ["image"]
    open_image(tmp_path / "image").verify()
