"""The ocr stage from scanned PDFs to recognised documents, beside the engine's bare loop over the same pictures.

Both sides have the same cores: the engine takes one, and the stage draws pages while the engine reads those before.
CPU time of the whole process is told beside it: what drawing, batching and packing cost.
"""

import asyncio
import io
import time

from PIL import Image

from benchmarks.table import Row, paired
from consumers.ocr import stage
from consumers.runtime.contract import Done, Handle, Received
from engines.extraction import PageImage, pictures
from engines.library import EngineLibrary
from schemas.messages import DocumentAdmitted, Message
from schemas.parameters import InstallationParameters, VisionConfig
from tests.engines.pictures import ENGLISH, GERMAN, image, page
from tests.fakes import JOB, DictStore, document, fake_ports, received

ROUNDS = 3
DOCUMENTS = 2
PAGES = 2
BAR = 0.95
PDF = "application/pdf"


def run() -> list[Row]:
    config = VisionConfig(engine="rapidocr")
    library, staging = EngineLibrary(), DictStore()
    parameters = InstallationParameters(customer_id="acme", vision_config=config)
    handle = stage(fake_ports(parameters=parameters, engines=library, staging=staging))
    scans = [_scan(number) for number in range(DOCUMENTS)]
    images = [drawn for scan in scans for drawn in pictures(scan, PDF, dpi=config.dpi)]
    with asyncio.Runner() as runner:
        engine = runner.run(library.vision(config))
        inputs = runner.run(_inputs(staging, scans))

        def bare() -> None:
            for first in range(0, len(images), config.batch_size):
                engine.recognise(images[first : first + config.batch_size])

        def staged() -> None:
            runner.run(_through_stage(handle, inputs))

        wall = paired(bare, staged, rounds=ROUNDS, clock=time.perf_counter)
        cpu = paired(bare, staged, rounds=ROUNDS, clock=time.process_time)
    return [
        Row(
            name="ocr stage, rapidocr",
            measured=f"{len(images) / wall.second:.2f} pages/s on a core",
            baseline=f"{len(images) / wall.first:.2f} pages/s, the engine's bare loop",
            ratio=wall.ratio,
            bar=f"at least {BAR}",
            passed=wall.ratio >= BAR,
        ),
        Row(
            name="ocr stage, rapidocr, by CPU time",
            measured=f"{len(images) / cpu.second:.2f} pages a second of CPU",
            baseline=f"{len(images) / cpu.first:.2f} pages a second of CPU, the engine's bare loop",
            ratio=cpu.ratio,
            bar="told, no bar",
            passed=True,
        ),
    ]


def _scan(number: int) -> bytes:
    """A PDF of A5 pages at 300 dpi that are pictures and nothing else."""
    text = f"Seite {number}. {GERMAN} {ENGLISH} " * 2
    given: PageImage = page(text, width=148, height=210, dpi=300)
    file = io.BytesIO()
    sheets: list[Image.Image] = [image(given)] * PAGES
    sheets[0].save(file, "PDF", save_all=True, append_images=sheets[1:], resolution=300, quality=90)
    return file.getvalue()


async def _inputs(staging: DictStore, scans: list[bytes]) -> list[Received[Message]]:
    inputs = []
    for number, scan in enumerate(scans):
        name = await staging.put(JOB, "raw", f"scan {number}", scan)
        admitted = DocumentAdmitted(document=document(f"scan {number}.pdf", PDF, size=len(scan)), object=name)
        inputs.append(received(admitted, name=str(number)))
    return inputs


async def _through_stage(handle: Handle, inputs: list[Received[Message]]) -> None:
    answered = [outcome async for outcome in handle(inputs)]
    assert sum(isinstance(outcome, Done) for outcome in answered) == len(inputs)
