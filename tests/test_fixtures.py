"""The fixtures work together: an application, a server, a browser and the emulator make a login."""

from __future__ import annotations

from pathlib import Path

from .browser_client import Browser
from .conftest import MakeApp, RunServer


def test_a_login_through_the_emulator(make_app: MakeApp, live_server: RunServer, browser: Browser) -> None:
    server = live_server(make_app())
    page = browser.get(f"{server.url}/private")
    assert page.url == f"{server.url}/private"
    assert page.text == "alice@example.com"
    assert browser.fetch("/api/data").json() == {"email": "alice@example.com"}


def test_a_login_by_the_login_page(make_app: MakeApp, live_server: RunServer, browser: Browser) -> None:
    server = live_server(make_app())
    browser.user = None
    login = browser.get(f"{server.url}/private")
    form = next(form for form in login.forms if "email" in form.fields)
    assert browser.submit(form, {"email": "bob@example.com"}).text == "bob@example.com"


def test_a_login_behind_a_tls_proxy(make_app: MakeApp, live_server: RunServer, browser: Browser) -> None:
    app = make_app(CENTRALAUTH_CALLBACK_URL="https://app.example/api/auth/callback")
    app.config["SESSION_COOKIE_SECURE"] = True
    browser.routes["https://app.example"] = live_server(app).url
    assert browser.get("https://app.example/private").text == "alice@example.com"
    assert all(cookie.secure for cookie in browser.cookies if cookie.host == "app.example")


def test_two_processes_of_one_application_share_logins(
    make_app: MakeApp, live_server: RunServer, browser: Browser, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    first = live_server(make_app(instance_path=folder, CENTRALAUTH_USER_TTL=0))
    second = live_server(make_app(instance_path=folder, CENTRALAUTH_USER_TTL=0))
    browser.get(f"{first.url}/private")
    # Cookies do not know ports, so the same browser is logged in at both.
    page = browser.get(f"{second.url}/private")
    assert [hop.status for hop in page.hops] == [200]


def test_applications_are_apart(make_app: MakeApp, live_server: RunServer, browser: Browser) -> None:
    first, second = live_server(make_app()), live_server(make_app())
    browser.get(f"{first.url}/private")
    browser.user = None
    assert browser.fetch(f"{second.url}/api/data").status == 401
