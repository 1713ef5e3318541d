"""What a server says of its version. Only `cradle doctor` asks: no adapter behaves differently for the answer."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final


async def version(url: str) -> str:
    """Its product and version, or '' where the protocol tells none. Raises the driver's own errors."""
    ask = ASK.get(url.partition(":")[0])
    return "" if ask is None else await ask(url)


async def _postgresql(url: str) -> str:
    import psycopg

    async with await psycopg.AsyncConnection.connect(url, connect_timeout=5) as connection:
        row = await (await connection.execute("SHOW server_version")).fetchone()
    return f"PostgreSQL {str(row[0]).split()[0]}" if row else ""


async def _redis(url: str) -> str:
    from redis.asyncio import Redis

    client = Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5)
    try:
        found = (await client.info("server")).get("redis_version", "")
    finally:
        await client.aclose()
    return f"Redis {found}".strip()


ASK: Final[Mapping[str, Callable[[str], Awaitable[str]]]] = {"postgresql": _postgresql, "redis": _redis}
