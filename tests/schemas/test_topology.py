"""The flow as data: what a flow answers, and each refusal with its sentence."""

from pathlib import Path

import pytest

from cradle.flow import read_flow
from schemas.errors import CradleError
from schemas.topology import Key, Origin, read_topology

ROOT = Path(__file__).parents[2]
REAL = (ROOT / "topics.yaml").read_text()
FOLDERS = {folder.parent.name for folder in (ROOT / "consumers").glob("*/__init__.py")} - {"runtime"}
STAGES = ["admit", "ocr", "chunk", "embed", "pack", "bake"]
TOPIC = "{type: cradle.pages.v1, key: document, partitions: 4, retention: 7d, max_bytes: 1MiB}"


def flow(topics: dict[str, str], stages: dict[str, str]) -> str:
    ingest = "{type: cradle.ingest.v1, key: customer, partitions: 1, retention: 1d, max_bytes: 1MiB, origin: producers}"
    lines = ["topics:", f"  ingest: {ingest}", *(f"  {name}: {entry}" for name, entry in topics.items())]
    return "\n".join([*lines, "stages:", *(f"  {name}: {entry}" for name, entry in stages.items())])


def refusal(text: str, folders: list[str] = STAGES) -> CradleError:
    with pytest.raises(CradleError) as error:
        read_topology(text, folders=folders)
    return error.value


def test_the_real_flow_answers_its_questions() -> None:
    real = read_topology(REAL, folders=FOLDERS)
    assert real.readers["ingest"] == ("admit",)
    assert "embed" in real.readers["chunked"]
    assert real.writers["chunked"] == ("chunk",)
    assert real.versions()["embed"] == real.stages["embed"].version
    assert real.topic_of("cradle.chunks.v1", "chunk") == "chunked"
    ingest = real.topics["ingest"]
    assert (ingest.key, ingest.origin, ingest.retention, ingest.max_bytes) == (
        Key.CUSTOMER,
        Origin.PRODUCERS,
        24 * 3600,
        1024 * 1024,
    )
    assert "graphed" in [name for name, topic in real.topics.items() if topic.reserved]


def test_every_folder_of_consumers_is_a_stage_of_the_real_flow() -> None:
    assert read_topology(REAL, folders=FOLDERS).stages.keys() == FOLDERS


def test_a_stage_works_on_one_lane_at_a_time_unless_said_otherwise() -> None:
    text = flow({}, {"admit": "{reads: [ingest], writes: [], version: 1, at_once: 8}"})
    assert read_topology(text, folders=STAGES).stages["admit"].at_once == 8
    assert read_topology(text.replace(", at_once: 8", ""), folders=STAGES).stages["admit"].at_once == 1
    assert refusal(text.replace("at_once: 8", "at_once: 0")).code == "topology.invalid"


def test_a_topic_may_have_two_readers() -> None:
    text = flow(
        {"a": TOPIC},
        {
            "admit": "{reads: [ingest], writes: [a], version: 1}",
            "chunk": "{reads: [a], writes: [], version: 1}",
            "pack": "{reads: [a], writes: [], version: 2}",
        },
    )
    assert read_topology(text, folders=STAGES).readers["a"] == ("chunk", "pack")


def test_a_type_that_a_stage_writes_to_no_topic_or_to_two_is_refused() -> None:
    text = flow(
        {"a": TOPIC, "b": TOPIC},
        {"admit": "{reads: [ingest], writes: [a, b], version: 1}", "pack": "{reads: [a, b], writes: [], version: 1}"},
    )
    two = read_topology(text, folders=STAGES)
    for type_, count in (("cradle.pages.v1", 2), ("cradle.chunks.v1", 0)):
        with pytest.raises(CradleError, match=f"stage admit writes {count} topics of type {type_}"):
            two.topic_of(type_, "admit")


