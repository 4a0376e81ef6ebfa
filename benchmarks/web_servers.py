"""Web servers as in production: two gunicorns with two workers each, one Redis, and what balances them."""

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
    """gunicorn with two workers, on a port it keeps over a crash."""

    def __init__(self, port: int, environment: dict[str, str]) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.up = False
        self._environment = environment

    def start(self) -> None:
        options = ["--workers", str(WORKERS), "--threads", "8", "--bind", f"127.0.0.1:{self.port}"]
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


@contextlib.contextmanager
def deployment(emulator: Emulator) -> Iterator[list[WebServer]]:
    """Redis and both web servers."""
    redis = RedisServer()
    settings = {
        **emulator.config,
        "SECRET_KEY": "the crowd shares one secret key",
        "CENTRALAUTH_CALLBACK_URL": f"{ORIGIN}/api/auth/callback",
        # CentralAuth is asked often, so that checks and logouts meet.
        "CENTRALAUTH_USER_TTL": 2,
    }
    ports = random.sample(range(20000, 32000), 2)
    servers: list[WebServer] = []
    try:
        redis.start()
        environment = {"CROWD_SETTINGS": json.dumps(settings), "REDIS_URL": redis.url}
        for port in ports:
            servers.append(WebServer(port, environment))
            servers[-1].start()
        yield servers
    finally:
        for server in servers:
            server.kill()
        redis.close()
