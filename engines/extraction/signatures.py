"""Bytes by which formats that are no text are told."""

import io
import re
from collections.abc import Callable
from typing import Final

_OLE: Final = "application/x-ole-storage"
BEGINNINGS: Final = (
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"{\\rtf", "application/rtf"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OLE),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"II+\0", "image/tiff"),
    (b"MM\0+", "image/tiff"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
    (b"\0\0\x01\0", "image/x-icon"),
    (b"8BPS\0\x01", "image/vnd.adobe.photoshop"),
    (b"\x01\0\0\0X\0\0\0", "image/emf"),
    (b"\xd7\xcd\xc6\x9a", "image/emf"),
    (b"AT&TFORM", "application/vnd.djvu"),
    (b"%!PS", "application/postscript"),
    (b"\xc5\xd0\xd3\xc6", "application/postscript"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"\xfd7zXZ\0", "application/x-xz"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"MSCF\0\0\0\0", "application/x-cab"),
    (b"!BDN", "application/vnd.ms-outlook-store"),
    (b"\0\x01\0\0Standard Jet DB", "application/x-msaccess"),
    (b"\0\x01\0\0Standard ACE DB", "application/x-msaccess"),
    (b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", "application/onenote"),
    (b"ITSF\x03\0\0\0", "application/vnd.ms-htmlhelp"),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
    (b"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
    (b"bplist00", "application/x-plist"),
    (b"L\0\0\0\x01\x14\x02\0", "application/x-shortcut"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"MThd\0\0\0\x06", "audio/midi"),
    (b"OggS\0", "application/ogg"),
    (b"\x1aE\xdf\xa3", "video/x-matroska"),
    (b"0&\xb2u\x8ef\xcf\x11", "video/x-ms-asf"),
    (b"\x7fELF", "application/x-executable"),
    (b"\xcf\xfa\xed\xfe", "application/x-executable"),
    (b"\xfe\xed\xfa\xcf", "application/x-executable"),
    (b"\xca\xfe\xba\xbe", "application/java-vm"),
    (b"\0asm\x01\0\0\0", "application/wasm"),
    (b"\0\x01\0\0\0", "font/sfnt"),
    (b"OTTO\0", "font/sfnt"),
    (b"wOFF", "font/sfnt"),
    (b"wOF2", "font/sfnt"),
    (b"age-encryption.org/v1\n", "application/age"),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "application/age"),
    (b"-----BEGIN PGP MESSAGE-----", "application/pgp-encrypted"),
)
WITHIN: Final = (
    (8, b"WEBP", b"RIFF", "image/webp"),
    (8, b"WAVE", b"RIFF", "audio/wav"),
    (8, b"AVI ", b"RIFF", "video/x-msvideo"),
    (257, b"ustar", b"", "application/x-tar"),
    (60, b"BOOKMOBI", b"", "application/x-mobipocket"),
    (0x8001, b"CD001", b"", "application/x-iso9660"),
    (4, b"1AY&SY", b"BZh", "application/x-bzip2"),
    (4, b"ftypheic", b"", "image/heic"),
    (4, b"ftypheix", b"", "image/heic"),
    (4, b"ftypmif1", b"", "image/heic"),
    (4, b"ftypavif", b"", "image/avif"),
    (4, b"ftyp", b"", "video/mp4"),
    (4, b"moov", b"", "video/mp4"),
)
"""At an offset, and how the file begins."""
_DWG: Final = re.compile(rb"AC10[0-9]{2}\0")
_MP3: Final = re.compile(rb"\xff[\xf2\xf3\xfa\xfb][\x10-\xef]")
_BITMAP_HEADERS: Final = (12, 40, 52, 56, 64, 108, 124)
_PDF_LATEST: Final = 1024
"""Some writers put bytes before the header; readers allow 1 KiB."""


def told(data: bytes) -> str | None:
    """The media type that the bytes tell, None if they may be text."""
    for beginning, media_type in BEGINNINGS:
        if data.startswith(beginning):
            return media_type
    for offset, mark, beginning, media_type in WITHIN:
        if data.startswith(mark, offset) and data.startswith(beginning):
            return media_type
    for test, media_type in _TESTS:
        if test(data):
            return media_type
    return None


def _is_bitmap(data: bytes) -> bool:
    return data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BITMAP_HEADERS


_TESTS: Final[tuple[tuple[Callable[[bytes], object], str], ...]] = (
    (_is_bitmap, "image/bmp"),
    (lambda data: data.startswith(b"PAR1") and data.endswith(b"PAR1"), "application/vnd.apache.parquet"),
    (lambda data: data.startswith(b"MZ") and b"PE\0\0" in data[:4096], "application/x-executable"),
    (_DWG.match, "application/vnd.dwg"),
    (_MP3.match, "audio/mpeg"),
    (lambda data: b"%PDF-" in data[:_PDF_LATEST], "application/pdf"),
)


# -- Microsoft's compound files ---------------------------------------------------------------------------------------

_STREAMS: Final = (
    ("EncryptedPackage", "application/x-office-encrypted"),
    ("__properties_version1.0", "application/vnd.ms-outlook"),
    ("WordDocument", "application/msword"),
    ("Workbook", "application/vnd.ms-excel"),
    ("Book", "application/vnd.ms-excel"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"),
    ("VisioDocument", "application/vnd.visio"),
    ("Quill", "application/vnd.ms-publisher"),
    ("\x05SummaryInformation", _OLE),
)


def of_streams(data: bytes) -> str:
    """The type of a compound file, by what lies in its root; where that cannot be read, by names found anywhere."""
    names = _root_names(data)
    if names is not None:
        project = any(name.startswith("   1") or name == "Props" for name in names)
        found = next((media_type for name, media_type in _STREAMS if name in names), _OLE)
        return "application/vnd.ms-project" if project and found == _OLE else found
    return next((media_type for name, media_type in _STREAMS if name.encode("utf-16-le") in data), _OLE)


def _root_names(data: bytes) -> set[str] | None:
    import olefile

    try:
        with olefile.OleFileIO(io.BytesIO(data), raise_defects=olefile.DEFECT_FATAL) as file:
            return {path[0] for path in file.listdir(storages=True)}
    except Exception:  # olefile lets struct's and others' errors through
        return None
