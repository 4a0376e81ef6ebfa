"""`target`: what the attacks are performed against; `make_target(**config)` for other settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pytest

from flask_centralauth.emulator import Emulator

from ..browser_client import Browser
from ..conftest import MakeApp, RunServer
from .target import Target


class MakeTarget(Protocol):
    def __call__(self, *, instance_path: Path | None = None, **config: Any) -> Target: ...


@pytest.fixture
def make_target(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator, browser: Browser
) -> MakeTarget:
    def make(*, instance_path: Path | None = None, **config: Any) -> Target:
        app = make_app(instance_path=instance_path, **config)
        return Target(app, live_server(app), emulator, browser)

    return make


@pytest.fixture
def target(make_target: MakeTarget) -> Target:
    return make_target()
