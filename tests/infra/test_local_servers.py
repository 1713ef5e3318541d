"""The embedded servers: they answer, keep what they were given, and let nobody else in."""

import os
import signal
import stat
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from infra.local.broker import EmbeddedBroker
from infra.local.postgres import EmbeddedPostgres
from infra.local.processes import alive, free_port, wait_until


@pytest.mark.parametrize("name", ["a b%c", "y" * 150])
def test_a_cluster_keeps_its_rows_over_a_stop_whatever_its_path(tmp_path: Path, name: str) -> None:
    server = EmbeddedPostgres(tmp_path / name)
    try:
        server.start()
        server.create_database()
        server.create_database()  # twice is harmless
        with psycopg.connect(server.url()) as connection:
            connection.execute("CREATE TABLE kept (value text)")
            connection.execute("INSERT INTO kept VALUES ('here')")
        assert server.stop()
        assert not server.stop()
        server.start()
        with psycopg.connect(server.url()) as connection:
            assert connection.execute("SELECT value FROM kept").fetchone() == ("here",)
    finally:
        server.stop()


def test_a_short_path_opens_no_port_and_a_long_one_asks_for_the_password(tmp_path: Path) -> None:
    near, far = EmbeddedPostgres(tmp_path / "n"), EmbeddedPostgres(tmp_path / ("f" * 150))
    try:
        for server in (near, far):
            server.start()
        with psycopg.connect(near.url("postgres")) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        socket = next((tmp_path / "n" / "data").glob(".s.PGSQL.*[0-9]"))
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        password = (far.folder / "password").read_text()
        assert stat.S_IMODE((far.folder / "password").stat().st_mode) == 0o600
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(far.url("postgres").replace(password, "guess"))
    finally:
        for server in (near, far):
            server.stop()


def test_a_cluster_that_was_cut_off_while_it_was_made_is_made_anew(tmp_path: Path) -> None:
    half_made = tmp_path / "pg" / "data.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18")
    server = EmbeddedPostgres(tmp_path / "pg")
    try:
        server.start()
        assert server.running()
    finally:
        server.stop()


def test_the_broker_keeps_its_data_over_a_stop_and_starts_again_after_a_kill(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "broker", kafka_port=free_port(), redis_port=free_port())
    try:
        broker.start()
        broker.start()
        with Redis.from_url(broker.progress_url) as client:
            client.set("kept", "here")
        assert broker.stop()
        assert not broker.running()
        broker.start()
        with Redis.from_url(broker.progress_url) as client:
            assert client.get("kept") == b"here"
        pid = broker._pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), name="the killed broker", log=tmp_path, seconds=10)
        broker.start()
        assert broker.running()
        assert stat.S_IMODE(broker.folder.stat().st_mode) == 0o700
    finally:
        broker.stop()


def test_every_test_gets_an_empty_database(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_stat_user_tables").fetchone() == (0,)
