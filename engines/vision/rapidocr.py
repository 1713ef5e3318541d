"""RapidOCR's models of PP-OCRv6, which its wheel carries: Latin, Greek and Chinese letters and many more.

Of the package only the model files are used, each known by its hash: its own code downloads what it misses, writes
logs of its own, and reads lines in batches in which they change each other's text.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engines.extraction import PageImage
from engines.vision import Line, PageText, VisionIdentity
from schemas.errors import Permanent
from schemas.parameters import VisionConfig

if TYPE_CHECKING:
    from engines.vision.paddle import Detector, Part, Recogniser
    from engines.vision.upright import UprightPage

NAME: Final = "rapidocr"
DETECTION: Final = "PP-OCRv6_det_small.onnx"
RECOGNITION: Final = "PP-OCRv6_rec_small.onnx"
SHA256: Final[Mapping[str, str]] = {
    DETECTION: "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
    RECOGNITION: "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
}
"""Of the model files in rapidocr 3.10.0."""
MOST_WIDTH: Final = 400_000
"""Pixels of lines, LINE_HEIGHT high, that are read of a page, the largest first: two hundred lines across A4. It bounds
the time that a page of noise takes to about a minute."""
PROGRAMS: Final = ("onnxruntime", "opencv-python-headless")


class RapidOcrEngine:
    def __init__(self, identity: VisionIdentity, detector: "Detector", recogniser: "Recogniser") -> None:
        self.identity = identity
        self._detector = detector
        self._recogniser = recogniser

    def recognise(self, pages: Sequence[PageImage]) -> list[PageText]:
        return [self._recognise(page) for page in pages]

    def _recognise(self, page: PageImage) -> PageText:
        from engines.vision.upright import read_upright

        left_out: list[Part] = []
        text = read_upright(page, partial(self._read, left_out))
        return replace(text, is_whole=text.is_whole and not left_out)

    def _read(self, left_out: "list[Part]", page: "UprightPage") -> list[Line]:
        """The page's lines; the first beyond MOST_WIDTH goes to `left_out`."""
        from engines.vision.paddle import parts

        found = (part for corners in self._detector.lines(page.pixels) for part in parts(page.pixels, corners))
        lines: list[Line] = []
        width = 0
        for part in found:
            width += part.picture.shape[1]
            if width > MOST_WIDTH:
                left_out.append(part)
                break
            lines.append(self._line(page, part))
        return lines

    def _line(self, page: "UprightPage", part: "Part") -> Line:
        text, confidence = self._recogniser.read(part.picture)
        return Line(text, page.box(part.around_letters()), confidence)


def identify(config: VisionConfig) -> VisionIdentity:
    weights = hashlib.sha256("".join(SHA256[name] for name in sorted(SHA256)).encode()).hexdigest()
    try:
        program = ", ".join(f"{package} {version(package)}" for package in PROGRAMS)
    except PackageNotFoundError:
        raise Permanent("engine.missing", name=NAME, what=f"the packages {', '.join(PROGRAMS)}") from None
    return VisionIdentity(name=NAME, weights=weights, program=program)


def load(config: VisionConfig) -> RapidOcrEngine:
    import cv2

    from engines.vision.paddle import Detector, Recogniser

    detection, recognition = _session(DETECTION), _session(RECOGNITION)
    cv2.setNumThreads(1)
    known = recognition.get_modelmeta().custom_metadata_map["character"].splitlines()
    return RapidOcrEngine(identify(config), Detector(detection), Recogniser(recognition, ("", *known, " ")))


def _session(name: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise Permanent("engine.missing", name=NAME, what="the package onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # sums do not depend on how many cores there are
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # what a large page took is given back
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(_weights(name), options, providers=["CPUExecutionProvider"])


def _weights(name: str) -> bytes:
    """Raises Permanent `engine.missing` or `engine.weights`."""
    package = find_spec("rapidocr")  # found, never imported
    places = [Path(place) / "models" / name for place in (package.submodule_search_locations or ())] if package else []
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise Permanent("engine.missing", name=NAME, what="the package rapidocr 3.10, with its models")
    weights = found.read_bytes()
    if hashlib.sha256(weights).hexdigest() != SHA256[name]:
        raise Permanent("engine.weights", name=NAME)
    return weights
