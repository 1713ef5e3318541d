"""What every parameter store does, in memory and on PostgreSQL alike."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from infra.parameters import Customer, ParameterStore, open_parameters
from infra.parameters.migrations import migrate
from schemas.errors import Permanent
from schemas.parameters import ChunkingConfig, EmbeddingConfig, InitialStats, InstallationParameters

ACME = Customer("acme", "age1recipient", ("file:///in/", "s3://bucket/in"), window=5, retain_hours=48, max_failed="10%")


@pytest.fixture(params=["memory", "postgresql"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ParameterStore]:
    url = "memory:"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
        migrate(url)
    async with open_parameters(url) as opened:
        yield opened


def parameters(customer: str = "acme", max_tokens: int = 256) -> InstallationParameters:
    return InstallationParameters(
        customer_id=customer,
        embedding_config=EmbeddingConfig(model="fake", query_prefix="query: ", passage_prefix="Abschnitt: "),
        chunking_config=ChunkingConfig(max_tokens=max_tokens),
        initial_stats=InitialStats(total_files=12),
    )


async def test_a_customer_comes_back_as_it_was_put(store: ParameterStore) -> None:
    await store.put_customer(ACME)
    assert await store.customer("acme") == ACME
    changed = replace(ACME, recipient=None, roots=(), window=9, retain_hours=1, max_failed=None)
    await store.put_customer(changed)
    assert await store.customer("acme") == changed


async def test_customers_come_by_id(store: ParameterStore) -> None:
    for name in ("b", "a1", "a-1"):
        await store.put_customer(Customer(name))
    assert await store.customers() == [Customer("a-1"), Customer("a1"), Customer("b")]


async def test_a_customer_id_that_is_none_is_refused(store: ParameterStore) -> None:
    with pytest.raises(Permanent) as caught:
        await store.put_customer(Customer("../etc"))
    assert caught.value.code == "customer.id"
    assert await store.customers() == []


async def test_versions_are_numbered_from_one_and_kept(store: ParameterStore) -> None:
    await store.put_customer(ACME)
    first, second = parameters(), parameters(max_tokens=128)
    assert [await store.add_version(one) for one in (first, second, first)] == [1, 2, 3]
    assert await store.version("acme", 1) == (1, first)
    assert await store.version("acme", 2) == (2, second)
    assert await store.version("acme") == (3, first)


async def test_the_newest_again_is_no_new_version(store: ParameterStore) -> None:
    await store.put_customer(ACME)
    assert [await store.add_version(parameters()) for _ in range(2)] == [1, 1]
    assert await store.version("acme") == (1, parameters())


async def test_customers_do_not_share_versions(store: ParameterStore) -> None:
    for name in ("acme", "other"):
        await store.put_customer(Customer(name))
        assert await store.add_version(parameters(name)) == 1
    assert (await store.version("other"))[1].customer_id == "other"


async def test_versions_added_at_one_time_have_their_own_numbers(store: ParameterStore) -> None:
    await store.put_customer(ACME)
    numbers = await asyncio.gather(*(store.add_version(parameters(max_tokens=100 + n)) for n in range(8)))
    assert sorted(numbers) == list(range(1, 9))


@pytest.mark.parametrize("number", [None, 0, 1, 2, -1])
async def test_a_version_that_is_not_there_is_unknown(store: ParameterStore, number: int | None) -> None:
    await store.put_customer(ACME)
    with pytest.raises(Permanent) as caught:
        await store.version("acme", number)
    assert caught.value.code == "parameters.unknown"


async def test_an_unknown_customer_is_unknown(store: ParameterStore) -> None:
    for call in (
        store.customer("acme"),
        store.version("acme"),
        store.version("acme", 1),
        store.add_version(parameters()),
    ):
        with pytest.raises(Permanent) as caught:
            await call
        assert caught.value.code == "customer.unknown"


async def test_it_answers(store: ParameterStore) -> None:
    await store.ping()
