"""The tokenizer port: where the embedding model's tokens lie in a text."""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.adapters import engine_module
from schemas.parameters import EmbeddingConfig

ADAPTERS: Final = {
    "builtin": "engines.tokenizer.builtin",
    "fake": "engines.tokenizer.fake",
    "sentence-transformers": "engines.tokenizer.huggingface",
}
"""Each module has `load(config)`."""


@dataclass(frozen=True, slots=True)
class Token:
    id: int
    """In the model's vocabulary."""
    text: str
    """What of the text it stands for; of a special token, its name."""
    special: bool
    start: int | None
    """Code point offset into the text; None for a special token."""
    stop: int | None


class Tokenizer(Protocol):
    special_tokens: int
    """Tokens the model adds around a text, counted against its limit."""
    max_tokens: int
    """What the model reads of a text, special tokens included."""
    additive: bool
    """Whether white space always parts two tokens, so that a passage cut at white space has exactly the tokens that
    begin within it. Where it does not, a passage must be counted alone."""

    def token_starts(self, text: str) -> NDArray[np.int64]:
        """Code point offset at which each token of `text` begins, one entry a token, never falling, in one pass.

        A passage `text[a:b]` encoded alone may differ by the tokens at its edges; the chunker allows for that.
        """

    def count(self, text: str) -> int:
        """Exact number of tokens of a passage encoded alone, special tokens included."""

    def tokens(self, text: str) -> list[Token]:
        """The tokens of a passage encoded alone as the model gets them, special ones included."""


def load_tokenizer(config: EmbeddingConfig) -> Tokenizer:
    """The tokenizer of the configured embedding model. Raises Permanent `engine.unknown` or `engine.missing`."""
    tokenizer: Tokenizer = engine_module("tokenizer", config.model, ADAPTERS).load(config)
    return tokenizer
