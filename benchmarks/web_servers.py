"""Web servers as in production: some gunicorns with some workers each, one Redis, and what balances them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flask_centralauth.emulator import Emulator
from tests.browser_client import Browser
from tests.services.servers import RedisServer

ROOT: Final = Path(__file__).parent.parent
#: Where people see them, through a proxy that speaks TLS.
ORIGIN: Final = "https://crowd.example"
WORKERS: Final = 2


class Balancer(dict[str, str]):
    """What a proxy does: every request goes to any server that is up."""

    def __init__(self, servers: list[WebServer], dice: random.Random) -> None:
        super().__init__()
        self._servers = servers
        self._dice = dice

    def get(self, origin: str, default: Any = None) -> Any:
        if origin != ORIGIN:
            return default
        return self._dice.choice([server for server in self._servers if server.up]).url

    def copy(self) -> Balancer:
        return self


class WebServer:
    """gunicorn, on a port it keeps over a crash."""

    def __init__(self, port: int, environment: dict[str, str], *, workers: int = WORKERS) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.up = False
        self._environment = environment
        self._workers = workers

    def start(self) -> None:
        options = ["--workers", str(self._workers), "--threads", "8", "--bind", f"127.0.0.1:{self.port}"]
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "gunicorn",
                *options,
                "--log-level",
                "critical",
                "benchmarks.crowd_site:app",
            ],
            cwd=ROOT,
            env={**os.environ, **self._environment, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"gunicorn did not start on port {self.port}")
            time.sleep(0.05)
        self.up = True

    def kill(self) -> None:
        """Crash: master and workers at once, whatever they are doing."""
        self.up = False
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return Browser(timeout=5).fetch(f"{self.url}/").status == 200
        except OSError:
            return False


@dataclass(frozen=True)
class Deployment:
    servers: list[WebServer]
    redis_url: str


@contextlib.contextmanager
def deployment(
    emulator: Emulator, *, servers: int = 2, workers: int = WORKERS, **config: Any
) -> Iterator[Deployment]:
    """Redis and web servers, with some settings of their own."""
    redis = RedisServer()
    settings = {
        **emulator.config,
        "SECRET_KEY": "the crowd shares one secret key",
        "CENTRALAUTH_CALLBACK_URL": f"{ORIGIN}/api/auth/callback",
        **config,
    }
    running: list[WebServer] = []
    try:
        redis.start()
        environment = {"CROWD_SETTINGS": json.dumps(settings), "REDIS_URL": redis.url}
        for port in random.sample(range(20000, 32000), servers):
            running.append(WebServer(port, environment, workers=workers))
            running[-1].start()
        yield Deployment(running, redis.url)
    finally:
        for server in running:
            server.kill()
        redis.close()
