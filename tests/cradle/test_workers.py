import fcntl
import threading
from pathlib import Path

from cradle.workers import known_as_supervisor, workers_pid


def test_a_lone_supervisor_is_known_though_somebody_looks_at_its_lock_just_then(tmp_path: Path) -> None:
    with known_as_supervisor(tmp_path) as listed:
        assert listed
    looking = (tmp_path / "run" / "workers.pid").open("r+")
    fcntl.flock(looking, fcntl.LOCK_EX)
    threading.Timer(0.1, looking.close).start()
    with known_as_supervisor(tmp_path) as listed:
        assert listed
        assert workers_pid(tmp_path)


def test_a_second_supervisor_is_not_listed(tmp_path: Path) -> None:
    with known_as_supervisor(tmp_path) as first, known_as_supervisor(tmp_path) as second:
        assert (first, second) == (True, False)
