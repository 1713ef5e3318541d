"""Where two images differ is named to the byte."""

import io
from pathlib import Path
from typing import Any

import pytest

from builders.oci.archive import save
from builders.oci.compare import Difference, compare_archives, first_difference, first_differing_byte
from builders.oci.layout import Layer, write_image
from builders.oci.read import Image, open_image
from tests.builders.test_image import below, built, updated
from tests.builders.test_oci import FILES, RUN, archived

LARGE = bytes(3_000_000)


def image(folder: Path, files: dict[str, bytes], annotations: dict[str, str] | None = None, run: Any = RUN) -> Image:
    folder.mkdir()
    layers = [Layer("appliance", {"opt/p.py": b"pass"}), Layer("data-000", files)]
    write_image(folder, None, layers, run, annotations or {})
    return open_image(folder)


@pytest.mark.parametrize(
    ("one", "other", "byte"),
    [
        (b"", b"", None),
        (b"abc", b"abc", None),
        (b"abc", b"abd", 2),
        (b"abc", b"ab", 2),
        (b"", b"a", 0),
        (LARGE, LARGE[:2_500_000] + b"x" + LARGE[2_500_001:], 2_500_000),
        (LARGE, LARGE + b"x", 3_000_000),
    ],
)
def test_the_first_differing_byte(one: bytes, other: bytes, byte: int | None) -> None:
    assert first_differing_byte(io.BytesIO(one), io.BytesIO(other)) == byte
    assert first_differing_byte(io.BytesIO(other), io.BytesIO(one)) == byte


def test_equal_archives_do_not_differ() -> None:
    assert compare_archives(io.BytesIO(archived(FILES)), io.BytesIO(archived(FILES))) is None


def test_a_mode_is_named() -> None:
    data = archived({"a": b"1"})
    changed = bytearray(data.replace(b"0000644\0", b"0000600\0"))
    changed[148:156] = b" " * 8
    changed[148:156] = f"{sum(changed[:512]):06o}\0 ".encode()
    found = compare_archives(io.BytesIO(data), io.BytesIO(bytes(changed)))
    assert found == ("a", None, "mode is 0o644 in the first and 0o600 in the second")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({**FILES, "data/b": b"secord"}, ("data/b", 4, "content")),
        ({**FILES, "data/b": b"second and more"}, ("data/b", 6, "content")),
        ({**FILES, "zzz": b""}, ("zzz", None, "only in the second")),
        ({**FILES, "data/aa": b""}, ("data/aa", None, "only in the second, or elsewhere")),
    ],
)
def test_the_layer_the_file_and_the_byte_are_named(
    tmp_path: Path, files: dict[str, bytes], expected: tuple[str, int | None, str]
) -> None:
    one, other = image(tmp_path / "one", FILES), image(tmp_path / "other", files)
    assert first_difference(one, other) == Difference("layer 2 (data-000)", *expected)


def test_what_is_said_of_the_layers_comes_last(tmp_path: Path) -> None:
    one, other = image(tmp_path / "one", FILES, {"a": "b"}), image(tmp_path / "other", FILES, {"a": "c"})
    found = first_difference(one, other)
    assert found is not None
    assert (found.where, found.what) == ("manifest", "content")
    assert found.byte == one.blob(one.digest).read().index(b'"b"') + 1


def test_one_image_in_two_forms_is_one(tmp_path: Path) -> None:
    one = image(tmp_path / "one", FILES)
    save(one, tmp_path / "one.tar", name="cradle/acme:v1.0")
    assert first_difference(one, open_image(tmp_path / "one.tar")) is None


def test_an_update_differs_by_its_layer(tmp_path: Path) -> None:
    built(tmp_path / "full")
    updated(tmp_path / "update", tmp_path / "full", [], ("z.csv",))
    assert below(tmp_path / "full").data_layers == 1
    full, update = open_image(tmp_path / "full"), open_image(tmp_path / "update")
    assert first_difference(full, update) == Difference("layer 3 (data-001)", None, None, "only in the second")
