"""A newer Docker than the machine's, whose images lie in containerd: unpacked from Debian's packages, run in a chroot.

Debian 12 has Docker 20.10, which knows only the classic store. Packages are unpacked, not installed, so nothing of
the machine changes; they come from the archive that apt uses, and apt checks their signatures. Needs root, for the
chroot and its mounts, and about 10 seconds the first time.
"""

# ruff: noqa: S603, S607 (every command is spelt out here; none comes from a user)

import json
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from infra.local.processes import private_folder
from schemas.errors import CradleError

SUITE: Final = "trixie"
"""Debian 13: Docker 26.1."""
PACKAGES: Final = ("docker.io",)
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
MERGED: Final = ("bin", "lib", "lib64", "sbin")
"""Names in the root that are links into /usr: the packages expect them."""
PLACES: Final = ("dev", "proc", "run", "srv", "sys", "tmp")
SETTINGS: Final = {"features": {"containerd-snapshotter": True}}
STATE: Final = Path("/srv")
"""Where the program sees the folder with its data, process id and socket."""
ENTER: Final = """
set -e
root=$1 state=$2
shift 2
mount --rbind "$root" "$root"  # containers change their root, which the system allows only below a mount
for place in dev proc sys; do mount --rbind "/$place" "$root/$place"; done
mount -t tmpfs tmpfs "$root/run"
mount --bind "$state" "$root/srv"
cd "$root"
exec env -i PATH=/usr/sbin:/usr/bin /usr/sbin/chroot "$root" "$@"
"""
"""The mounts are the process's own: they end with it."""


def command(folder: Path, arguments: Sequence[str]) -> list[str]:
    """What starts the engine whose files are under `folder`, which it sees as STATE; unpacks it the first time.

    Raises CradleError `service.missing`: apt has no archive of Debian, or cannot fetch from it.
    """
    root = folder / "root"
    if not root.exists():
        _unpack(root)
    enter = ["unshare", "--mount", "--propagation=private", "sh", "-c", ENTER, "enter"]
    return [*enter, str(root), str(folder), "/usr/sbin/dockerd", *arguments]


def _unpack(root: Path) -> None:
    packages, unfinished = root.with_name("packages"), root.with_name("root.unfinished")
    for left in (packages, unfinished):
        shutil.rmtree(left, ignore_errors=True)
    try:
        _fetch(private_folder(packages))
        _lay_out(unfinished)
        for package in sorted(packages.glob("cache/archives/*.deb")):
            subprocess.run(["dpkg-deb", "--extract", package, unfinished], check=True)
    except (subprocess.CalledProcessError, FileNotFoundError):
        how = f"apt-get update; it must reach Debian's archive, and know the keys of {SUITE}"
        raise CradleError("service.missing", name="A newer Docker engine", what=f"Debian's {SUITE}", how=how) from None
    unfinished.rename(root)
    shutil.rmtree(packages)


def _fetch(folder: Path) -> None:
    """The packages and all they need, for a system that has none, with an apt whose state is this folder's own."""
    for place in ("cache/archives/partial", "state/lists/partial"):
        (folder / place).mkdir(parents=True)
    (folder / "state" / "status").touch()
    (folder / "sources").write_text(f"deb [signed-by={KEYRING}] {_archive()} {SUITE} main\n")
    own = {
        "Dir::Etc::SourceList": folder / "sources",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "state" / "status",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",  # the folder is ours alone
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "--quiet=2", *(f"--option={name}={value}" for name, value in own.items())]
    subprocess.run([*apt, "update"], check=True)
    download = ["install", "--yes", "--no-install-recommends", "--download-only"]
    subprocess.run([*apt, *download, *PACKAGES], check=True, stdout=subprocess.DEVNULL)


def _archive() -> str:
    """Where apt takes this Debian from. Raises FileNotFoundError."""
    if not (known := _archives()):
        subprocess.run(["apt-get", "--quiet=2", "update"], check=True)
        known = _archives()
    if not known:
        raise FileNotFoundError
    return known[0]


def _archives() -> list[str]:
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    of_debian = ["Origin: Debian", f"Codename: {codename}", "Component: main"]
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", *of_debian]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()


def _lay_out(root: Path) -> None:
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in PLACES:
        (root / name).mkdir()
    settings = root / "etc" / "docker" / "daemon.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(SETTINGS))
