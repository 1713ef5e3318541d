"""Installation Parameters: strict, hashed as a whole, and what of them decides a result."""

from typing import Any

import pytest
from pydantic import ValidationError

from cradle.flow import read_flow
from schemas.parameters import (
    ENGINE_TOUCHES,
    FIRST_TOUCHED,
    InstallationParameters,
    changed_fields,
    changed_stages,
    fingerprint,
)

GIVEN: dict[str, Any] = {
    "customer_id": "acme",
    "embedding_config": {"model": "builtin", "batch_size": 64, "normalize": True},
    "vision_config": {"engine": "none"},
    "chunking_config": {"max_tokens": 200, "overlap_tokens": 20},
    "graph_config": {"enabled": False},
    "initial_stats": {"total_files": 3, "total_documents": 4},
}


def changed(section: str, **fields: Any) -> InstallationParameters:
    return InstallationParameters.model_validate({**GIVEN, section: {**GIVEN[section], **fields}})


PARAMETERS = InstallationParameters.model_validate(GIVEN)
ENGINES, STAGES = {"embedding": "builtin weights=1", "vision": "rapidocr weights=1"}, {"chunk": 1}


def test_they_travel_through_json_unchanged() -> None:
    assert InstallationParameters.model_validate_json(PARAMETERS.model_dump_json()) == PARAMETERS
    assert InstallationParameters(customer_id="acme").embedding_config.model == "builtin"


