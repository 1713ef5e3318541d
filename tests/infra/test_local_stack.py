"""The embedded stack: up and down as often as one likes, also by several at once, all of it under its home."""

import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from infra.local import stack


@pytest.mark.parametrize("name", ["home", "long" * 30])
def test_up_is_idempotent_and_down_keeps_what_was_written(tmp_path: Path, name: str) -> None:
    """Under a path too long for a socket's address PostgreSQL listens on a port instead, and keeps that as well."""
    home = tmp_path / name
    assert stack.endpoints(home) is None
    assert not stack.running(home)
    assert not stack.down(home)
    try:
        first = stack.up(home)
        assert stack.up(home) == first == stack.endpoints(home)
        assert stack.running(home)
        with psycopg.connect(first.ledger_url) as connection:
            connection.execute("CREATE TABLE kept ()")
        assert stack.down(home)
        assert not stack.running(home)
        assert stack.up(home) == first
        with psycopg.connect(first.ledger_url) as connection:
            connection.execute("SELECT FROM kept")
        with Redis.from_url(first.progress_url) as client:
            assert client.ping()
    finally:
        stack.down(home)


def test_several_that_bring_it_up_at_once_get_the_same_stack_even_under_a_long_path(tmp_path: Path) -> None:
    home = tmp_path / ("h" * 150)
    try:
        with ThreadPoolExecutor(3) as threads:
            found = list(threads.map(stack.up, [home] * 3))
        assert len(set(found)) == 1
        assert stack.running(home)
        folder = home / "embedded"
        assert stat.S_IMODE(folder.stat().st_mode) & 0o066 == 0, "others may pass at most, and read nothing"
    finally:
        stack.down(home)


def test_a_port_that_somebody_took_meanwhile_is_replaced(tmp_path: Path) -> None:
    try:
        before = stack.up(tmp_path)
        stack.down(tmp_path)
        with socket.socket() as thief:
            thief.bind(("127.0.0.1", int(before.broker_url.rpartition(":")[2])))
            thief.listen()
            after = stack.up(tmp_path)
            assert after.broker_url != before.broker_url
            assert stack.running(tmp_path)
    finally:
        stack.down(tmp_path)
