"""Watching a job: a bar of its documents and, stage by stage, what has been made so far."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from cradle.commands.terminal import err, note
from schemas.errors import CradleError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cradle.compose import Adapters
    from infra.ledger import JobView
    from schemas.topology import Topology

STILL_SECONDS = 10.0
"""After this long without any change a person may wonder whether consumers run at all."""


async def watch_job(job: UUID, adapters: "Adapters", *, seconds: float | None = None, quiet: bool = False) -> None:
    """Returns once the job is baked, or will never be. Raises CradleError `job.unfinished` after `seconds`."""
    from cradle.flow import read_flow
    from infra.ledger import JobState
    from operations.jobs import wait_for

    ledger, progress = await adapters.ledger(), await adapters.progress()
    until = (JobState.BAKED, JobState.PACKAGED)
    with _display(read_flow(), quiet) as display:
        reminder = asyncio.create_task(_remind_if_still(display, adapters.settings.home))
        try:
            async with asyncio.timeout(seconds):
                await wait_for(job, until, ledger=ledger, progress=progress, seen=display.seen, every=1.0)
        except TimeoutError:
            raise CradleError("job.unfinished", job=job, seconds=seconds) from None
        finally:
            reminder.cancel()


class _Silent:
    """Shows nothing, and only knows when something last moved."""

    def __init__(self) -> None:
        self.moved_at = time.monotonic()
        self.view: JobView | None = None

    def seen(self, view: "JobView") -> None:
        """Takes the newest state of the job."""
        if self.view is None or (view.state, view.outcomes) != (self.view.state, self.view.outcomes):
            self.moved_at = time.monotonic()
        self.view = view
        self.draw()

    def draw(self) -> None:
        """Nothing to draw."""


class _Bars(_Silent):
    """Redraws a few lines on stderr, which is a terminal."""

    def __init__(self, flow: "Topology") -> None:
        from rich.live import Live

        super().__init__()
        self.began = time.monotonic()
        self._flow = flow
        self.live = Live(console=err, get_renderable=self._render, refresh_per_second=8, transient=True)

    def _render(self) -> "RenderableType":
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.spinner import Spinner
        from rich.table import Table

        view = self.view
        if view is None:
            return Spinner("dots", "waiting for the ledger")
        total = max(view.total, view.manifest or 0)
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(
            Spinner("dots", f"[bold]{view.state.value}[/bold]"),
            ProgressBar(total=total or 1, completed=view.finished, width=40),
            f"{view.finished}/{total} documents",
            f"[dim]{time.monotonic() - self.began:.0f} s[/dim]",
        )
        made = Table.grid(padding=(0, 3, 0, 0))
        counts = {stage: view.items.get(stage) or view.outcomes.get(stage, 0) for stage in self._flow.stages}
        made.add_row(*(f"[dim]{stage}[/dim] {count}" for stage, count in counts.items()))
        return Group(line, made)


@contextmanager
def _display(flow: "Topology", quiet: bool) -> Iterator[_Silent]:
    if quiet or not err.is_terminal:
        yield _Silent()
        return
    bars = _Bars(flow)
    with bars.live:
        yield bars


async def _remind_if_still(display: _Silent, home: Path) -> None:
    """Asks once whether consumers run, unless this home's own do: then the work is slow, not forgotten."""
    from cradle.workers import workers_pid

    while (left := display.moved_at + STILL_SECONDS - time.monotonic()) > 0:  # noqa: ASYNC110 (the deadline moves)
        await asyncio.sleep(left)
    if workers_pid(home) is not None:
        return
    note("Nothing has moved for 10 s. Do consumers run? Start them with `cradle run --all`.")
    note("`cradle lag` shows what waits.")
