"""Tokenizers of transformer models, from the model's tokenizer.json, by the `tokenizers` library."""

import json
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.embedding.models import NAME, find_model
from schemas.errors import Permanent
from schemas.parameters import EmbeddingConfig

_PART_AT_SPACE: Final = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}
"""Pre-tokenizers that part words at white space and forget it. Others may tell a word after a space from one at the
beginning, as GPT-2's does."""
_STRETCH: Final = 1 << 16
"""Code points. A long text is encoded in stretches: the library's memory grows with the text it is given."""


class HuggingFaceTokenizer:
    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.special_tokens = tokenizer.num_special_tokens_to_add(is_pair=False)
        self.additive = _parts_at_space(json.loads(tokenizer.to_str()).get("pre_tokenizer") or {})

    def token_starts(self, text: str) -> NDArray[np.int64]:
        stretches = [self._starts(text, start, end) for start, end in self._stretches(text)]
        return np.concatenate(stretches) if stretches else np.empty(0, dtype=np.int64)

    def count(self, text: str) -> int:
        return len(self._tokenizer.encode(text))

    def _starts(self, text: str, start: int, end: int) -> NDArray[np.int64]:
        offsets = self._tokenizer.encode(text[start:end], add_special_tokens=False).offsets
        return np.fromiter((first for first, _ in offsets), dtype=np.int64, count=len(offsets)) + start

    def _stretches(self, text: str) -> list[tuple[int, int]]:
        """Cut at line ends or spaces, where that cannot change a token; else the whole text at once."""
        if not self.additive:
            return [(0, len(text))]
        cuts = [0]
        while len(text) - cuts[-1] > _STRETCH:
            cut = max(text.rfind(space, cuts[-1] + 1, cuts[-1] + _STRETCH) for space in "\n ")
            if cut < 0:
                break
            cuts.append(cut)
        return list(zip(cuts, [*cuts[1:], len(text)], strict=True))


def _parts_at_space(pre_tokenizer: dict[str, Any]) -> bool:
    parts = pre_tokenizer.get("pretokenizers") or [pre_tokenizer]
    return any(part.get("type") in _PART_AT_SPACE for part in parts[:1])


def load(config: EmbeddingConfig) -> HuggingFaceTokenizer:
    from tokenizers import Tokenizer

    model = find_model(config)
    path = model.file("tokenizer.json")
    if path is None:
        raise Permanent("engine.missing", name=NAME, what="a model with a tokenizer.json")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return HuggingFaceTokenizer(tokenizer, model.max_tokens())
