"""A stage that hangs ends its process, where nobody else watches over it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.runtime import watchdog
from consumers.runtime.health import Health
from consumers.runtime.watchdog import EXIT_CODE, Watchdog

DEADLINE = 20.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "TICK_SECONDS", 0.05)


class Dog:
    def __init__(self, *healths: Health, grace: float) -> None:
        self.ended: list[int] = []
        self.alive_then: list[bool] = []
        self.barked = threading.Event()
        self.healths = healths
        self.thread = Watchdog(healths, grace=grace, end=self._end)

    def _end(self, code: int) -> None:
        self.alive_then = [health.alive for health in self.healths]
        self.ended.append(code)
        self.barked.set()


@pytest.fixture
def beating() -> Iterator[Health]:
    health, stop = Health("admit", 0.2), threading.Event()

    def beat() -> None:
        while not stop.wait(0.02):
            health.beat()

    thread = threading.Thread(target=beat)
    thread.start()
    yield health
    stop.set()
    thread.join()


def test_one_of_several_stages_that_hangs_ends_the_process_once_livez_is_bad(beating: Health) -> None:
    dog = Dog(beating, Health("chunk", 0.5), grace=0.3)
    dog.thread.start()
    assert dog.barked.wait(DEADLINE)
    dog.thread.join()
    assert dog.ended == [EXIT_CODE]
    assert dog.alive_then == [True, False]


def test_stages_that_move_are_left_alone(beating: Health) -> None:
    dog = Dog(beating, grace=0.0)
    dog.thread.start()
    assert not dog.barked.wait(1.0)
    dog.thread.stop()
    dog.thread.join()


def test_beats_touch_the_file_that_a_supervisor_watches(tmp_path: Path) -> None:
    health = Health("chunk", 1.0, beat_file=tmp_path / "beat")
    health.beat()
    first = (tmp_path / "beat").stat().st_mtime_ns
    health.beat()
    assert (tmp_path / "beat").stat().st_mtime_ns == first  # once a second is enough
    health._touched -= 1.0
    health.beat()
    assert (tmp_path / "beat").stat().st_mtime_ns > first


def test_a_disk_without_room_for_a_beat_ends_nothing(tmp_path: Path) -> None:
    Health("chunk", 1.0, beat_file=tmp_path / "no folder" / "beat").beat()
