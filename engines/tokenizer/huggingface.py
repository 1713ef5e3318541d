"""Tokenizers of transformer models, from the model's tokenizer.json, by the `tokenizers` library."""

import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.embedding.models import NAME, find_model
from engines.tokenizer import Token
from engines.tokenizer.words import WordByWord
from schemas.errors import Permanent
from schemas.parameters import EmbeddingConfig

_PART_AT_SPACE: Final = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}
"""Pre-tokenizers that part words at white space and forget it. Others may tell a word after a space from one at the
beginning, as GPT-2's does."""


class HuggingFaceTokenizer:
    def __init__(self, tokenizer: Any, *, max_tokens: int, additive: bool) -> None:
        self._tokenizer = tokenizer
        self._words = WordByWord(self._segment_words)
        self.max_tokens = max_tokens
        self.special_tokens: int = tokenizer.num_special_tokens_to_add(is_pair=False)
        self.additive = additive

    def token_starts(self, text: str) -> NDArray[np.int64]:
        return self._words.starts(text) if self.additive else np.array(self._starts(text), dtype=np.int64)

    def count(self, text: str) -> int:
        own = self._words.number(text) if self.additive else len(self._starts(text))
        return own + self.special_tokens

    def tokens(self, text: str) -> list[Token]:
        found = self._tokenizer.encode(text, add_special_tokens=True)
        return [
            Token(number, name, True, None, None) if special else Token(number, text[start:stop], False, start, stop)
            for number, name, special, (start, stop) in zip(
                found.ids, found.tokens, found.special_tokens_mask, found.offsets, strict=True
            )
        ]

    def _starts(self, text: str) -> list[int]:
        return [start for start, _ in self._tokenizer.encode(text, add_special_tokens=False).offsets]

    def _segment_words(self, words: Sequence[str]) -> Iterator[tuple[int, ...]]:
        """In one call of the library, a line a word: a call costs as much as a dozen words."""
        starts = self._starts("\n".join(words))
        line, first = 0, 0
        for word in words:
            after = bisect_left(starts, line + len(word), first)
            yield tuple(start - line for start in starts[first:after])
            line, first = line + len(word) + 1, after


def parts_at_space(tokenizer: Any) -> bool:
    """Whether words may be tokenized alone, by what the tokenizer says of itself."""
    description = json.loads(tokenizer.to_str())
    pre_tokenizer = description.get("pre_tokenizer") or {}
    first = (pre_tokenizer.get("pretokenizers") or [pre_tokenizer])[0]
    spaced = any(len(token["content"].split()) > 1 for token in description.get("added_tokens", []))
    return first.get("type") in _PART_AT_SPACE and not spaced


def load(config: EmbeddingConfig) -> HuggingFaceTokenizer:
    from tokenizers import Tokenizer

    model = find_model(config)
    path = model.file("tokenizer.json")
    if path is None:
        raise Permanent("engine.missing", name=NAME, what="a model with a tokenizer.json")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return HuggingFaceTokenizer(tokenizer, max_tokens=model.max_tokens(), additive=parts_at_space(tokenizer))
