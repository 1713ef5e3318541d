from collections.abc import Awaitable

import pytest

from infra.ledger import Limit
from infra.parameters.memory import MemoryParameters
from operations.customers import add_customer, add_parameters, read_limit, show_customer
from schemas.errors import Permanent

RECIPIENT = "age1" + "q" * 58


async def refusal(work: Awaitable[object]) -> Permanent:
    with pytest.raises(Permanent) as caught:
        await work
    return caught.value


async def test_a_new_customer_can_open_jobs_at_once() -> None:
    store = MemoryParameters()
    await add_customer("acme", store=store)
    shown = await show_customer("acme", store=store)
    assert shown["parameters"]["version"] == 1
    assert shown["parameters"]["embedding_config"]["model"] == "builtin"


async def test_what_is_not_given_stays_and_roots_are_added_or_revoked() -> None:
    store = MemoryParameters()
    await add_customer("acme", store=store, roots=["file:///data/acme"], window=7, recipient=RECIPIENT)
    changed = await add_customer("acme", store=store, roots=["s3://bucket/acme//"], retain_hours=48)
    assert changed.roots == ("file:///data/acme/", "s3://bucket/acme/")
    assert (changed.window, changed.retain_hours, changed.recipient) == (7, 48, RECIPIENT)
    changed = await add_customer("acme", store=store, revoked_roots=["file:///data/acme/"])
    assert changed.roots == ("s3://bucket/acme/",)
    assert (await store.version("acme"))[0] == 1


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"roots": ["/data/acme"]}, "roots"),
        ({"roots": ["file:///"]}, "roots"),
        ({"roots": ["file://host/data"]}, "roots"),
        ({"roots": ["file:///data/../etc"]}, "roots"),
        ({"roots": ["file:///data/%2e%2e/etc"]}, "roots"),
        ({"roots": ["s3:///prefix"]}, "roots"),
        ({"roots": ["https://host/data"]}, "roots"),
        ({"window": 0}, "window"),
        ({"retain_hours": 169}, "retain_hours"),
        ({"max_failed": "many"}, "max_failed"),
        ({"max_failed": "101%"}, "max_failed"),
        ({"max_failed": "-1"}, "max_failed"),
        ({"recipient": "ssh-ed25519 AAAA"}, "recipient"),
        ({"recipient": "AGE-SECRET-KEY-1" + "Q" * 58}, "recipient"),
    ],
)
async def test_a_bad_field_is_named_and_nothing_is_stored(fields: dict[str, object], named: str) -> None:
    store = MemoryParameters()
    error = await refusal(add_customer("acme", store=store, **fields))  # type: ignore[arg-type]
    assert error.code == "customer.invalid"
    assert named in error.sentence
    assert "SECRET" not in error.sentence
    assert await store.customers() == []


async def test_how_many_may_fail_is_set_kept_and_taken_away() -> None:
    store = MemoryParameters()
    await add_customer("acme", store=store, max_failed="5")
    assert (await add_customer("acme", store=store, window=3)).max_failed == "5"
    assert (await add_customer("acme", store=store, max_failed="2.5%")).max_failed == "2.5%"
    assert (await add_customer("acme", store=store, max_failed="none")).max_failed is None


@pytest.mark.parametrize(
    ("text", "limit"),
    [(None, None), ("0", Limit(count=0)), ("5", Limit(count=5)), ("10%", Limit(share=0.1)), ("100%", Limit(share=1.0))],
)
def test_a_limit_is_a_count_or_a_share(text: str | None, limit: Limit | None) -> None:
    assert read_limit(text) == limit


async def test_a_customer_id_is_checked() -> None:
    assert (await refusal(add_customer("../acme", store=MemoryParameters()))).code == "customer.id"


async def test_parameters_are_numbered() -> None:
    store = MemoryParameters()
    await add_customer("acme", store=store)
    assert await add_parameters("acme", {"chunking_config": {"max_tokens": 128}}, store=store) == 2
    assert (await show_customer("acme", store=store))["parameters"]["chunking_config"]["max_tokens"] == 128
    assert (await refusal(add_parameters("nobody", {}, store=store))).code == "customer.unknown"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"chunking_config": {"max_tokens": "canary"}}, "chunking_config.max_tokens (int_type)"),
        ({"embedding_config": {"modle": "canary"}}, "embedding_config.modle (unknown field)"),
        ({"chunking_config": {"max_tokens": 64, "overlap_tokens": 60}}, "overlap_tokens is at most half"),
        ({"customer_id": "canary"}, "customer_id"),
        ({"embedding_config": 3}, "embedding_config"),
    ],
)
async def test_bad_parameters_are_named_without_their_values(fields: dict[str, object], named: str) -> None:
    store = MemoryParameters()
    await add_customer("acme", store=store)
    error = await refusal(add_parameters("acme", fields, store=store))
    assert error.code == "parameters.invalid"
    assert named in error.sentence
    assert "canary" not in error.sentence
    assert (await store.version("acme"))[0] == 1
