"""The tokenizer port: where the embedding model's tokens lie in a text."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.parameters import EmbeddingConfig


class Tokenizer(Protocol):
    special_tokens: int
    """Tokens the model adds around a text, counted against its limit."""

    def token_starts(self, text: str) -> NDArray[np.int64]:
        """Code point offset at which each token of `text` begins, rising, one entry a token, in one pass over it.

        A passage `text[a:b]` encoded alone may differ by the tokens at its edges; the chunker allows for that.
        """

    def count(self, text: str) -> int:
        """Exact number of tokens of a passage encoded alone, special tokens included."""


def load_tokenizer(config: EmbeddingConfig) -> Tokenizer:
    """The tokenizer of the configured embedding model. Raises Permanent `engine.unknown` or `engine.missing`."""
    raise NotImplementedError
