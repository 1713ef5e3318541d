"""`make conformance`: both servers under every suite, with a summary of each."""

import sys
import tempfile
from pathlib import Path

from tests.appliance.serving import serving, write_layers
from tests.conformance.suite import SUITES, conform
from tests.conformance.under_test import fixtures_server


def main() -> int:
    passed = True
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        folder = Path(name)
        with serving(write_layers(folder / "data"), "--open") as appliance, fixtures_server() as fixtures:
            for server, url in (("the appliance", appliance.url), ("the fixtures server", fixtures.url)):
                for suite in SUITES:
                    outcome = conform(url, suite, fixtures=url == fixtures.url, folder=folder)
                    print(f"\n== {suite.name} against {server}\n", *outcome.lines, sep="\n", flush=True)
                    passed &= outcome.passed
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
