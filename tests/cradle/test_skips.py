"""Under CI=true every skip is a failure, however it comes about."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SKIPS = {
    "call": "import pytest\n\ndef test_it(): pytest.skip('no GPU')\n",
    "mark": "import pytest\n\n@pytest.mark.skip(reason='no GPU')\ndef test_it(): ...\n",
    "import": "import pytest\n\ndef test_it(): pytest.importorskip('no_such_module', reason='no GPU')\n",
    "module": "import pytest\n\npytest.skip('no GPU', allow_module_level=True)\n",
}
EXPECTED_TO_FAIL = "import pytest\n\n@pytest.mark.xfail(strict=True)\ndef test_it(): assert False\n"


def outcome(folder: Path, source: str, ci: str) -> tuple[int, str]:
    """The exit code and output of pytest with our conftest, over a file of this source."""
    (folder / "test_it.py").write_text(source)
    words = ["-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={folder}", folder]
    command = [sys.executable, "-m", "pytest", *words]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "CI": ci}, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("how", SKIPS)
def test_a_skip_fails_in_ci(tmp_path: Path, how: str) -> None:
    code, printed = outcome(tmp_path, SKIPS[how], "true")
    assert code != 0
    assert "no test is skipped" in printed
    assert "no GPU" in printed
    assert "skipped" not in printed.splitlines()[-1]


def test_elsewhere_a_skip_is_one(tmp_path: Path) -> None:
    code, printed = outcome(tmp_path, SKIPS["call"], "")
    assert (code, "1 skipped" in printed) == (0, True)


def test_what_is_expected_to_fail_may(tmp_path: Path) -> None:
    assert outcome(tmp_path, EXPECTED_TO_FAIL, "true")[0] == 0
