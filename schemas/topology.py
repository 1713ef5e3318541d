"""The flow as data: what topics.yaml says, checked, and the questions that the rest of the house asks of it."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from schemas.envelope import MAX_RECORD_BYTES
from schemas.errors import CradleError
from schemas.messages import TYPES

DEAD_LETTER_SUFFIX: Final = ".dlq"
GRACE_SECONDS: Final = 15.0
"""How long `/livez` of a stage that hangs is bad before its process is ended: time for those who ask it to see that."""
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES: Final = {"B": 1, "KiB": 1024, "MiB": 1024**2}


class Key(StrEnum):
    """What a topic's records are keyed by."""

    CUSTOMER = "customer"
    JOB = "job"
    DOCUMENT = "document"


class Origin(StrEnum):
    """Who writes a topic that no stage writes."""

    PRODUCERS = "producers"
    COMPLETION = "completion"


def _measure(units: Mapping[str, int]) -> BeforeValidator:
    def read(value: object) -> object:
        match = re.fullmatch(rf"(\d+)({'|'.join(units)})", str(value))
        if match is None:
            raise ValueError(f"a number and one of {', '.join(units)}")
        return int(match[1]) * units[match[2]]

    return BeforeValidator(read)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Topic(_Entry):
    type: str
    key: Key
    partitions: Annotated[int, Field(ge=1, le=1024)]
    retention: Annotated[int, Field(ge=1), _measure(_SECONDS)]
    """Seconds."""
    max_bytes: Annotated[int, Field(ge=1, le=MAX_RECORD_BYTES), _measure(_BYTES)]
    origin: Origin | None = None
    reserved: bool = False


class Stage(_Entry):
    reads: Annotated[tuple[str, ...], Field(min_length=1)]
    writes: tuple[str, ...]
    version: Annotated[int, Field(ge=1)]
    at_once: Annotated[int, Field(ge=1, le=256)] = 1
    """How many lanes of a poll the stage works on at one time. A lane is what the topic is keyed by."""
    stuck: Annotated[int, Field(ge=1), _measure(_SECONDS)] = 300
    """Seconds without progress after which the stage hangs: `/livez` turns bad, then its process is ended."""


class _File(_Entry):
    topics: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")], Topic]
    stages: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Stage]


@dataclass(frozen=True)
class Topology:
    """A checked flow. Topics and stages keep the order of topics.yaml."""

    topics: Mapping[str, Topic]
    stages: Mapping[str, Stage]

    @cached_property
    def readers(self) -> Mapping[str, tuple[str, ...]]:
        """The stages that read each topic."""
        return {topic: tuple(s for s, stage in self.stages.items() if topic in stage.reads) for topic in self.topics}

    @cached_property
    def writers(self) -> Mapping[str, tuple[str, ...]]:
        """The stages that write each topic."""
        return {topic: tuple(s for s, stage in self.stages.items() if topic in stage.writes) for topic in self.topics}

    def versions(self) -> dict[str, int]:
        """Each stage's version, for the fingerprint."""
        return {name: stage.version for name, stage in self.stages.items()}

    def following(self, topic: str) -> frozenset[str]:
        """The stages whose work depends on what `topic` holds. A job's completion depends on every other stage."""
        found = set(self.of_whole_jobs)
        waiting = [topic]
        while waiting:
            fresh = [stage for stage in self.readers[waiting.pop()] if stage not in found]
            found.update(fresh)
            waiting += [written for stage in fresh for written in self.stages[stage].writes]
        return frozenset(found)

    def beside(self, topic: str) -> tuple[str, ...]:
        """The topics that are read by the same stages as `topic`, itself among them. Only all of them together hold
        what these stages had to do for a job."""
        return tuple(name for name, readers in self.readers.items() if readers == self.readers[topic] and readers)

    @property
    def of_whole_jobs(self) -> frozenset[str]:
        """The stages that work on a job as a whole, once it is complete."""
        return frozenset(
            s for t, one in self.topics.items() if one.origin is Origin.COMPLETION for s in self.readers[t]
        )

    @property
    def of_submissions(self) -> frozenset[str]:
        """The stages that read what producers write: every document of a job has passed them."""
        return frozenset(s for t, one in self.topics.items() if one.origin is Origin.PRODUCERS for s in self.readers[t])

    def latest_before(self, stages: Collection[str]) -> str:
        """The topic furthest down the flow from which all of `stages` are still to come."""
        fitting = [t for t, one in self.topics.items() if not one.reserved and self.following(t).issuperset(stages)]
        return min(fitting, key=lambda topic: len(self.following(topic)))

    def topic_of(self, message_type: str, stage: str) -> str:
        """The one topic among `stage`'s writes that carries `message_type`. Raises CradleError `topology.invalid`."""
        fitting = [topic for topic in self.stages[stage].writes if self.topics[topic].type == message_type]
        if len(fitting) != 1:
            raise CradleError(
                "topology.invalid", what=f"stage {stage} writes {len(fitting)} topics of type {message_type}"
            )
        return fitting[0]


def read_topology(text: str, *, folders: Collection[str]) -> Topology:
    """The flow in `text`, the content of topics.yaml; `folders` are the names under consumers/.

    Raises CradleError: `topology.invalid`, `topology.unknown-topic`, `topology.no-folder`, `topology.unread`,
    `topology.unwritten`, `topology.cycle`.
    """
    try:
        content: Any = yaml.safe_load(text)
        file = _File.model_validate(content)
    except yaml.YAMLError:
        raise CradleError("topology.invalid", what="it is not YAML") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CradleError("topology.invalid", what=f"{where}: {first['msg']}") from None
    flow = Topology(file.topics, file.stages)
    _check_names(flow, folders)
    _check_ends(flow)
    _check_acyclic(flow)
    return flow


def _check_names(flow: Topology, folders: Collection[str]) -> None:
    for name, topic in flow.topics.items():
        if topic.type not in TYPES:
            raise CradleError("topology.invalid", what=f"topic {name} carries {topic.type}, which no message model has")
    for name, stage in flow.stages.items():
        for topic_name in (*stage.reads, *stage.writes):
            if topic_name not in flow.topics:
                raise CradleError("topology.unknown-topic", stage=name, topic=topic_name)
            if flow.topics[topic_name].reserved:
                raise CradleError("topology.invalid", what=f"stage {name} uses topic {topic_name}, which is reserved")
        for topic_name in stage.writes:
            if flow.topics[topic_name].origin:  # its messages would close work that none had opened
                raise CradleError("topology.invalid", what=f"stage {name} writes {topic_name}, which has an origin")
        if name not in folders:
            raise CradleError("topology.no-folder", stage=name)


def _check_ends(flow: Topology) -> None:
    for name, topic in flow.topics.items():
        if topic.reserved:
            continue
        if not flow.readers[name]:
            raise CradleError("topology.unread", topic=name)
        if not flow.writers[name] and topic.origin is None:
            raise CradleError("topology.unwritten", topic=name, stage=flow.readers[name][0])


def _check_acyclic(flow: Topology) -> None:
    finished: set[str] = set()

    def visit(stage: str, path: tuple[str, ...]) -> None:
        if stage in path:
            raise CradleError("topology.cycle", path=" > ".join((*path[path.index(stage) :], stage)))
        if stage not in finished:
            for topic in flow.stages[stage].writes:
                for reader in flow.readers[topic]:
                    visit(reader, (*path, stage))
            finished.add(stage)

    for name in flow.stages:
        visit(name, ())
