"""What a bake writes on the way: sealed, without a name, and gone with its process."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from builders.image import build_image
from builders.oci.read import open_image
from builders.scratch import UNIT, UNITS_HELD, Scratch, SealedFile
from tests.builders.corpus import ABOUT, book, in_order

CANARY = "Kanarienvogel-7b1f0c2e"
BOOKS = [book(f"{i:04d}.txt", f"{CANARY} {i} " + "wort " * 50) for i in range(800)]

BAKE = """
import os, signal, sys
from pathlib import Path
from builders import image, scratch
from builders.image import building
from builders.oci import tar
from tests.builders.corpus import ABOUT
from tests.builders.test_scratch import BOOKS

def say(*where):
    print(*where, flush=True)
    sys.stdin.readline()

scratch.UNITS_HELD = 1  # so that every unit is on disk at once
if sys.argv[2] == "while the layer is written":
    write = tar._write_file
    def written(name, content, out):
        write(name, content, out)
        if name.endswith("vectors.f32"):
            say(sys.argv[2])
    tar._write_file = written
with building(Path(sys.argv[1]), None) as made:
    for one in BOOKS:
        baked = one.baked()
        for passages in baked.passages:
            made.data.add(baked.document, baked.title, passages)
        made.data.close_document(baked.document, baked.title, baked.whole())
    if sys.argv[2] == "before it ends":
        made.data._database.execute("COMMIT; BEGIN")
        made.data._database.execute("PRAGMA shrink_memory")
        say(sys.argv[2])
    made.finish(ABOUT)
"""


def opened(folder: Path) -> SealedFile:
    return Scratch(folder).file("one")


def on_disk(file: SealedFile) -> bytes:
    return os.pread(file._descriptor, os.fstat(file._descriptor).st_size, 0)


def test_it_reads_what_was_written_anywhere_in_any_order(tmp_path: Path) -> None:
    draw = random.Random(1)
    file, expected = opened(tmp_path), bytearray()
    for _ in range(2000):
        offset = draw.randrange((UNITS_HELD + 40) * UNIT)
        data = draw.randbytes(draw.randrange(3 * UNIT) if draw.random() < 0.05 else draw.randrange(200))
        file.write(offset, data)
        if data:
            expected.extend(bytes(max(0, offset + len(data) - len(expected))))
            expected[offset : offset + len(data)] = data
    with file.open() as reader:
        assert reader.read() == expected
    assert file.size == len(expected)
    assert file.read(len(expected) - 3, 100) == expected[-3:]
    file.truncate(5 * UNIT + 7)
    file.write(5 * UNIT + 10, b"x")
    assert file.read(5 * UNIT, UNIT) == expected[5 * UNIT : 5 * UNIT + 7] + b"\0\0\0x"
    file.close()


def test_nothing_readable_is_on_disk_and_no_name(tmp_path: Path) -> None:
    file = opened(tmp_path)
    file.write(0, CANARY.encode() * (UNITS_HELD + 10) * (UNIT // len(CANARY)))
    assert len(on_disk(file)) >= UNIT
    assert CANARY[:8].encode() not in on_disk(file)
    assert not list(tmp_path.iterdir())
    file.close()


def test_equal_units_are_not_told_from_others(tmp_path: Path) -> None:
    file = opened(tmp_path)
    file.write(0, bytes((UNITS_HELD + 2) * UNIT))
    first, second = on_disk(file)[:UNIT], on_disk(file)[UNIT : 2 * UNIT]
    assert first != second
    file.close()


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("builders.scratch.UNITS_HELD", 1)
    monkeypatch.setattr("builders.scratch.os.pwrite", full)
    with pytest.raises(OSError, match="No space"):
        build_image((one.baked() for one in in_order(BOOKS)), ABOUT, None, tmp_path / "image")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("moment", ["before it ends", "while the layer is written"])
def test_a_killed_bake_leaves_nothing_to_read(tmp_path: Path, moment: str) -> None:
    command = [sys.executable, "-c", BAKE, str(tmp_path / "image"), moment]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bake:
        assert bake.stdout is not None
        assert bake.stdout.readline().strip() == moment
        held = _held(bake.pid, tmp_path)
        bake.send_signal(signal.SIGKILL)
        bake.wait()
    assert sum(map(len, held)) > 1_000_000  # it had written much of it
    if moment == "before it ends":
        assert not [one for one in held if CANARY.encode() in one]
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in left if CANARY.encode() in path.read_bytes()]
    assert not (tmp_path / "image").exists()
    build_image((one.baked() for one in BOOKS), ABOUT, None, tmp_path / "image")
    open_image(tmp_path / "image").verify()
    assert [path.name for path in tmp_path.iterdir()] == ["image"]


def _held(pid: int, folder: Path) -> list[bytes]:
    """What is on disk of the files under `folder` that the process has open."""
    links = [link for link in Path(f"/proc/{pid}/fd").iterdir() if str(link.readlink()).startswith(str(folder))]
    return [link.read_bytes() for link in links if not link.is_dir()]
