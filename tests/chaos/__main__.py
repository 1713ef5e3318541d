"""`python -m tests.chaos --documents N --faults N --seed S [--out FILE]`."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from tests.chaos import available
from tests.chaos.campaign import Settings, run
from tests.chaos.careless import WAYS, careless_settings
from tests.chaos.plan import plan
from tests.chaos.report import to_markdown, write_section


def main(words: list[str]) -> int:
    """Exit code: 0 nothing is lost or doubled, 1 the checker found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Faults from a seed, then the checker.")
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--faults", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a Markdown file whose section of this name is written anew")
    parser.add_argument("--home", type=Path, help="where the campaign's folder is made")
    parser.add_argument("--careless", choices=sorted(WAYS), help="take a safety off: the checker must see it")
    parser.add_argument("--keep", action="store_true", help="leave that folder")
    chosen = parser.parse_args(words)
    settings = Settings(
        documents=chosen.documents,
        seed=chosen.seed,
        faults=plan(chosen.faults, chosen.seed, without=available.missing()),
        libs=available.libs(),
        parent=chosen.home,
        keep=chosen.keep,
    )
    if chosen.careless:
        settings = careless_settings(settings, chosen.careless, chosen.faults)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end and the small disk goes
    result = asyncio.run(run(settings))
    told = to_markdown(result)
    print(told)
    if chosen.out is not None:
        write_section(chosen.out, told)
    return 1 if result.verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
