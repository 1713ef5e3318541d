"""The folder that a customer gets: rendered, signed, and put in its place whole."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from builders.image import Below
from builders.oci.aside import aside, put_in_place
from builders.update_script import update_script
from operations.package.credentials import make_credentials, read_credentials, write_credentials
from operations.package.rendering import LANGUAGES, render
from operations.package.signing import Signer, files_of, sign_folder
from operations.package.statements import as_json, image_name, job_statement, provenance
from operations.versions import below
from schemas.parameters import InstallationParameters
from schemas.versions import VersionRecord, read_version

Kind = Literal["first", "update", "rollback"]
"""`first`: into an empty place. The others are unpacked over the folder that the customer has, and leave its
credentials and settings as they are."""

PLAIN: Final = "image.tar"
ENCRYPTED: Final = "image.tar.age"
BUILTIN: Final = "builtin"
"""The embedding model that lies in the image itself."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A package as it stands."""

    path: Path
    kind: Kind
    files: dict[str, int]
    """Bytes of each file, by its name in the folder."""
    encrypted: bool
    fingerprint: str
    """Of the signing key, as `verify.sh` prints it."""
    new_credentials: bool
    """Whether a token was made just now: those from an earlier folder do not open this one."""

    @property
    def size(self) -> int:
        return sum(self.files.values())


def tar_file(record: VersionRecord) -> str:
    """The name in a package of the file that holds the image: what was archived is encrypted."""
    return PLAIN if record.archived is None else ENCRYPTED


def write_folder(
    into: Path,
    *,
    record: VersionRecord,
    tar: Path,
    parameters: InstallationParameters,
    kind: Kind,
    credentials: bool,
    signer: Signer,
) -> Folder:
    """Makes the package of a version at `into`; what stood there is replaced. Blocking.

    `tar` is the image as it is shipped, plain or encrypted (`tar_file`); it is moved into the folder. With
    `credentials` the folder gets a token: the one that stands at `into`, or else a new one.
    The same arguments over the same credentials give the same bytes. Killed, it leaves what stood there.
    """
    values = _values(record, parameters, kind, signer, size=tar.stat().st_size)
    with aside(into) as scratch:
        kept = read_credentials(into) if credentials else None
        made = make_credentials() if credentials and kept is None else None
        folder = scratch / "package"
        folder.mkdir(mode=0o700)
        _move(tar, folder / tar_file(record))
        for name, content in (_texts(record, values) | _statements(record, folder, signer)).items():
            (folder / name).write_bytes(content)
        if held := kept or made:
            write_credentials(held, folder)
        sign_folder(folder, signer)
        for path in filter(Path.is_file, folder.iterdir()):
            path.chmod(0o755 if path.suffix == ".sh" else 0o644)
        put_in_place(folder, into)
    files = {name: path.stat().st_size for name, path in files_of(into).items()}
    return Folder(into, kind, files, record.archived is not None, signer.fingerprint, made is not None)


def _texts(record: VersionRecord, values: Mapping[str, Any]) -> dict[str, bytes]:
    """What is read by people and by Docker."""
    texts = {f"INSTALL.{language}.md": render("package/INSTALL", values, language) for language in LANGUAGES}
    texts |= {name: render(f"package/{name}", values) for name in ("docker-compose.yml", "verify.sh")}
    if values["kind"] == "first":
        texts[".env"] = render("package/env", values)  # it is the customer's own from then on
    if record.extends:
        texts["update.sh"] = _update_script(record, record.extends)
    return {name: text.encode() for name, text in texts.items()}


def _update_script(record: VersionRecord, extends: str) -> str:
    """The layers below are told by the record: all but the newest."""
    older = slice(-len(record.new_layers))
    diff_ids = record.config["rootfs"]["diff_ids"][older]
    older_image = Below(
        digest="",
        manifest={**record.manifest, "layers": record.manifest["layers"][older]},
        config={**record.config, "rootfs": {**record.config["rootfs"], "diff_ids": diff_ids}},
    )
    return update_script(
        below(record),
        older_image,
        name=image_name(record).partition(":")[0],
        tag=read_version(record.version).tag,
        below_tag=read_version(extends).tag,
        archive=PLAIN,
    )


def _statements(record: VersionRecord, folder: Path, signer: Signer) -> dict[str, bytes]:
    """What programs read."""
    tar = tar_file(record)
    with (folder / tar).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    statements = {
        "job.json": job_statement(record),
        "provenance.intoto.json": provenance(record, tar=tar, tar_sha256=sha256, key_sha256=signer.key_sha256),
    }
    if record.sbom:
        statements["sbom.cdx.json"] = record.sbom
    return {name: as_json(statement) for name, statement in statements.items()}


def _values(
    record: VersionRecord, parameters: InstallationParameters, kind: Kind, signer: Signer, *, size: int
) -> dict[str, Any]:
    """What the templates of a package may ask for."""
    return {
        "customer": record.customer,
        "version": record.version,
        "tag": read_version(record.version).tag,
        "extends": record.extends,
        "extends_tag": read_version(record.extends).tag if record.extends else None,
        "image": image_name(record),
        "kind": kind,
        "tar": PLAIN,
        "shipped": tar_file(record),
        "encrypted": record.archived is not None,
        "size": size,
        "documents": record.documents,
        "chunks": record.chunks,
        "left_out": sum(record.left_out.values()),
        "date": record.packaged_at.date(),
        "fingerprint": signer.fingerprint,
        "bundled_model": parameters.embedding_config.model == BUILTIN,
        "model": parameters.embedding_config.model,
        "sbom": record.sbom is not None,
    }


def _move(file: Path, to: Path) -> None:
    try:
        file.replace(to)
    except OSError:  # another file system
        shutil.copyfile(file, to)
        file.unlink()
