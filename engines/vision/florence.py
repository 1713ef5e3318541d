"""Florence-2 by transformers' own classes, from a folder or a hub, on a GPU where there is one.

The model sees a square of 768 pixels, in which a page's small print is lost: it gets strips of the page, each twice as
wide as high. So that a page's text does not depend on what shares its batch, a batch always has the same number of
strips, the missing ones blank; on a CPU, where batches gain nothing, one.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.embedding.models import Model, locate
from engines.extraction import PageImage
from engines.gpu import memory_permitting
from engines.vision import Line, PageText, VisionIdentity
from schemas.errors import Permanent
from schemas.parameters import VisionConfig

if TYPE_CHECKING:
    from engines.vision.upright import Pixels, UprightPage

NAME: Final = "florence-2"
TASK: Final = "<OCR_WITH_REGION>"
FILES: Final = ("*.safetensors", "*.bin", "*.json")
PACKAGES: Final = ("transformers", "torch")
ROWS: Final = 8
"""Strips of a batch on a GPU."""
WIDE: Final = 2
"""Times as wide as high a strip is."""
MOST_TOKENS: Final = 1024
"""Of a strip's answer: what the model was trained to write."""
BINS: Final = 1000
"""Its boxes count in thousandths of the picture's sides."""
CORNERS: Final = 8
"""Numbers of a box: four corners."""
_PLACE: Final = re.compile(r"<loc_(\d+)>")


class FlorenceEngine:
    def __init__(self, identity: VisionIdentity, model: Any, processor: Any, *, rows: int) -> None:
        self.identity = identity
        self._model = model
        self._processor = processor
        self._rows = rows
        self._longest = min(MOST_TOKENS, model.config.text_config.max_position_embeddings - 1)

    def recognise(self, pages: Sequence[PageImage]) -> list[PageText]:
        from engines.vision.upright import read_upright

        return [read_upright(page, self._read) for page in pages]

    def _read(self, page: "UprightPage") -> Iterator[Line]:
        from engines.vision.strips import is_blank, strips

        height = max(1, page.pixels.shape[1] // WIDE)
        places = [(top, bottom) for top, bottom in strips(page.pixels, height) if not is_blank(page.pixels[top:bottom])]
        answers = self._answers([page.pixels[top:bottom] for top, bottom in places])
        for (top, bottom), tokens in zip(places, answers, strict=True):
            for region in _regions(tokens):
                text = self._processor.tokenizer.convert_tokens_to_string(list(region.tokens))
                corners = np.add(region.corners(page.size[0], bottom - top), (0, top))
                yield Line(text, page.box(corners), region.confidence)

    def _answers(self, pictures: "Sequence[Pixels]") -> "Iterator[list[Token]]":
        for first in range(0, len(pictures), self._rows):
            some = pictures[first : first + self._rows]
            blank = [np.full_like(some[0], 255)] * (self._rows - len(some))
            yield from self._generated([*some, *blank])[: len(some)]

    def _generated(self, pictures: "Sequence[Pixels]") -> "list[list[Token]]":
        import torch
        from transformers import LogitsProcessorList

        given = self._processor(text=[TASK] * len(pictures), images=list(pictures), return_tensors="pt")
        chances: list[Any] = []

        def note(_: Any, scores: Any) -> Any:
            chances.append(scores.float().softmax(dim=-1).amax(dim=-1))
            return scores

        with memory_permitting(NAME), torch.inference_mode():
            made = self._model.generate(
                **given.to(self._model.device, self._model.dtype),
                max_new_tokens=self._longest,
                num_beams=1,
                do_sample=False,
                logits_processor=LogitsProcessorList([note]),
            )
        likely = torch.stack(chances, dim=1).tolist()
        return [
            self._tokens(row, chance) for row, chance in zip(made[:, -len(chances) :].tolist(), likely, strict=True)
        ]

    def _tokens(self, ids: Sequence[int], chances: Sequence[float]) -> "list[Token]":
        """What the model wrote, without the tokens that mean nothing."""
        tokenizer = self._processor.tokenizer
        nothing = {name for name in tokenizer.all_special_tokens if not _PLACE.fullmatch(name)}
        names = tokenizer.convert_ids_to_tokens(list(ids))
        return [Token(name, chance) for name, chance in zip(names, chances, strict=True) if name not in nothing]


# -- its answer -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Token:
    name: str
    """As the vocabulary has it: some letters are several tokens."""
    chance: float


@dataclass(frozen=True, slots=True)
class Region:
    tokens: tuple[str, ...]
    places: tuple[int, ...]
    """x and y of its corners, in thousandths."""
    confidence: float

    def corners(self, width: int, height: int) -> NDArray[np.float64]:
        """(4, 2), in pixels of a picture of this size."""
        thousandths = np.array(self.places, dtype=np.float64).reshape(4, 2)
        return np.asarray((thousandths + 0.5) / BINS * (width, height))


def _regions(tokens: Sequence[Token]) -> Iterator[Region]:
    """Texts with the eight places that follow each; what has fewer was cut off, or is no region."""
    written: list[Token] = []
    places: list[int] = []
    for token in tokens:
        place = _PLACE.fullmatch(token.name)
        if place:
            places.append(int(place[1]))
        elif places:
            written, places = [token], []
        else:
            written.append(token)
        if len(places) == CORNERS:
            if written:
                confidence = sum(part.chance for part in written) / len(written)
                yield Region(tuple(part.name for part in written), tuple(places), round(min(1.0, confidence), 4))
            written, places = [], []


# -- the model --------------------------------------------------------------------------------------------------------


def identify(config: VisionConfig) -> VisionIdentity:
    return _identity(_model(config))


def _model(config: VisionConfig) -> Model:
    return locate(NAME, config.engine.partition(":")[2], config.revision)


def _identity(model: Model) -> VisionIdentity:
    try:
        program = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    except PackageNotFoundError:
        raise Permanent("engine.missing", name=NAME, what="torch and transformers") from None
    return VisionIdentity(name=NAME, weights=model.digest(*FILES), program=program)


def load(config: VisionConfig) -> FlorenceEngine:
    found = _model(config)
    identity = _identity(found)
    try:
        import torch

        transformers: Any = import_module("transformers")
    except ImportError:
        raise Permanent("engine.missing", name=NAME, what="torch and transformers") from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        torch.set_num_threads(1)
    flash = on_gpu and transformers.utils.is_flash_attn_2_available()
    # transformers' classes and no others: a model is data, never a program
    processor = transformers.Florence2Processor.from_pretrained(found.repository, revision=found.revision)
    with memory_permitting(NAME):
        model = transformers.Florence2ForConditionalGeneration.from_pretrained(
            found.repository,
            revision=found.revision,
            dtype=torch.float16 if on_gpu else torch.float32,
            attn_implementation="flash_attention_2" if flash else "sdpa",
        ).to("cuda" if on_gpu else "cpu")
    return FlorenceEngine(identity, model.eval(), processor, rows=ROWS if on_gpu else 1)
