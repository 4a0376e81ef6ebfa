"""The fixture of `error_site`; a test module has it with ``pytest_plugins = ("tests.error_fixtures",)``."""

from __future__ import annotations

from typing import Any

import pytest

from flask_centralauth import ways_back
from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .conftest import MakeApp, RunServer
from .error_site import MakeSite, Site, add_pages


@pytest.fixture
def make_site(
    make_app: MakeApp,
    live_server: RunServer,
    emulator: Emulator,
    browser: Browser,
    monkeypatch: pytest.MonkeyPatch,
) -> MakeSite:
    """`make_site(**config)`: asks CentralAuth on every request, and does without its last answer."""

    def make(*, patient: bool = True, **config: Any) -> Site:
        # Else whoever signed in a moment ago sees a page: that is a test of its own.
        if patient:
            monkeypatch.setattr(ways_back, "YOUNG_LOGIN_SECONDS", 0)
        impatient: dict[str, Any] = {"CENTRALAUTH_USER_TTL": 0, "CENTRALAUTH_STALE_GRACE": 0}
        app = make_app(**(impatient | config))
        add_pages(app)
        browser.user = None
        return Site(app, live_server(app), emulator, browser)

    return make
