"""Members of ZIP and TAR archives, read in memory; nothing is ever unpacked to disk."""

import io
import tarfile
import zipfile

from schemas.errors import Permanent
from schemas.ids import clean_path


def zip_members(data: bytes) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            if any(info.flag_bits & 1 for info in infos):
                raise Permanent("document.encrypted")
            return [(_member_path(info.filename), archive.read(info)) for info in infos]
    except Permanent:
        raise
    except Exception:  # zipfile lets its decompressors' errors through
        raise Permanent("document.broken", kind="application/zip") from None


def tar_members(data: bytes) -> list[tuple[str, bytes]]:
    """Regular files only: links and devices are no documents. Also reads gzip, bzip2 and xz."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as archive:
            found = []
            for info in archive:
                stream = archive.extractfile(info) if info.isreg() else None
                if stream is not None:
                    found.append((_member_path(info.name), stream.read()))
            return found
    except Permanent:
        raise
    except Exception:  # tarfile lets its decompressors' errors through
        raise Permanent("document.broken", kind="application/x-tar") from None


def _member_path(name: str) -> str:
    """Raises Permanent `source.path` for a name that would leave the archive."""
    name = name.replace("\\", "/")
    return clean_path(name.removeprefix("./"))
