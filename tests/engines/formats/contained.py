"""Archives and mails, and what of each becomes a document of its own."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from typing import Final

from consumers.admit.core import member_path
from engines.extraction import members, probe
from tests.engines import samples
from tests.engines.formats import written
from tests.engines.formats.corpus import FILES

Documents = Sequence[tuple[str, bytes]]
"""Path and content, in the container's order."""


@dataclass(frozen=True)
class Container:
    format: str
    holds: str
    name: str
    make: Callable[[], bytes]
    documents: Callable[[], Documents]


def documents(container: Container) -> Documents:
    """Its members, as they are admitted."""
    data = container.make()
    found = members(data, probe(data, container.name).media_type)
    return [(member_path(container.name, name), content) for name, content in found if isinstance(content, bytes)]


# -- scores -----------------------------------------------------------------------------------------------------------


def contents(got: Documents, container: Container) -> float | None:
    """F1 of members by their bytes: what is no document lowers it."""
    wanted = container.documents()
    shared = Counter(content for _, content in got) & Counter(content for _, content in wanted)
    return 2 * shared.total() / (len(got) + len(wanted)) if got else 0.0


def paths(got: Documents, container: Container) -> float | None:
    """Share of documents that have the path they should have."""
    wanted = {path for path, _ in container.documents()}
    return len({path for path, _ in got} & wanted) / len(wanted)


def order(got: Documents, container: Container) -> float | None:
    """1 or 0, where there are several."""
    wanted = [path for path, _ in container.documents()]
    return float([path for path, _ in got] == wanted) if len(wanted) > 1 else None


def types(got: Documents, container: Container) -> float | None:
    """Share of documents whose type is told and read, or opened in their turn."""
    return sum(probe(content, path).route in ("text", "mail", "archive") for path, content in got) / max(len(got), 1)


SCORES: Final[Mapping[str, Callable[[Documents, Container], float | None]]] = {
    "bytes": contents,
    "paths": paths,
    "order": order,
    "types": types,
}


# -- the corpus -------------------------------------------------------------------------------------------------------

_PRICES: Final = "größen.csv"


def _files() -> dict[str, bytes]:
    """With folders, umlauts, and an archive within."""
    return {
        "Werk Süd/Handbücher/manual.docx": (FILES / "manual.docx").read_bytes(),
        f"Werk Süd/{_PRICES}": written.values(),
        "mail.eml": written.mail(),
        "alt.zip": samples.zipped({"Notiz.txt": written.plain("utf-8")}),
    }


def _inside(name: str, files: Mapping[str, bytes]) -> Documents:
    return [(f"{name}!/{path}", content) for path, content in files.items()]


def _archive(format_: str, name: str, make: Callable[[], bytes]) -> Container:
    return Container(format_, "4 files, a folder and a link", name, make, lambda: _inside(name, _files()))


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("Werk Süd/"), b"")
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "mail.eml")
        for path, content in _files().items():
            archive.writestr(zipfile.ZipInfo(path), content)
    return file.getvalue()


def _tar(compression: str = "") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=f"w:{compression}") as archive:  # type: ignore[call-overload]
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE):
            info = tarfile.TarInfo(f"kind {kind!r}")
            info.type, info.linkname = kind, "mail.eml"
            archive.addfile(info)
        for path, content in _files().items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def _packed(format_: str, suffix: str, pack: Callable[[bytes], bytes]) -> Container:
    name = f"{_PRICES}.{suffix}"
    return Container(
        format_, "1 file", name, lambda: pack(written.values()), lambda: _inside(name, {_PRICES: written.values()})
    )


def _mail() -> bytes:
    """With a logo shown in its text, two files of one name, and a mail that was passed on."""
    message = EmailMessage(policy.SMTP)
    message["From"] = "radka@velmora.example"
    message["To"] = "nele@brennlund.example"
    message["Subject"] = written.SUBJECT
    message["Date"] = "Mon, 02 Mar 2026 09:12:00 +0100"
    message.set_content("Anbei.")
    message.add_attachment(b"\x89PNG", "image", "png", disposition="inline", cid="<logo>", filename="logo.png")
    for content in _attached():
        message.add_attachment(content, "text", "csv", filename=f"../{_PRICES}")
    message.add_attachment(_passed_on(), filename="Anfrage.eml")
    message.set_boundary("outer")
    return bytes(message)


def _attached() -> Sequence[bytes]:
    return (written.values(), b"teil;preis\r\nHK-12;318,40\r\nHK-13;74,00\r\n")


def _passed_on() -> EmailMessage:
    return message_from_bytes(written.mail(), policy=policy.SMTP)


def _in_mail() -> Documents:
    first, second = _attached()
    return _inside("mail.eml", {_PRICES: first, f"2-{_PRICES}": second, "Anfrage.eml": written.mail()})


def _in_outlook() -> Documents:
    """A message within is no file, so it has no bytes of its own."""
    return _inside("mail.msg", {_PRICES: written.ATTACHED, "Ältere Frage.eml": b""})


CONTAINERS: Final[Sequence[Container]] = (
    _archive("ZIP", "werk.zip", _zip),
    _archive("TAR", "werk.tar", _tar),
    *(
        _archive(f"TAR, {name}", f"werk.tar.{suffix}", partial(_tar, suffix))
        for name, suffix in (("gzip", "gz"), ("bzip2", "bz2"), ("xz", "xz"))
    ),
    _packed("gzip", "gz", gzip.compress),
    _packed("bzip2", "bz2", bz2.compress),
    _packed("xz", "xz", lzma.compress),
    Container("EML", "3 attachments and a logo", "mail.eml", _mail, _in_mail),
    Container("MSG", "2 attachments and a hidden picture", "mail.msg", written.outlook, _in_outlook),
)
