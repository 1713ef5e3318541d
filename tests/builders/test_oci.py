import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from builders.oci import tar
from builders.oci.archive import save
from builders.oci.layout import Layer, RunSettings, canonical_json, write_image
from builders.oci.read import Image, layer_files, open_image
from schemas.errors import CradleError

RUN = RunSettings(("python3", "-m", "appliance"), ("about",), "65532:65532", {"PYTHONPATH": "/opt/cradle"})
FILES: dict[str, bytes] = {"data/b": b"second", "data/a": b"first", "opt/x/y.py": b"", "top": bytes(513)}


def archived(files: dict[str, Any]) -> bytes:
    output = io.BytesIO()
    tar.write_tar(files, output.write)
    return output.getvalue()


def written(folder: Path, base: Image | None = None) -> Image:
    folder.mkdir()
    write_image(folder, base, [Layer("appliance", {"opt/p.py": b"pass"}), Layer("data-000", FILES)], RUN, {"a": "b"})
    return open_image(folder)


def foreign_base(folder: Path) -> Image:
    """A base by other tools: a compressed layer, its own environment and history."""
    (folder / "blobs" / "sha256").mkdir(parents=True)

    def blob(data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (folder / "blobs" / "sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    plain = archived({"etc/debian_version": b"12\n"})
    config = {
        "architecture": "arm64",
        "os": "linux",
        "config": {"Env": ["PATH=/usr/bin", "PYTHONPATH=/elsewhere"], "User": "root"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}"]},
        "history": [{"created_by": "somebody"}],
    }
    manifest = {
        "schemaVersion": 2,
        "config": blob(canonical_json(config), "application/vnd.oci.image.config.v1+json"),
        "layers": [blob(gzip.compress(plain, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    named = blob(canonical_json(manifest), "application/vnd.oci.image.manifest.v1+json")
    (folder / "index.json").write_bytes(canonical_json({"schemaVersion": 2, "manifests": [named]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return open_image(folder)


# -- the layer's archive


def test_a_layer_holds_files_and_folders_sorted_without_owner_or_time() -> None:
    with tarfile.open(fileobj=io.BytesIO(archived(FILES)), mode="r:") as archive:
        members = archive.getmembers()
        contents = {m.name: archive.extractfile(m).read() for m in members if m.isfile()}  # type: ignore[union-attr]
    assert contents == FILES
    assert [member.name for member in members] == ["data", "data/a", "data/b", "opt", "opt/x", "opt/x/y.py", "top"]
    assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
    assert {(member.isdir(), member.mode) for member in members} == {(True, 0o755), (False, 0o644)}


def test_a_layer_is_the_same_whatever_the_order_and_the_source(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"second")
    (tmp_path / "b").chmod(0o600)
    assert archived(FILES) == archived(dict(reversed(FILES.items()))) == archived({**FILES, "data/b": tmp_path / "b"})


def test_a_file_past_ustars_limit_states_its_size_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "_USTAR_LIMIT", 1000)
    large = bytes(range(256)) * 4
    with tarfile.open(fileobj=io.BytesIO(archived({"large": large, "small": b"x"})), mode="r:") as archive:
        assert [(m.name, m.size) for m in archive] == [("large", 1024), ("small", 1)]
        assert archive.extractfile("large").read() == large  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["", "ä", "a\nb", "x" * 101])
def test_names_that_could_be_written_in_two_ways_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        archived({name: b""})


# -- the layout


def test_an_image_without_a_base_is_whole(tmp_path: Path) -> None:
    image = written(tmp_path / "image")
    image.verify()
    assert [layer["annotations"]["cradle.layer"] for layer in image.layers] == ["appliance", "data-000"]
    assert image.config["config"]["User"] == "65532:65532"
    assert image.manifest["annotations"] == {"a": "b"}
    found = layer_files(image.layer("data-000"), ["data/a", "data/b"])
    assert {name: window.read() for name, window in found.items()} == {"data/a": b"first", "data/b": b"second"}
    assert image.size == sum(path.stat().st_size for path in (tmp_path / "image" / "blobs" / "sha256").iterdir())


def test_the_same_layers_give_the_same_image(tmp_path: Path) -> None:
    assert written(tmp_path / "one").digest == written(tmp_path / "other").digest


def test_a_base_lies_below_and_says_what_ours_does_not(tmp_path: Path) -> None:
    base = foreign_base(tmp_path / "base")
    image = written(tmp_path / "image", base)
    image.verify()
    assert image.layers[0] == base.layers[0]
    assert image.config["architecture"] == "arm64"
    assert image.config["config"]["Env"] == ["PATH=/usr/bin", "PYTHONPATH=/opt/cradle"]
    assert [entry["created_by"] for entry in image.config["history"]][:2] == ["somebody", "cradle: appliance"]
    assert image.manifest["annotations"]["org.opencontainers.image.base.digest"] == base.digest


def test_a_base_may_be_a_tar_of_a_layout(tmp_path: Path) -> None:
    base = foreign_base(tmp_path / "base")
    save(base, tmp_path / "base.tar", name="base:1")
    over_tar = written(tmp_path / "one", open_image(tmp_path / "base.tar"))
    over_tar.verify()
    assert over_tar.digest == written(tmp_path / "other", base).digest


def test_of_several_images_one_must_be_named(tmp_path: Path) -> None:
    image = foreign_base(tmp_path / "base")
    index = json.loads((tmp_path / "base" / "index.json").read_bytes())
    index["manifests"].append({**index["manifests"][0], "digest": "sha256:" + "0" * 64})
    (tmp_path / "base" / "index.json").write_bytes(canonical_json(index))
    assert open_image(tmp_path / "base", image.digest).digest == image.digest
    with pytest.raises(CradleError, match="2 images") as caught:
        open_image(tmp_path / "base")
    assert caught.value.code == "image.broken"


@pytest.mark.parametrize("which", ["config", "layer", "manifest"])
def test_a_flipped_bit_is_found(tmp_path: Path, which: str) -> None:
    image = written(tmp_path / "image")
    digests = {"config": image.manifest["config"]["digest"], "layer": image.layers[1]["digest"]}
    path = image.blob(digests.get(which, image.digest)).path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CradleError) as caught:
        open_image(tmp_path / "image").verify()
    assert caught.value.code == "image.broken"


def test_a_layer_that_does_not_unpack_to_its_diff_id_is_found(tmp_path: Path) -> None:
    image = foreign_base(tmp_path / "base")
    image.verify()
    image.config["rootfs"]["diff_ids"][0] = "sha256:" + "0" * 64
    with pytest.raises(CradleError, match="configuration"):
        image.verify()


def test_what_is_no_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("not a tar")
    for path, code in {
        tmp_path: "image.broken",
        tmp_path / "note.txt": "image.broken",
        tmp_path / "none": "image.unknown",
    }.items():
        with pytest.raises(CradleError) as caught:
            open_image(path)
        assert caught.value.code == code


# -- the archive


def test_an_archive_is_a_layout_and_what_docker_saves(tmp_path: Path) -> None:
    image = written(tmp_path / "image")
    save(image, tmp_path / "image.tar", name="cradle/acme:1")
    reopened = open_image(tmp_path / "image.tar")
    reopened.verify()
    assert reopened.digest == image.digest
    window = layer_files(reopened.layer("data-000"), ["data/a"])["data/a"]
    assert (window.path, window.read()) == (tmp_path / "image.tar", b"first")
    with tarfile.open(tmp_path / "image.tar") as archive:
        names = set(archive.getnames())
        [docker] = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert docker["RepoTags"] == ["cradle/acme:1"]
    assert {docker["Config"], *docker["Layers"]} < names


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("cradle/acme:v1.0", "docker.io/cradle/acme:v1.0"),
        ("base:1", "docker.io/library/base:1"),
        ("registry.example:5000/acme:v1.0", "registry.example:5000/acme:v1.0"),
        ("localhost/acme:v1.0", "localhost/acme:v1.0"),
    ],
)
def test_the_containerd_store_reads_a_full_name(tmp_path: Path, name: str, kept: str) -> None:
    save(written(tmp_path / "image"), tmp_path / "image.tar", name=name)
    with tarfile.open(tmp_path / "image.tar") as archive:
        [entry] = json.load(archive.extractfile("index.json"))["manifests"]  # type: ignore[arg-type]
    assert entry["annotations"]["io.containerd.image.name"] == kept


def test_an_archive_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    image = written(tmp_path / "image")
    layer = image.blob(image.layers[0]["digest"]).path
    layer.chmod(0o600)
    layer.unlink()
    with pytest.raises(FileNotFoundError):
        save(image, tmp_path / "image.tar", name="cradle/acme:1")
    assert [path.name for path in tmp_path.iterdir()] == ["image"]
