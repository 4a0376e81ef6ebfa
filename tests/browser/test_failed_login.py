"""Failing logins in a real browser: the message at CentralAuth, then our page, then another account."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from flask import Flask, get_flashed_messages

from flask_centralauth import PermissionDenied, auth_required, current_user, ways_back
from flask_centralauth.emulator import Emulator

from ..conftest import LiveServer, MakeApp, RunServer

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request

CAPTCHA = "The captcha was not solved. Please try again."
EXPIRED = "Your session has expired. Please sign in again."


@pytest.fixture
def app(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> Flask:
    # As if everybody had signed in a while ago.
    monkeypatch.setattr(ways_back, "YOUNG_LOGIN_SECONDS", 0)
    app = make_app(CENTRALAUTH_USER_TTL=0, CENTRALAUTH_STALE_GRACE=0)

    @app.get("/board")
    @auth_required
    def board() -> str:
        if current_user.email != "bob@example.com":
            raise PermissionDenied()
        return "<h1>Board</h1>"

    @app.get("/form")
    @auth_required
    def form() -> str:
        notes = "".join(f"<p role=status>{note}</p>" for note in get_flashed_messages())
        return f"{notes}<form method=post action=/save><input name=text><button>Save</button></form>"

    return app


@pytest.fixture
def server(app: Flask, live_server: RunServer) -> LiveServer:
    return live_server(app)


@pytest.fixture(autouse=True)
def complaints(chromium_page: Page) -> Iterator[list[str]]:
    """What the browser refused because of a policy. Nothing, after every test."""
    found: list[str] = []
    chromium_page.on(
        "console", lambda message: found.append(message.text) if "Policy" in message.text else None
    )
    yield found
    assert found == []


def fail_at_centralauth(page: Page, code: str) -> None:
    page.get_by_label("Error code").select_option(code)
    page.get_by_role("button", name="Return an error").click()


def sign_in(page: Page, email: str) -> None:
    page.get_by_role("button", name=email).click()


def test_first_failure_is_told_at_centralauth_the_second_on_our_page(
    chromium_page: Page, emulator: Emulator, server: LiveServer
) -> None:
    page = chromium_page
    page.goto(f"{server.url}/private")
    fail_at_centralauth(page, "captchaInvalid")
    page.get_by_text(CAPTCHA).first.wait_for()
    assert page.url.startswith(f"{emulator.url}/login?")

    fail_at_centralauth(page, "captchaInvalid")
    page.get_by_role("heading", name="You are not signed in").wait_for()
    assert page.url.startswith(f"{server.url}/api/auth/callback?")
    assert page.get_by_text(CAPTCHA).count() == 1
    assert page.title() == "You are not signed in"

    # The page loaded again is still a page, and blames nobody.
    page.reload()
    page.get_by_text("This sign-in cannot be finished here.").wait_for()
    page.goto(f"{server.url}/private")
    assert not page.get_by_text(CAPTCHA).count()
    sign_in(page, "alice@example.com")
    page.get_by_text("alice@example.com", exact=True).wait_for()
    assert page.url == f"{server.url}/private"


def test_try_again_leads_to_the_page_one_wanted(chromium_page: Page, server: LiveServer) -> None:
    page = chromium_page
    page.goto(f"{server.url}/private?a=1")
    for _ in range(2):
        fail_at_centralauth(page, "loginAttemptExpired")
    page.get_by_role("link", name="Try again").click()
    sign_in(page, "alice@example.com")
    page.get_by_text("alice@example.com", exact=True).wait_for()

    assert page.url == f"{server.url}/private?a=1"


def test_cancelling_twice_offers_the_way_home(chromium_page: Page, server: LiveServer) -> None:
    page = chromium_page
    page.goto(f"{server.url}/private")
    for _ in range(2):
        page.get_by_role("button", name=re.compile("Cancel|Deny")).click()
    page.get_by_text("Signing in was cancelled.").wait_for()
    page.get_by_role("link", name="Go to the home page").click()
    page.get_by_text("public").wait_for()

    assert page.url == f"{server.url}/"


def test_person_refused_at_login_can_use_another_account(
    chromium_page: Page, emulator: Emulator, server: LiveServer
) -> None:
    page = chromium_page
    emulator.add_user(email="mallory@example.com", blocked=True)
    page.goto(f"{server.url}/private")
    sign_in(page, "mallory@example.com")
    page.get_by_text("This account is blocked here.").wait_for()
    page.get_by_role("link", name="Use another account").click()
    sign_in(page, "bob@example.com")
    page.get_by_text("bob@example.com", exact=True).wait_for()

    assert page.url == f"{server.url}/private"


def test_person_refused_by_a_view_can_use_another_account(chromium_page: Page, server: LiveServer) -> None:
    page = chromium_page
    page.goto(f"{server.url}/board")
    sign_in(page, "alice@example.com")
    page.get_by_text("This account has no access here.").wait_for()
    page.get_by_role("button", name="Use another account").click()
    sign_in(page, "bob@example.com")
    page.get_by_role("heading", name="Board").wait_for()

    assert page.url == f"{server.url}/board"


def test_session_that_is_over_is_told_and_leads_back(
    chromium_page: Page, emulator: Emulator, server: LiveServer
) -> None:
    page = chromium_page
    page.goto(f"{server.url}/private")
    sign_in(page, "alice@example.com")
    emulator.end_session(reason="sessionExpired")
    page.goto(f"{server.url}/private?b=2")
    page.get_by_text(EXPIRED).first.wait_for()
    assert page.url.startswith(emulator.url)
    sign_in(page, "alice@example.com")
    page.get_by_text("alice@example.com", exact=True).wait_for()

    assert page.url == f"{server.url}/private?b=2"


def test_form_is_sent_once_and_its_page_says_that_nothing_was_saved(
    chromium_page: Page, emulator: Emulator, app: Flask, server: LiveServer
) -> None:
    page = chromium_page
    page.goto(f"{server.url}/form")
    sign_in(page, "alice@example.com")
    emulator.end_session(reason="sessionExpired")
    posts: list[Request] = []
    page.on("request", lambda sent: posts.append(sent) if "/save" in sent.url else None)
    page.locator("input").fill("an hour of work")
    page.get_by_role("button", name="Save").click()
    page.get_by_text(EXPIRED).first.wait_for()
    sign_in(page, "alice@example.com")
    page.get_by_role("status").get_by_text("what you sent was not saved").wait_for()

    assert page.url == f"{server.url}/form"
    assert len(posts) == 1
    assert "saves" not in app.extensions


def test_browser_that_lost_its_cookies_is_told_so(chromium_page: Page, server: LiveServer) -> None:
    page = chromium_page
    page.goto(f"{server.url}/private")
    page.context.clear_cookies()
    sign_in(page, "alice@example.com")
    page.get_by_text("Your browser did not keep our cookie").wait_for()

    assert page.url.startswith(f"{server.url}/api/auth/callback?")