@pytest.mark.parametrize(
    "wrong",
    [
        {"customer_id": "ACME"}, {"customer_id": 1}, {"customer": "acme"}, {"embedding_config": {"batch_size": "64"}},
        {"embedding_config": {"batch_size": 0}}, {"embedding_config": {"batch_size": 64.0}},
        {"embedding_config": {"normalize": 1}}, {"embedding_config": {"modell": "builtin"}},
        {"chunking_config": {"max_tokens": 8}}, {"chunking_config": {"max_tokens": 100, "overlap_tokens": 51}},
        {"chunking_config": {"overlap_tokens": -1}}, {"graph_config": {"enabled": "yes"}},
        {"initial_stats": {"total_files": -1}}, {"vision_config": None},
    ],
)  # fmt: skip
def test_they_are_read_strictly(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        InstallationParameters.model_validate({**GIVEN, **wrong})


def test_they_are_immutable() -> None:
    with pytest.raises(ValidationError):
        PARAMETERS.customer_id = "other"  # type: ignore[misc]


def test_the_hash_covers_the_whole_and_is_stable() -> None:
    others = [
        changed("initial_stats", total_files=9),
        changed("embedding_config", batch_size=1),
        InstallationParameters.model_validate({**GIVEN, "customer_id": "other"}),
    ]
    assert PARAMETERS.sha256() not in {other.sha256() for other in others}
    assert PARAMETERS.sha256() == "4feb0a1ef413dc064dc189aeb80449417efd6a757b2c93680d71dd51923bb764"


def test_neither_the_batch_size_nor_the_counts_nor_the_customer_decide_a_result() -> None:
    mark = fingerprint(PARAMETERS, ENGINES, STAGES)
    same = [
        changed("embedding_config", batch_size=1),
        changed("vision_config", batch_size=1),
        changed("initial_stats", total_files=900, total_documents=1000),
        InstallationParameters.model_validate({**GIVEN, "customer_id": "other"}),
    ]
    assert {fingerprint(one, ENGINES, STAGES) for one in same} == {mark}


def test_everything_else_decides_it() -> None:
    others = [
        fingerprint(changed("embedding_config", model="fake"), ENGINES, STAGES),
        fingerprint(changed("embedding_config", revision="abc"), ENGINES, STAGES),
        fingerprint(changed("embedding_config", normalize=False), ENGINES, STAGES),
        fingerprint(changed("embedding_config", query_prefix="query: "), ENGINES, STAGES),
        fingerprint(changed("embedding_config", passage_prefix="passage: "), ENGINES, STAGES),
        fingerprint(changed("chunking_config", max_tokens=100), ENGINES, STAGES),
        fingerprint(changed("chunking_config", overlap_tokens=10), ENGINES, STAGES),
        fingerprint(changed("embedding_config", deterministic=False), ENGINES, STAGES),
        fingerprint(changed("chunking_config", fold_duplicates=True), ENGINES, STAGES),
        fingerprint(changed("vision_config", engine="fake"), ENGINES, STAGES),
        fingerprint(changed("vision_config", revision="abc"), ENGINES, STAGES),
        fingerprint(changed("vision_config", dpi=150), ENGINES, STAGES),
        fingerprint(changed("vision_config", min_confidence=0.9), ENGINES, STAGES),
        fingerprint(changed("graph_config", enabled=True), ENGINES, STAGES),
        fingerprint(PARAMETERS, ENGINES | {"embedding": "builtin weights=2"}, STAGES),
        fingerprint(PARAMETERS, ENGINES | {"vision": "rapidocr weights=2"}, STAGES),
        fingerprint(PARAMETERS, ENGINES, {"chunk": 2}),
    ]
    assert len({fingerprint(PARAMETERS, ENGINES, STAGES), *others}) == len(others) + 1


def test_order_of_engines_and_stages_does_not_count() -> None:
    engines, stages = {"a": "1", "b": "2"}, {"chunk": 1, "embed": 2}
    assert fingerprint(PARAMETERS, engines, stages) == fingerprint(
        PARAMETERS, dict(reversed(engines.items())), dict(reversed(stages.items()))
    )


# -- what a change touches --------------------------------------------------------------------------------------------


def test_of_every_deciding_field_it_is_known_which_stage_it_touches_first() -> None:
    deciding = {f"{section}.{field}" for section, fields in PARAMETERS.deciding().items() for field in dict(fields)}  # type: ignore[call-overload]
    assert deciding == FIRST_TOUCHED.keys()
    assert {*FIRST_TOUCHED.values()}.union(*ENGINE_TOUCHES.values()) <= read_flow().stages.keys()


def test_changed_fields_are_named_and_a_batch_size_is_none() -> None:
    assert changed_fields(PARAMETERS, changed("embedding_config", batch_size=3)) == []
    assert changed_fields(PARAMETERS, changed("embedding_config", normalize=False)) == ["embedding_config.normalize"]
    assert changed_fields(PARAMETERS, changed("chunking_config", max_tokens=64, overlap_tokens=0)) == [
        "chunking_config.max_tokens",
        "chunking_config.overlap_tokens",
    ]


@pytest.mark.parametrize(
    ("now", "other", "stages"),
    [
        ({"admit": 2, "ocr": 1, "chunk": 1, "embed": 3}, {}, set()),
        ({"admit": 2, "ocr": 1, "chunk": 2, "embed": 3}, {}, {"chunk"}),
        ({"admit": 4, "ocr": 2, "chunk": 1, "embed": 5}, {}, {"admit", "ocr", "embed"}),
        ({"admit": 1, "ocr": 1, "chunk": 1, "embed": 3}, {"embedding": "another"}, {"ocr", "chunk", "embed"}),
        ({"admit": 1, "ocr": 1, "chunk": 1, "embed": 3}, {"vision": "another"}, {"ocr", "chunk", "embed"}),
        ({"admit": 2, "ocr": 1, "chunk": 1, "embed": 3}, {"vision": "another"}, {"admit", "ocr", "chunk", "embed"}),
    ],
)
def test_stages_that_changed_since_a_fingerprint_are_found(
    now: dict[str, int], other: dict[str, str], stages: set[str]
) -> None:
    then = {"admit": min(2, now["admit"]), "ocr": 1, "chunk": 1, "embed": 3}
    was = fingerprint(PARAMETERS, ENGINES, then)
    assert changed_stages(was, PARAMETERS, ENGINES | other, now) == stages


def test_a_fingerprint_of_before_there_was_an_ocr_stage_means_that_all_but_packing_may_have_changed() -> None:
    then = {"admit": 1, "chunk": 2, "embed": 1, "pack": 1, "bake": 2}
    was = fingerprint(PARAMETERS, {"embedding": ENGINES["embedding"]}, then)
    now = read_flow().versions()
    assert changed_stages(was, PARAMETERS, ENGINES, now) == now.keys() - {"pack"}
