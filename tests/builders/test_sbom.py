import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from appliance.sbom import read_components
from builders.oci.layout import canonical_json
from builders.oci.read import Image, open_image
from builders.sbom import make_sbom

STATUS = """Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u13
Description: a
 b: c

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""
RELEASE = 'ID=debian\nVERSION_ID="12"\n'
NUMPY = "Metadata-Version: 2.4\nName: NumPy\nVersion: 2.4.6\nLicense-Expression: BSD-3-Clause\n\nLicense: of the body\n"
WORDY = "Metadata-Version: 2.1\nName: wordy\nVersion: 1\nLicense: the whole\n        text\n"
SITE = "usr/local/lib/python3.11/dist-packages"


def base(folder: Path, *layers: dict[str, str]) -> Image:
    """A base whose layers are gzipped, as those of registries are."""
    (folder / "blobs" / "sha256").mkdir(parents=True)

    def blob(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (folder / "blobs" / "sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    plain = [_tar(files) for files in layers]
    gzipped = [blob(gzip.compress(one, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip") for one in plain]
    diff_ids = [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in plain]
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = {"config": blob(canonical_json(config), "application/vnd.oci.image.config.v1+json"), "layers": gzipped}
    named = blob(canonical_json(manifest), "application/vnd.oci.image.manifest.v1+json")
    (folder / "index.json").write_bytes(canonical_json({"manifests": [named]}))
    (folder / "oci-layout").write_text("{}")
    return open_image(folder)


def _tar(files: dict[str, str]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content.encode())
            archive.addfile(entry, io.BytesIO(content.encode()))
    return output.getvalue()


def components(base: Image | None, folder: Path) -> dict[str, tuple[str, str | None]]:
    path = folder / "sbom.json"
    path.write_bytes(make_sbom(base, version="0.1.0", licence="Apache-2.0"))
    return {one["name"]: (one["version"], one["licence"]) for one in read_components(path)}


def test_it_lists_what_the_layers_leave(tmp_path: Path) -> None:
    first = {
        "var/lib/dpkg/status": STATUS,
        "usr/lib/os-release": RELEASE,
        f"{SITE}/numpy-2.4.6.dist-info/METADATA": NUMPY,
        f"{SITE}/wordy-1.dist-info/METADATA": WORDY,
        f"{SITE}/old-1.dist-info/METADATA": NUMPY.replace("NumPy", "old"),
    }
    second = {f"{SITE}/.wh.old-1.dist-info": ""}
    found = components(base(tmp_path / "base", first, second), tmp_path)
    assert found.pop("sqlite")[1] == "blessing"
    assert found == {
        "libc6": ("2.36-9+deb12u13", None),
        "numpy": ("2.4.6", "BSD-3-Clause"),
        "wordy": ("1", None),
    }


def test_it_is_the_same_each_time_and_says_no_time(tmp_path: Path) -> None:
    image = base(tmp_path / "base", {"var/lib/dpkg/status": STATUS})
    one, other = (make_sbom(image, version="0.1.0", licence="Apache-2.0") for _ in range(2))
    assert one == other
    said = json.loads(one)
    assert said["metadata"]["timestamp"].startswith("1970-01-01")
    assert said["metadata"]["component"]["name"] == "cradle-appliance"
    another = json.loads(make_sbom(None, version="0.1.0", licence="Apache-2.0"))
    assert another["serialNumber"] != said["serialNumber"]
