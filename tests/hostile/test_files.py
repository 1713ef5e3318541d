"""Whatever the file, the worker lives, answers in time and within its memory, and follows nothing."""

import signal
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.files import HostileFile, built, cuts, mutants, noise
from tests.hostile.files_kinds import Lure
from tests.hostile.throwing import LONGEST_SECONDS, MOST_BYTES, WORDS, Answer, Caller, Report, Worker, lure, throw

pytestmark = pytest.mark.apart

SEED = 7
TEXT = HostileFile("a kind", "a.txt", b"A proper text, and nothing hostile about it.")


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[tuple[Lure, Caller]]:
    with lure(tmp_path) as found:
        yield found


def fine(report: Report, most: int) -> None:
    print("\n" + "\n".join(report.table()))
    assert not report.failures
    assert report.files == most


def test_what_is_built_to_hurt(bait: tuple[Lure, Caller], tmp_path: Path) -> None:
    files = [*built(bait[0], seed=SEED)]
    report = throw(files, tmp_path, bait[1])
    fine(report, len(files))
    assert len(report.rows) == 21
    assert report.rows["names"].outcomes.keys() == {"read", "expanded"}, "no name costs a neighbour"
    assert report.rows["scripts, macros and links"].outcomes.keys() <= {"read", "expanded"}


def test_what_is_cut_short_or_is_noise(bait: tuple[Lure, Caller], tmp_path: Path) -> None:
    files = [*cuts(points=4), *noise(seed=SEED)]
    fine(throw(files, tmp_path, bait[1]), len(files))


def test_what_is_changed_at_random(bait: tuple[Lure, Caller], tmp_path: Path) -> None:
    report = throw(mutants(500, seed=SEED), tmp_path, bait[1])
    fine(report, 500)
    assert report.rows["mutated"].outcomes["read"] > 100, "many are little harmed"


# -- and that it would be seen ----------------------------------------------------------------------------------------


def test_a_worker_that_dies_is_seen_and_another_goes_on(bait: tuple[Lure, Caller], tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    try:
        first = worker.throw(0, TEXT)
        assert (first.failure, first.outcomes) == (None, {"read": 1})
        assert 20 << 20 < first.bytes < MOST_BYTES
        assert worker._process
        worker._process.send_signal(signal.SIGKILL)
        worker._process.wait()
        second = worker.throw(1, TEXT)
        assert second.failure == "the worker died (-9)"
        assert worker.throw(2, TEXT).outcomes == {"read": 1}
    finally:
        worker.close()


def test_words_that_leak_and_an_address_that_is_called_are_seen(bait: tuple[Lure, Caller], tmp_path: Path) -> None:
    told = HostileFile("a kind", "a.txt", f"What the file says: {WORDS}.".encode())

    def called(number: int, answer: Answer) -> None:
        with pytest.raises((urllib.error.URLError, TimeoutError, ConnectionError)):
            urllib.request.urlopen(bait[0].address, timeout=0.1)

    report = throw([told, TEXT], tmp_path, bait[1], say=called)
    assert [failure.split(": ")[1] for failure in report.failures] == [
        "a file's words are in the text",
        "1 calls to an address in it",
    ]


def test_time_and_memory_beyond_the_limits_are_seen() -> None:
    report = Report()
    report.add(Answer(TEXT, Counter(), LONGEST_SECONDS + 1, 1))
    report.add(Answer(TEXT, Counter(), 1, MOST_BYTES + 1))
    assert [failure.split(": ")[1] for failure in report.failures] == ["answered after 21.0 s", "1024 MiB"]
    assert report.table()[-1] == "| **all** | 2 |  | 21.0 s | 1024 MiB |"


def test_one_seed_makes_the_same_files_again(bait: tuple[Lure, Caller]) -> None:
    assert [*mutants(20, seed=1)] == [*mutants(20, seed=1)] != [*mutants(20, seed=2)]
    assert [*noise(seed=1)] == [*noise(seed=1)]
    assert [*built(bait[0], seed=1, only="names")] == [*built(bait[0], seed=1, only="names")]
