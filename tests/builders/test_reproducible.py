"""The same parts over the same base are one image: in any folder, on any day, for any user, umask, locale, time zone.

Each build is a process of its own over a copy of the sources of its own. `pytest -s` prints the digests.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders.oci.compare import first_difference
from builders.oci.read import open_image
from tests.builders.test_sbom import NUMPY, RELEASE, SITE, STATUS
from tests.builders.test_sbom import base as made_base
from tests.conftest import IN_CI, ROOT

SOURCES = ("appliance", "builders", "infra", "schemas", "tests/builders", "tests/__init__.py", "tests/conftest.py")
PROGRAM = """
import json, os, sys, time
from pathlib import Path
user, umask, base, into = int(sys.argv[1]), int(sys.argv[2], 8), sys.argv[3], Path(sys.argv[4])
import appliance, builders.sbom
from builders.image import build_image
from tests.builders.corpus import ABOUT, book, in_order, library
from tests.builders.test_image import updated
if user != os.getuid():
    os.setgroups([]); os.setgid(user); os.setuid(user)
os.umask(umask)
full = build_image((one.baked() for one in library()), ABOUT, base, into / "full")
update = updated(into / "update", into / "full", in_order([book("new.txt", "A new line."), library()[0]]), ("z.csv",))
told = {"from": appliance.__path__[0], "day": time.strftime("%Y-%m-%d"), "user": os.getuid()}
print(json.dumps({"full": full.digest, "update": update.digest, **told}))
"""


@dataclass(frozen=True)
class Surroundings:
    folder: str
    day: str
    """To faketime's liking: an absolute time goes on from there."""
    user: int
    umask: str
    locale: str
    zone: str
    seed: str


FIVE = (
    Surroundings("one", "@1999-12-31 23:59:30", 0, "000", "C", "UTC", "0"),
    Surroundings("two folders/down", "@2026-03-29 02:59:59", 1000, "022", "C.UTF-8", "Europe/Berlin", "1"),
    Surroundings("drei-ä", "@2028-02-29 12:00:00", 65532, "077", "de_DE.UTF-8", "Pacific/Auckland", "2"),
    Surroundings("4", "@2037-12-31 00:00:00", 12345, "002", "tr_TR.UTF-8", "America/St_Johns", "3"),
    Surroundings("five/" + "long" * 20, "@2026-11-23 08:00:00", 65534, "027", "POSIX", "Asia/Kathmandu", "random"),
)


@pytest.fixture(scope="module")
def faketime() -> Path:
    """The library that tells a process another day."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found or os.geteuid() != 0:
        sentence = "five days and five users need Debian's `faketime`, and root"
        if IN_CI:
            pytest.fail(sentence, pytrace=False)
        pytest.skip(sentence)
    return found[0]


def test_five_builds_are_one_image(faketime: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    made_base(
        base,
        {
            "var/lib/dpkg/status": STATUS,
            "usr/lib/os-release": RELEASE,
            f"{SITE}/numpy-2.4.6.dist-info/METADATA": NUMPY,
        },
    )
    _copy_sources(tmp_path / "sources")
    _open_to_all(tmp_path)
    told = [_build(tmp_path, base, one, faketime) for one in FIVE]
    print(*(json.dumps(one) for one in told), sep="\n")
    assert {one["user"] for one in told} == {one.user for one in FIVE}
    assert len({one["day"] for one in told}) == len({one["from"] for one in told}) == 5
    for one in FIVE[1:]:
        for kind in ("full", "update"):
            places = (tmp_path / FIVE[0].folder / kind, tmp_path / one.folder / kind)
            assert first_difference(*map(open_image, places)) is None
    assert len({one["full"] for one in told}) == len({one["update"] for one in told}) == 1


def _copy_sources(to: Path) -> None:
    """Once: somebody may edit them meanwhile."""
    for source in SOURCES:
        target = to / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)


def _build(root: Path, base: Path, one: Surroundings, faketime: Path) -> dict[str, str]:
    folder = root / one.folder
    shutil.copytree(root / "sources", folder / "sources")
    for number, path in enumerate(folder.rglob("*")):
        os.utime(path, (number * 1_000_000, number * 1_000_000))
    _open_to_all(folder.parent)
    os.chown(folder, one.user, one.user)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(folder / "sources"),
        "PYTHONHASHSEED": one.seed,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "LC_ALL": one.locale,
        "TZ": one.zone,
        "LD_PRELOAD": str(faketime),
        "FAKETIME": one.day,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    command = [sys.executable, "-c", PROGRAM, str(one.user), one.umask, str(base), str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr
    told: dict[str, str] = json.loads(done.stdout)
    return told


def _open_to_all(folder: Path) -> None:
    """pytest's own folders are closed to other users."""
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.geteuid() and path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