ADMIT = "{reads: [ingest], writes: [a], version: 1}"
REFUSALS = {
    "cycle": (
        flow(
            {"a": TOPIC, "b": TOPIC},
            {
                "admit": ADMIT,
                "chunk": "{reads: [a], writes: [b], version: 1}",
                "embed": "{reads: [b], writes: [a], version: 1}",
            },
        ),
        "topology.cycle",
        "The flow has a cycle: chunk > embed > chunk.",
    ),
    "cycle of one": (
        flow({"a": TOPIC}, {"admit": ADMIT, "chunk": "{reads: [a], writes: [a], version: 1}"}),
        "topology.cycle",
        "The flow has a cycle: chunk > chunk.",
    ),
    "nobody reads": (
        flow({"a": TOPIC}, {"admit": ADMIT}),
        "topology.unread",
        "Nobody reads topic 'a'.",
    ),
    "nobody writes": (
        flow(
            {"a": TOPIC},
            {"admit": "{reads: [ingest], writes: [], version: 1}", "chunk": "{reads: [a], writes: [], version: 1}"},
        ),
        "topology.unwritten",
        "Nobody writes topic 'a', which stage 'chunk' reads.",
    ),
    "no folder": (
        flow({}, {"dream": "{reads: [ingest], writes: [], version: 1}"}),
        "topology.no-folder",
        "Stage 'dream' has no folder.",
    ),
    "topic not declared": (
        flow({}, {"admit": ADMIT}),
        "topology.unknown-topic",
        "Stage 'admit' names topic 'a', which is not declared.",
    ),
    "reserved": (
        flow({"a": TOPIC[:-1] + ", reserved: true}"}, {"admit": ADMIT}),
        "topology.invalid",
        "topics.yaml is not valid: stage admit uses topic a, which is reserved.",
    ),
    "origin and writer": (
        flow(
            {"a": TOPIC[:-1] + ", origin: completion}"},
            {"admit": ADMIT, "bake": "{reads: [a], writes: [], version: 1}"},
        ),
        "topology.invalid",
        "topics.yaml is not valid: stage admit writes a, which has an origin.",
    ),
    "type": (
        flow({"a": TOPIC.replace("pages", "dreams")}, {"admit": ADMIT}),
        "topology.invalid",
        "topics.yaml is not valid: topic a carries cradle.dreams.v1, which no message model has.",
    ),
    "no YAML": ("topics: [", "topology.invalid", "topics.yaml is not valid: it is not YAML."),
    "empty": ("", "topology.invalid", "topics.yaml is not valid: the file: Input should be a valid dictionary"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_flow_that_cannot_work_is_refused_with_a_sentence(case: str) -> None:
    text, code, sentence = REFUSALS[case]
    error = refusal(text)
    assert error.code == code
    assert str(error).startswith(sentence)
    assert error.next_step


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("partitions: 4", "partitions: 0", "topics.a.partitions"),
        ("retention: 7d", "retention: 7", "topics.a.retention"),
        ("retention: 7d", "retention: 0d", "topics.a.retention"),
        ("retention: 7d", "retention: 7w", "topics.a.retention"),
        ("max_bytes: 1MiB", "max_bytes: 2MiB", "topics.a.max_bytes"),
        ("max_bytes: 1MiB", "max_bytes: big", "topics.a.max_bytes"),
        ("key: document", "key: mood", "topics.a.key"),
        ("key: document", "key: document, colour: red", "topics.a.colour"),
        ("version: 1}", "version: 1, stuck: 0s}", "stages.pack.stuck"),
        ("version: 1}", "version: 1, stuck: long}", "stages.pack.stuck"),
    ],
)
def test_a_wrong_entry_is_named(old: str, new: str, where: str) -> None:
    error = refusal(
        flow(
            {"a": TOPIC.replace(old, new)},
            {"admit": ADMIT, "pack": "{reads: [a], writes: [], version: 1}".replace(old, new)},
        )
    )
    assert error.code == "topology.invalid"
    assert where in str(error)


def test_a_stage_says_how_long_it_may_stand_still() -> None:
    stages = {"admit": ADMIT, "pack": "{reads: [a], writes: [], version: 1, stuck: 30m}"}
    read = read_topology(flow({"a": TOPIC}, stages), folders=stages)
    assert (read.stages["admit"].stuck, read.stages["pack"].stuck) == (300, 1800)


@pytest.mark.parametrize("name", ["A", "a.dlq", "1a", "a_b"])
def test_a_topic_name_that_could_be_taken_for_another_is_refused(name: str) -> None:
    assert refusal(flow({name: TOPIC}, {"admit": ADMIT})).code == "topology.invalid"


def test_what_follows_a_topic_and_which_topic_is_before_a_stage() -> None:
    flow_ = read_flow()
    assert flow_.following("chunk-ready") == {"chunk", "embed", "pack", "bake"}
    assert flow_.following("bake-ready") == {"bake"}
    assert flow_.following("ocr-ready") == {"ocr", "chunk", "embed", "pack", "bake"}
    assert flow_.following("ocr-done") == flow_.following("chunk-ready")
    assert [flow_.latest_before({stage}) for stage in flow_.stages] == [
        "ingest",
        "ocr-ready",
        "chunk-ready",
        "chunked",
        "embedded",
        "bake-ready",
    ]
    assert flow_.latest_before({"bake", "embed"}) == "chunked"
