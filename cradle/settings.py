"""Where everything is and how it runs: CRADLE_* variables over a TOML file over defaults.

A URL that is not set belongs to the embedded stack, which lies under `home` and needs nothing installed.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from schemas.errors import CradleError

PREFIX: Final = "CRADLE_"
CONFIG: Final = "CRADLE_CONFIG"
FILE_NAME: Final = "cradle.toml"
DEFAULT_HOME: Final = Path(".cradle")
OTHER_VARIABLES: Final = frozenset({CONFIG, "CRADLE_DEBUG"})
"""Variables of ours that are no settings."""
TESTS: Final = "CRADLE_TEST_"
"""Prefix of what tests are told about services."""

_PASSWORD: Final = re.compile(r"(?<=://)([^/@:]*):[^/@]*(?=@)")


class Settings(BaseSettings):
    """Every setting, with its default. `load_settings` makes one; making it directly reads the environment too."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    home: Path = DEFAULT_HOME
    """Folder that everything on disk lies under."""

    broker_url: str | None = None
    """Kafka: `kafka://host:9092,host:9092`."""
    ledger_url: str | None = None
    """PostgreSQL of jobs, documents and outcomes: `postgresql://user:password@host:4005/cradle`."""
    parameters_url: str | None = None
    """PostgreSQL of customers and Installation Parameters: `postgresql://user:password@host:5433/installation`."""
    staging_url: str | None = None
    """Sealed objects on their way: `s3://bucket/prefix?endpoint=http://host:4050` or `file:///folder`."""
    archive_url: str | None = None
    """Versions that were delivered, append-only: `s3://bucket/prefix?endpoint=...` with object lock, or
    `file:///folder`."""
    signing_key: Path | None = None
    """Ed25519 key that packages are signed with, PEM without a password. Unset: `signing/ed25519.pem` in `home`, made
    at first use."""
    keys_url: str | None = None
    """One data key a job: `file:///folder`."""
    progress_url: str | None = None
    """Fan-out of progress: `redis://host:6379/0`."""

    replication: Annotated[int | None, Field(ge=1, le=7)] = None
    """Copies of each Kafka partition. Unset: 1 on the embedded broker, else 3, of which two in sync."""
    base_image: str = ""
    """OCI layout that images are built upon; empty for none."""
    builder: Annotated[str, Field(pattern=r"^(daemonless|docker(:[a-z]+://.+)?)$")] = "daemonless"
    """Who writes images: `daemonless`, or a Docker engine, `docker` for the one that DOCKER_HOST names or
    `docker:unix:///run/docker.sock`. Only `daemonless` gives the same digest each time."""

    poll_records: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Most records that a consumer takes in one poll."""
    poll_wait: Annotated[float, Field(gt=0, le=60)] = 0.2
    """Seconds that a poll waits for its first record."""
    drain_seconds: Annotated[float, Field(ge=0, le=300)] = 6.0
    """Seconds that a poll in hand may go on after SIGTERM."""
    kill_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """Seconds after SIGTERM at which `cradle run --all` kills a child that is still there."""
    restarts: Annotated[int, Field(ge=0, le=1000)] = 20
    """Crashed children that `cradle run --all` starts again within ten minutes before it gives up. Each message that
    ends its process costs one or two."""
    instance: Annotated[str | None, Field(pattern=r"^[a-zA-Z0-9._-]{1,200}$")] = None
    """Name of a consumer that outlives its process: started again under it within 30 s, it goes on with its partitions
    and no other consumer notices. No two at a time may bear it. `cradle run --all` names its children by itself."""
    beat_file: Path | None = None
    """File that a consumer touches while its stage makes progress, for whoever watches over it: `cradle run --all`
    sets it. Unset: a consumer that hangs ends itself."""
    storm_limit: Annotated[int, Field(ge=0, le=100_000)] = 20
    """Messages that fail with one code within a minute before the stage pauses, if they are more than half of all;
    docs/errors.md marks the codes that count. 0: it never does."""

    service_host: str = "127.0.0.1"
    """Address on which `cradle serve` answers; `all` for every interface."""
    service_token: SecretStr | None = None
    """What callers of `cradle serve` have to send as a bearer token. Unset: it answers whoever reaches it, and wants
    `--open` for that on another address than this machine's own."""
    service_hosts: str = ""
    """Names of a service without a token, parted by commas, beside addresses and localhost."""
    service_requests: Annotated[int | None, Field(ge=1, le=100_000)] = None
    """Requests that a service has in hand at most, waiting ones included; the next is told to come back later. Unset:
    512 for embeddings, 16 for vision."""
    service_seconds: Annotated[float | None, Field(gt=0, le=3600)] = None
    """Seconds that a request, or a page of one, waits for its engine at most. Unset: 60 for embeddings, 300 for
    vision."""
    service_idle_seconds: Annotated[float, Field(ge=0, le=86_400)] = 900.0
    """Seconds after its last use at which a service's engine is unloaded; the next request loads it again. 0: never."""
    service_linger: Annotated[float, Field(ge=0, le=10)] = 0.005
    """Seconds that an engine batch which is not full waits for requests of other callers."""
    embeddings_model: str = "builtin"
    """Model of `cradle serve embeddings`: `builtin` or `sentence-transformers:<path or id>`."""
    embeddings_revision: str | None = None
    """Commit of a hub's model."""
    embeddings_query_prefix: str = ""
    """Put before a text that asks for the prompt `query`; `query: ` for the e5 family."""
    embeddings_passage_prefix: str = ""
    """Put before a text that asks for the prompt `passage`; `passage: ` for the e5 family."""
    embeddings_deterministic: bool = True
    """Whether a text's vector is the same to the bit whatever shares its batch; if not, within cosine 0.99999."""
    embeddings_batch_tokens: Annotated[int, Field(ge=16, le=1_048_576)] = 4096
    """Tokens of an engine batch, padding included. Best at most half of what is usually waiting: then callers are
    answered while the engine works for others."""
    vision_engine: str = "rapidocr"
    """Engine of `cradle serve vision`: `rapidocr`, `tesseract:deu+eng` or `florence-2:<path or id>`."""
    vision_revision: str | None = None
    """Commit of a hub's model."""
    vision_dpi: Annotated[int, Field(ge=72, le=600)] = 300
    """At which a PDF's page is drawn to be recognised."""
    vision_min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.6
    """A recognised page whose mean confidence is lower is told as doubtful."""
    vision_batch_pages: Annotated[int, Field(ge=1, le=256)] = 4
    """Pages of an engine batch."""

    forget_days: Annotated[float, Field(gt=0, le=3650)] = 30.0
    """Days for which the ledger remembers an erased job; never shorter than the longest retention in topics.yaml."""

    health_host: str = "127.0.0.1"
    """Address on which consumers answer /livez, /readyz and /metrics; `all` for every interface."""
    health_port: Annotated[int, Field(ge=0, le=65_000)] = 0
    """Port of the first consumer's health endpoints; the next ones count up. 0: none."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that consumers log."""

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """`load_settings` passes the file's values, so that the environment goes before what is passed."""
        return env_settings, init_settings


