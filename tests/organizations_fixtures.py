"""The fixtures of `organizations_site`: ``pytest_plugins = ("tests.organizations_fixtures",)``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from flask_centralauth import CentralAuth
from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .checked_site import MovedClock
from .conftest import RunServer
from .organizations_site import (
    SECRET_KEY,
    MakeSite,
    Site,
    add_pages,
    add_views_that_call_methods,
    staff_settings,
)


@pytest.fixture(scope="module")
def _office_process() -> Iterator[Emulator]:
    with Emulator(client_id="the-office", users=["olga@office.example", "alice@example.com"]) as running:
        yield running


@pytest.fixture
def office(_office_process: Emulator) -> Emulator:
    """The CentralAuth of the staff; `emulator` is that of the customers."""
    _office_process.reset()
    return _office_process


@pytest.fixture
def make_pair(
    emulator: Emulator,
    office: Emulator,
    tmp_path: Path,
    live_server: RunServer,
    monkeypatch: pytest.MonkeyPatch,
) -> MakeSite:
    clock = MovedClock()
    clock.install(monkeypatch)

    def make(**config: Any) -> Site:
        app = Flask("two_organizations", instance_path=str(tmp_path / "instance"))
        app.config.update(SECRET_KEY=SECRET_KEY, TESTING=True, **emulator.config, **staff_settings(office))
        app.config.update(config)
        customers, staff = CentralAuth(app), CentralAuth(app, name="staff")
        add_pages(app, staff)
        add_views_that_call_methods(app, staff)
        server = live_server(app)
        shop_tab = Browser(emulator)
        office_tab = Browser(office, user="olga@office.example", cookies=shop_tab.cookies)
        return Site(app, customers, staff, server, shop_tab, office_tab, clock)

    return make


@pytest.fixture
def pair(make_pair: MakeSite) -> Site:
    return make_pair()
