"""Texts as the model gets them: with their prompt, measured in tokens, and cut where that was asked for. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.tokenizer import Tokenizer
from schemas.errors import CradleError, Permanent


@dataclass(frozen=True, slots=True)
class Measured:
    text: str
    tokens: int


def measure(
    texts: Sequence[str], tokenizer: Tokenizer, *, prompt: str, truncate: bool, keep_end: bool = False
) -> list[Measured]:
    """Each text with the prompt before it. `keep_end`: what is too long loses its beginning, but not the prompt.

    Raises Permanent `request.tokens`, naming the first text that is too long, unless it may be cut.
    """
    return [
        _measured(number, text, tokenizer, prompt, truncate=truncate, keep_end=keep_end)
        for number, text in enumerate(texts)
    ]


def _measured(number: int, text: str, tokenizer: Tokenizer, prompt: str, *, truncate: bool, keep_end: bool) -> Measured:
    tokens = tokenizer.count(prompt + text)
    if tokens <= tokenizer.max_tokens:
        return Measured(prompt + text, tokens)
    if not truncate:
        raise Permanent("request.tokens", number=number, found=tokens, limit=tokenizer.max_tokens)
    room = tokenizer.max_tokens - tokenizer.special_tokens - len(tokenizer.token_starts(prompt))
    while True:
        text = _cut(text, tokenizer, room, keep_end=keep_end)
        tokens = tokenizer.count(prompt + text)
        if tokens <= tokenizer.max_tokens or not text:
            return Measured(prompt + text, tokens)
        room -= 1  # where it was cut, a word's beginning may have become more tokens


def _cut(text: str, tokenizer: Tokenizer, room: int, *, keep_end: bool) -> str:
    """The text's first tokens, or its last."""
    starts = tokenizer.token_starts(text)
    if room <= 0:
        return ""
    if len(starts) <= room:
        return text
    return text[starts[-room] :] if keep_end else text[: starts[room]].rstrip()


def choose_prompt(name: str | None, prompts: Mapping[str, str]) -> str:
    """Raises Permanent `request.prompt`."""
    if name is None:
        return ""
    if name not in prompts:
        raise Permanent("request.prompt", known=", ".join(prompts) or "none")
    return prompts[name]


def normalized(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row at length 1."""
    made: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return made


def checked(vectors: NDArray[np.float32], *, engine: str) -> list[NDArray[np.float32] | CradleError]:
    """Each row, or Permanent `engine.vectors` for one that has no direction."""
    lengths = np.linalg.norm(vectors, axis=1)
    right = np.isfinite(lengths) & (lengths > 0)
    wrong = Permanent("engine.vectors", name=engine, what="of finite numbers, and longer than 0")
    return [row if good else wrong for row, good in zip(vectors, right.tolist(), strict=True)]
