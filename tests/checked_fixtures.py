"""The fixtures of `checked_site`: ``pytest_plugins = ("tests.checked_fixtures",)`` in a test module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .checked_site import CheckedSite, MakeCheckedSite, MovedClock, add_pages
from .conftest import MakeApp, RunServer


@pytest.fixture
def make_checked_site(
    make_app: MakeApp,
    live_server: RunServer,
    emulator: Emulator,
    browser: Browser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> MakeCheckedSite:
    """`make_checked_site(**config)`: each call is one more worker of the same deployment."""
    clock = MovedClock()
    clock.install(monkeypatch)

    def make(**config: Any) -> CheckedSite:
        app = make_app(**{"instance_path": tmp_path / "shared", **config})
        add_pages(app)
        return CheckedSite(app, live_server(app), emulator, browser, clock)

    return make


@pytest.fixture
def site(make_checked_site: MakeCheckedSite) -> CheckedSite:
    """A site with the default settings where somebody is logged in."""
    made = make_checked_site()
    made.log_in()
    return made
