"""Writes `files/`: the corpus as LibreOffice saves it. `python -m tests.engines.formats.libreoffice`.

The files are kept, so that tests need no LibreOffice; they change only when this is run anew.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.engines.formats import flat

FILES: Final = Path(__file__).parent / "files"
MADE: Final = {
    "manual.fodt": (flat.manual, ("odt", "docx", "rtf", "epub", "html")),
    "prices.fods": (flat.prices, ("ods", "xlsx")),
    "slides.fodp": (flat.slides, ("odp", "pptx")),
}


def main() -> int:
    office = shutil.which("soffice")
    if office is None:
        print("LibreOffice (soffice) is not installed.", file=sys.stderr)
        return 1
    FILES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, (make, suffixes) in MADE.items():
            source = Path(folder) / name
            source.write_bytes(make())
            for suffix in suffixes:
                subprocess.run(
                    [office, f"-env:UserInstallation=file://{folder}/profile", "--headless", "--convert-to", suffix,
                     "--outdir", str(FILES), str(source)],
                    check=True, capture_output=True, timeout=120,
                )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
