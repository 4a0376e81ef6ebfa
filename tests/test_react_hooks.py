"""What the official React hooks ask of an application's routes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from urllib.parse import quote

import pytest

from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .conftest import LiveServer, MakeApp, RunServer


@pytest.fixture
def server(make_app: MakeApp, live_server: RunServer) -> LiveServer:
    return live_server(make_app())


def test_user_is_an_object_or_null(browser: Browser, server: LiveServer) -> None:
    # For the hook everything but 200 is an error.
    browser.get(server.url)
    guest = browser.fetch("/api/auth/user")
    assert (guest.status, guest.json()) == (200, None)

    browser.get(f"{server.url}/private")
    user = browser.fetch("/api/auth/user")
    assert user.status == 200
    assert set(user.json()) >= {
        "id", "email", "gravatar", "verified", "blocked", "organizationId", "created", "updated",
        "lastLogin", "affirmationDate",
    }  # fmt: skip


def test_guest_goes_to_login_and_back(browser: Browser, server: LiveServer) -> None:
    # The hook sets location.href to the route with the address of the page, whole and encoded.
    page = f"{server.url}/private?tab=2"
    browser.get(server.url)
    assert browser.click(f"/api/auth/login?return_to={quote(page, safe='')}").url == page


def test_affirmation_and_back(browser: Browser, server: LiveServer, emulator: Emulator) -> None:
    old = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
    emulator.fail("userinfo", patch={"affirmationDate": old})
    browser.get(f"{server.url}/private")
    assert browser.fetch("/api/auth/user").json()["affirmationDate"] == old

    page = f"{server.url}/private?tab=2"
    assert browser.click(f"/api/auth/affirm?return_to={quote(page, safe='')}").url == page

    date = datetime.fromisoformat(
        browser.fetch("/api/auth/user").json()["affirmationDate"].replace("Z", "+00:00")
    )
    assert datetime.now(timezone.utc) - date < timedelta(minutes=1)
