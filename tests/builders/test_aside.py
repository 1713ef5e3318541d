import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from builders.oci.aside import aside, named_when_whole, put_in_place

BUILDER = """
import sys, time
from pathlib import Path
from builders.oci.aside import aside
with aside(Path(sys.argv[1])) as scratch:
    (scratch / "half").write_text("made")
    print(scratch, flush=True)
    time.sleep(600)
"""

REPLACER = """
import os, sys
from pathlib import Path
from builders.oci.aside import aside, put_in_place
place, left, rename = Path(sys.argv[1]), int(sys.argv[2]), Path.rename
def counted(path, to):
    global left
    left -= 1
    if left == 0:
        os._exit(9)
    return rename(path, to)
with aside(place) as scratch:
    (scratch / "made").mkdir()
    (scratch / "made" / "file").write_text("new")
    Path.rename = counted
    put_in_place(scratch / "made", place)
"""


def build(place: Path, content: str) -> None:
    with aside(place) as scratch:
        (scratch / "made").mkdir()
        (scratch / "made" / "file").write_text(content)
        put_in_place(scratch / "made", place)


def test_a_result_appears_whole(tmp_path: Path) -> None:
    build(tmp_path / "images" / "one", "content")
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["one"]
    assert (tmp_path / "images" / "one" / "file").read_text() == "content"


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), aside(tmp_path / "one") as scratch:
        (scratch / "half").write_text("made")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_what_stood_there_is_replaced(tmp_path: Path) -> None:
    build(tmp_path / "one", "old")
    build(tmp_path / "one", "new")
    assert (tmp_path / "one" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


@pytest.mark.parametrize("renames", [1, 3, 4, 5])
def test_killed_while_it_replaces_the_old_or_the_new_stands(tmp_path: Path, renames: int) -> None:
    """The process ends before its rename number `renames`; there are four."""
    place = tmp_path / "one"
    build(place, "old")
    subprocess.run([sys.executable, "-c", REPLACER, str(place), str(renames)], check=False)
    with aside(place):
        standing = (place / "file").read_text()
    assert standing == ("new" if renames > 4 else "old")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_what_was_replaced_is_removed_after_its_successor_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "one"
    build(place, "old")
    remove, seen = shutil.rmtree, []

    def look(folder: Path, *, ignore_errors: bool = False) -> None:
        if (Path(folder) / "replaced").exists():
            seen.append((place / "file").read_text())
        remove(folder, ignore_errors=ignore_errors)

    monkeypatch.setattr("builders.oci.aside.shutil.rmtree", look)
    build(place, "new")
    assert seen == ["new"]


def test_of_two_at_once_the_last_remains(tmp_path: Path) -> None:
    with aside(tmp_path / "one") as first, aside(tmp_path / "one") as second:
        for folder, content in ((first, "first"), (second, "second")):
            (folder / "made").mkdir()
            (folder / "made" / "file").write_text(content)
        put_in_place(second / "made", tmp_path / "one")
        put_in_place(first / "made", tmp_path / "one")
    assert (tmp_path / "one" / "file").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_the_next_build_clears_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "one"
    with subprocess.Popen([sys.executable, "-c", BUILDER, str(place)], stdout=subprocess.PIPE, text=True) as builder:
        assert builder.stdout is not None
        scratch = Path(builder.stdout.readline().strip())
        build(place, "while it lives")
        assert (scratch / "half").exists()
        builder.send_signal(signal.SIGKILL)
        builder.wait()
        assert (scratch / "half").exists()
        build(place, "after its death")
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


@pytest.mark.parametrize("anonymous", [True, False])
def test_a_file_gets_its_name_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anonymous: bool
) -> None:
    if not anonymous:
        monkeypatch.setattr("builders.oci.aside.os.open", _without_nameless_files(os.open))
    for content in (b"first", b"second"):
        with named_when_whole(tmp_path) as (file, give_name):
            file.write(content)
            assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == (
                [] if content == b"first" else ["name"]
            )
            assert not anonymous or len(list(tmp_path.iterdir())) == (content == b"second")
            give_name("name")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("name", b"first")]


def test_a_file_that_is_not_whole_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), named_when_whole(tmp_path) as (file, _):
        file.write(b"half")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def _without_nameless_files(opened: Callable[..., int]) -> Callable[..., int]:
    """A file system that knows none."""

    def open_file(path: Path, flags: int, *more: int, **options: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return opened(path, flags, *more, **options)

    return open_file