@dataclass(frozen=True, slots=True)
class Provenance:
    """One setting as it stands."""

    name: str
    value: str
    """With any password masked; of an embedded URL, empty while the stack has never run."""
    origin: str
    """`default`, `file`, `environment` or `embedded`."""


def load_settings() -> Settings:
    """The settings of this process. Raises CradleError `settings.invalid`, naming the field but never a value."""
    values = _file_values(os.environ)
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CradleError("settings.invalid", what=f"{where}: {first['msg']}") from None


def where(settings: Settings, embedded: Mapping[str, str]) -> list[Provenance]:
    """Each setting's value and origin, in the order of `Settings`. `embedded` holds the embedded stack's URLs."""
    from_file = _file_values(os.environ)
    found = []
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if os.environ.get(f"{PREFIX}{name.upper()}"):
            origin = "environment"
        elif name in from_file:
            origin = "file"
        elif name.endswith("_url"):
            origin, value = "embedded", embedded.get(name, "")
        else:
            origin = "default"
        found.append(Provenance(name, mask("" if value is None else str(value)), origin))
    return found


def unknown_variables() -> list[str]:
    """CRADLE_* variables that are no setting: most likely misspelt."""
    known = OTHER_VARIABLES | {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    return sorted(
        name for name in os.environ if name.startswith(PREFIX) and not name.startswith(TESTS) and name not in known
    )


def mask(url: str) -> str:
    """The text with the password of a URL in it replaced."""
    return _PASSWORD.sub(r"\1:***", url)


def config_file(environ: Mapping[str, str]) -> Path | None:
    """CRADLE_CONFIG, or the first of CRADLE_HOME/cradle.toml and ./cradle.toml that exists.

    Raises CradleError `settings.invalid` if CRADLE_CONFIG names no file.
    """
    if named := environ.get(CONFIG):
        if not Path(named).is_file():
            raise CradleError("settings.invalid", what=f"{CONFIG} names no file")
        return Path(named)
    home = Path(environ.get(f"{PREFIX}HOME") or DEFAULT_HOME)
    candidates = (home / FILE_NAME, Path(FILE_NAME))
    return next((path for path in candidates if path.is_file()), None)


def _file_values(environ: Mapping[str, str]) -> dict[str, Any]:
    path = config_file(environ)
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise CradleError("settings.invalid", what=f"{path.name} is not TOML") from None
    except OSError:
        raise CradleError("settings.invalid", what=f"{path.name} cannot be read") from None
