"""What is asked and answered, in each dialect."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from schemas.errors import Permanent

_HALF: Final = re.compile("[\ud800-\udfff]")
MOST_TEXTS: Final = 2048
"""Of one request, as OpenAI has it."""


def _no_ids(value: Any) -> Any:
    """Raises Permanent `request.token-ids` for texts that were sent as numbers."""
    if isinstance(value, list) and any(isinstance(one, int | list) for one in value):
        raise Permanent("request.token-ids")
    return value


def _unicode(text: str) -> str:
    """JSON can spell half of a character, which no tokenizer takes."""
    if not text.isascii() and _HALF.search(text):
        raise ValueError("not Unicode: half of a surrogate pair")
    return text


Text = Annotated[str, AfterValidator(_unicode)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=MOST_TEXTS)]
OneOrMore = Annotated[Text | Texts, BeforeValidator(_no_ids)]


# -- our own ----------------------------------------------------------------------------------------------------------


class TextsAsked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    texts: Annotated[Texts, BeforeValidator(_no_ids)]
    batch_size: int = Field(128, ge=1, le=4096, description="How many of these texts share an engine batch at most.")
    normalize: bool = Field(True, description="Whether each vector is to have length 1.")
    truncate: bool = Field(False, description="Whether a text that is too long is cut, rather than refused.")
    prompt_name: str | None = Field(None, description="What is put before each text; `GET /info` lists the names.")


class VectorsAnswered(BaseModel):
    embeddings: list[list[float]] = Field(description="One for each text, in order.")
    model: str
    dimension: int
    tokens: list[int] = Field(description="Of each text as the model read it, its special tokens included.")


# -- Text Embeddings Inference ----------------------------------------------------------------------------------------


class InputsAsked(BaseModel):
    """TEI ignores fields that it does not know, and its clients send such."""

    inputs: OneOrMore
    normalize: bool = True
    truncate: bool = False
    truncation_direction: Literal["Left", "Right", "left", "right"] = Field(
        "Right", description="The side on which a text that is too long is cut."
    )
    prompt_name: str | None = Field(None, description="`prompts` of `GET /info` lists the names.")
    dimensions: int | None = Field(None, ge=1, description="Only what the model has by itself.")


def _dialect(body: Any) -> str:
    asked = body if isinstance(body, dict) else vars(body) if isinstance(body, BaseModel) else {}
    return "inputs" if "inputs" in asked else "texts"


EmbedAsked = Annotated[
    Annotated[TextsAsked, Tag("texts")] | Annotated[InputsAsked, Tag("inputs")], Discriminator(_dialect)
]


class TokenizeAsked(BaseModel):
    inputs: OneOrMore
    add_special_tokens: bool = True
    prompt_name: str | None = None


class TokenAnswered(BaseModel):
    id: int
    text: str
    special: bool
    start: int | None = Field(description="In characters of the text; null for a special token.")
    stop: int | None


class InfoAnswered(BaseModel):
    """As TEI has it, and what of an engine can change a vector."""

    model_id: str
    model_sha: str = Field(description="SHA-256 of the weights, or the hub's name and commit.")
    model_dtype: str = "float32"
    model_type: dict[str, dict[str, str]] = {"embedding": {"pooling": "mean"}}
    max_concurrent_requests: int
    max_input_length: int = Field(description="Tokens that the model reads of a text, special ones included.")
    max_batch_tokens: int
    max_batch_requests: int | None = None
    max_client_batch_size: int = MOST_TEXTS
    auto_truncate: bool = False
    tokenization_workers: int = 1
    version: str
    sha: str | None = None
    docker_label: str | None = None
    dimension: int
    tokenizer_sha: str
    prompts: dict[str, str]


# -- OpenAI -----------------------------------------------------------------------------------------------------------

Spoken = Annotated[Text, Field(min_length=1)]


class OpenAIAsked(BaseModel):
    """Unknown fields are ignored: gateways add some of their own."""

    input: Annotated[
        Spoken | Annotated[list[Spoken], Field(min_length=1, max_length=MOST_TEXTS)], BeforeValidator(_no_ids)
    ]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="base64: of little-endian float32, as OpenAI's own clients ask."
    )
    dimensions: int | None = Field(None, ge=1, description="Only what the model has by itself.")
    user: str | None = Field(None, description="Ignored.")


class OpenAIVector(BaseModel):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class OpenAIUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class OpenAIAnswered(BaseModel):
    object: Literal["list"] = "list"
    data: list[OpenAIVector]
    model: str
    usage: OpenAIUsage


class OpenAIModel(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "cradle"


class OpenAIModels(BaseModel):
    object: Literal["list"] = "list"
    data: list[OpenAIModel]


class HealthAnswered(BaseModel):
    status: Literal["ok"] = "ok"
    model: str
    loaded: bool = Field(description="Whether the model is in memory; it is loaded when it is needed.")
