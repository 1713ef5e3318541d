"""The roads to the embedding service."""

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Final

import numpy as np
from fastapi import Body, FastAPI, Header, Request
from numpy.typing import NDArray
from pydantic_core import to_json
from starlette.responses import Response

from engines.tokenizer import Token
from schemas.errors import Permanent
from services.embeddings.service import EmbeddingService
from services.embeddings.wire import (
    EmbedAsked,
    HealthAnswered,
    InfoAnswered,
    InputsAsked,
    OneOrMore,
    OpenAIAnswered,
    OpenAIAsked,
    OpenAIModel,
    OpenAIModels,
    TextsAsked,
    TokenAnswered,
    TokenizeAsked,
    VectorsAnswered,
)
from services.intake import MIB, while_there
from services.server import Door, build_app

PORT: Final = 8001
MOST_REQUESTS: Final = 512
MOST_BYTES: Final = 8 * MIB
NO_STORE: Final = {"Cache-Control": "no-store"}

Patience = Annotated[
    float | None,
    Header(
        alias="X-Request-Timeout",
        gt=0,
        description="Seconds that the caller waits at most, beside the service's own limit.",
    ),
]


def embeddings_app(service: EmbeddingService, door: Door) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = build_app("Cradle embeddings", door, lifespan, lambda: service.retry_after)

    @app.get("/health", summary="Whether the model makes vectors")
    async def health() -> HealthAnswered:
        await service.check()
        return HealthAnswered(model=service.name, loaded=service.loaded)

    @app.post("/embed", summary="Vectors of texts", response_model=VectorsAnswered | list[list[float]])
    async def embed(request: Request, body: Annotated[EmbedAsked, Body()], patience: Patience = None) -> Response:
        if isinstance(body, InputsAsked):
            return await _embed_inputs(request, body, patience)
        return await _embed_texts(request, body, patience)

    async def _embed_texts(request: Request, asked: TextsAsked, patience: float | None) -> Response:
        made = await while_there(
            request,
            service.embed(
                asked.texts,
                normalize=asked.normalize,
                truncate=asked.truncate,
                prompt_name=asked.prompt_name,
                batch_size=asked.batch_size,
                seconds=patience,
            ),
        )
        return _json(
            {
                "embeddings": made.vectors.tolist(),
                "model": service.name,
                "dimension": service.identity.dimension,
                "tokens": made.tokens,
            }
        )

    async def _embed_inputs(request: Request, asked: InputsAsked, patience: float | None) -> Response:
        _check_dimensions(asked.dimensions)
        made = await while_there(
            request,
            service.embed(
                _several(asked.inputs),
                normalize=asked.normalize,
                truncate=asked.truncate,
                keep_end=asked.truncation_direction.lower() == "left",
                prompt_name=asked.prompt_name,
                seconds=patience,
            ),
        )
        return _json(made.vectors.tolist())

    @app.get("/info", summary="The model and its limits")
    async def info() -> InfoAnswered:
        return InfoAnswered(
            model_id=service.name,
            model_sha=service.identity.weights,
            max_concurrent_requests=door.most_requests,
            max_input_length=service.identity.max_tokens,
            max_batch_tokens=service.batch_tokens,
            version=version("cradle"),
            dimension=service.identity.dimension,
            tokenizer_sha=service.identity.tokenizer,
            prompts=dict(service.prompts),
        )

    @app.post("/tokenize", summary="The tokens of texts", response_model=list[list[TokenAnswered]])
    async def tokenize(request: Request, asked: TokenizeAsked) -> Response:
        found = await while_there(request, service.tokenize(_several(asked.inputs), prompt_name=asked.prompt_name))
        return _json(
            [[_token(one) for one in tokens if asked.add_special_tokens or not one.special] for tokens in found]
        )

    @app.post("/v1/embeddings", summary="Vectors of texts, as OpenAI has it", response_model=OpenAIAnswered)
    async def openai(request: Request, asked: OpenAIAsked, patience: Patience = None) -> Response:
        if asked.model is not None and asked.model not in service.names:
            raise Permanent("request.model", model=service.name)
        _check_dimensions(asked.dimensions)
        made = await while_there(request, service.embed(_several(asked.input), seconds=patience))
        write = _as_base64 if asked.encoding_format == "base64" else _as_floats
        tokens = sum(made.tokens)
        return _json(
            {
                "object": "list",
                "data": [
                    {"object": "embedding", "index": index, "embedding": vector}
                    for index, vector in enumerate(write(made.vectors))
                ],
                "model": service.name,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
        )

    @app.get("/v1/models", summary="The one model, as OpenAI lists them")
    async def models() -> OpenAIModels:
        return OpenAIModels(data=[OpenAIModel(id=service.name)])

    @app.get("/v1/models/{model:path}", summary="The one model, as OpenAI shows it")
    async def model(model: str) -> OpenAIModel:
        if model not in service.names:
            raise Permanent("request.model", model=service.name)
        return OpenAIModel(id=service.name)

    def _check_dimensions(asked: int | None) -> None:
        if asked not in {None, service.identity.dimension}:
            raise Permanent("request.dimensions", dimension=service.identity.dimension)

    return app


def _json(value: object) -> Response:
    return Response(to_json(value), media_type="application/json", headers=NO_STORE)


def _several(texts: OneOrMore) -> list[str]:
    return [texts] if isinstance(texts, str) else texts


def _token(token: Token) -> dict[str, object]:
    return {"id": token.id, "text": token.text, "special": token.special, "start": token.start, "stop": token.stop}


def _as_floats(vectors: NDArray[np.float32]) -> Sequence[list[float]]:
    floats: list[list[float]] = vectors.tolist()
    return floats


def _as_base64(vectors: NDArray[np.float32]) -> Sequence[str]:
    return [base64.b64encode(row.astype("<f4").tobytes()).decode("ascii") for row in vectors]
