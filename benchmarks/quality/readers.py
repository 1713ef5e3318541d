"""Who reads the corpus: our extraction and engines, and the programs that they are held against."""

import subprocess
from collections.abc import Callable, Mapping
from typing import Final

from engines import extraction
from engines.extraction import PageImage
from engines.vision import VisionEngine, load_engine
from engines.vision.layout import page_text
from schemas.parameters import VisionConfig

Reader = Callable[[bytes], str]

ENGINES: Final = ("rapidocr", "tesseract:deu+eng")
"""Florence-2 is not among them: its weights are not at hand."""


def ours(media_type: str) -> Reader:
    return lambda data: extraction.extract(data, media_type).text


def pdftotext(*options: str) -> Reader:
    """Poppler's, from Debian's poppler-utils."""

    def read(data: bytes) -> str:
        command = ["pdftotext", *options, "-", "-"]
        made = subprocess.run(command, input=data, capture_output=True, check=True, timeout=60)
        return made.stdout.decode()

    return read


def kreuzberg(data: bytes) -> str:
    """The library as it comes."""
    import kreuzberg as library

    config = library.ExtractionConfig(use_cache=False, output_format="markdown")
    return str(library.extract_bytes_sync(data, "application/pdf", config=config).content)


OF_PDF: Final[Mapping[str, Reader]] = {
    "cradle": ours("application/pdf"),
    "pdftotext": pdftotext(),
    "pdftotext -layout": pdftotext("-layout"),
    "kreuzberg": kreuzberg,
}


def engine(name: str) -> VisionEngine:
    return load_engine(VisionConfig(engine=name))


def recognised(engine: VisionEngine, page: PageImage) -> str:
    text, _ = page_text(engine.recognise([page])[0])
    return text
