"""/livez, /readyz and /metrics of one process."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from consumers.runtime.metrics import Metrics
from schemas.errors import Retryable

TOUCH_SECONDS: Final = 1.0


@dataclass(slots=True)
class Health:
    """Alive while polls or outcomes keep coming; ready while consuming with every dependency there."""

    stage: str
    stuck_seconds: float
    consuming: bool = False
    waits: tuple[Retryable, ...] = ()
    """What the stage waits for: a dependency, or the end of a storm."""
    last_beat: float = field(default_factory=time.monotonic)
    beat_file: Path | None = None
    """Touched at beats, once a second at most: a supervisor watches it."""
    _touched: float = 0.0

    def beat(self) -> None:
        self.last_beat = time.monotonic()
        if self.beat_file is not None and self.last_beat - self._touched >= TOUCH_SECONDS:
            self._touched = self.last_beat
            with contextlib.suppress(OSError):
                self.beat_file.touch()

    @property
    def idle_seconds(self) -> float:
        return time.monotonic() - self.last_beat

    @property
    def alive(self) -> bool:
        return self.idle_seconds <= self.stuck_seconds

    @property
    def away(self) -> str | None:
        """What is waited for, in words."""
        return " ".join(wait.sentence for wait in self.waits) or None

    @property
    def ready(self) -> bool:
        return self.consuming and not self.waits


def health_app(health: Health, metrics: Metrics) -> Starlette:
    metrics.stuck_used.set_function(lambda: health.idle_seconds / health.stuck_seconds)

    async def livez(_: Request) -> Response:
        body = {"stage": health.stage, "alive": health.alive, "seconds_since_progress": round(health.idle_seconds, 1)}
        return JSONResponse(body, status_code=200 if health.alive else 503)

    async def readyz(_: Request) -> Response:
        body = {"stage": health.stage, "ready": health.ready, "waiting_for": health.away}
        body["codes"] = [wait.code for wait in health.waits]
        return JSONResponse(body, status_code=200 if health.ready else 503)

    async def metrics_text(_: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics_text)])


class HealthServer(uvicorn.Server):
    """A uvicorn server that leaves the process's signals to the stage."""

    def __init__(self, health: Health, metrics: Metrics, host: str, port: int) -> None:
        app = health_app(health, metrics)
        super().__init__(uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False, lifespan="off"))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
