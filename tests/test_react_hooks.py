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


@pytest.mark.parametrize("accepted", ["*/*", "application/json, text/plain, */*", "text/html"])
def test_user_is_json_whatever_a_fetch_accepts_and_never_from_a_cache(
    browser: Browser, server: LiveServer, accepted: str
) -> None:
    browser.get(server.url)
    for expected in (None, "alice@example.com"):
        answer = browser.fetch("/api/auth/user", headers={"Accept": accepted})
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Location" not in answer.headers
        user = answer.json()
        assert (user and user["email"]) == expected
        browser.get(f"{server.url}/private")


def test_user_who_was_signed_out_or_blocked_meanwhile_is_null(
    make_app: MakeApp, live_server: RunServer, browser: Browser, emulator: Emulator
) -> None:
    server = live_server(make_app(CENTRALAUTH_USER_TTL=0))
    for fault in ({"error_code": "sessionExpired"}, {"patch": {"blocked": True}}):
        browser.get(f"{server.url}/private")
        emulator.fail("userinfo", **fault)
        answer = browser.fetch("/api/auth/user")
        assert (answer.status, answer.json()) == (200, None)


def test_outage_is_an_error_and_not_a_guest(
    make_app: MakeApp, live_server: RunServer, browser: Browser, emulator: Emulator
) -> None:
    # null would send everybody to login, where CentralAuth cannot answer either.
    server = live_server(make_app(CENTRALAUTH_USER_TTL=0, CENTRALAUTH_STALE_GRACE=0))
    browser.get(f"{server.url}/private")
    emulator.fail("userinfo", status=503)
    answer = browser.fetch("/api/auth/user")
    assert answer.status == 503
    assert answer.json()["errorCode"] == "networkError"
    assert browser.fetch("/api/auth/user").json()["email"] == "alice@example.com"


def test_page_of_another_site_gets_nobody(browser: Browser, server: LiveServer) -> None:
    browser.get(f"{server.url}/private")
    answer = browser.fetch("/api/auth/user", headers={"Origin": "https://evil.example"})
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_link_to_logout_asks_and_comes_back(browser: Browser, server: LiveServer) -> None:
    # There a link signs out; here it leads to a button, because anybody can make a link.
    page = f"{server.url}/?signed=out"
    browser.get(f"{server.url}/private")
    asked = browser.click(f"/api/auth/logout?return_to={quote(page, safe='')}")
    assert browser.fetch("/api/auth/user").json()["email"] == "alice@example.com"
    assert browser.submit(asked.forms[0]).url == page
    assert browser.fetch("/api/auth/user").json() is None


def test_words_in_the_address_of_login_are_not_shown(browser: Browser, server: LiveServer) -> None:
    # What the official sample sends there after a failed login.
    browser.user = None
    browser.get(server.url)
    page = browser.click("/api/auth/login?error_message=Call+555&errorMessage=Call+555")
    assert "555" not in page.url
    assert "555" not in page.text


def test_affirmation_of_a_guest_signs_in_and_comes_back(browser: Browser, server: LiveServer) -> None:
    page = f"{server.url}/private?tab=2"
    browser.get(server.url)
    assert browser.click(f"/api/auth/affirm?return_to={quote(page, safe='')}").url == page


@pytest.mark.parametrize("route", ["login", "affirm", "logout"])
def test_address_of_another_site_is_no_way_back(browser: Browser, server: LiveServer, route: str) -> None:
    browser.get(f"{server.url}/private")
    page = browser.click(f"/api/auth/{route}?return_to=https://evil.example/")
    if route == "logout":
        page = browser.submit(page.forms[0])
    assert page.url == f"{server.url}/"
