"""Affirmation, and login by a mail, in a real browser."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from flask import Flask, request

from flask_centralauth import CentralAuth, auth_required
from flask_centralauth.emulator import Emulator

from ..conftest import LiveServer, MakeApp, RunServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    app = make_app()
    centralauth = CentralAuth()

    @app.get("/vault")
    @auth_required(affirmed_within=300)
    def vault() -> str:
        return "<h1>The vault</h1>"

    @app.route("/sign-in", methods=["GET", "POST"])
    def sign_in() -> str:
        if request.method == "POST":
            centralauth.authenticate_direct(request.form["email"], return_to="/private")
            return "<h1>Look into your mailbox</h1>"
        return '<form method="post"><input name="email" aria-label="E-mail"><button>Mail me</button></form>'

    return app


@pytest.fixture
def server(app: Flask, live_server: RunServer) -> LiveServer:
    return live_server(app)


def test_page_asks_again_and_another_account_changes_nothing(
    chromium_page: Page, server: LiveServer, emulator: Emulator
) -> None:
    page = chromium_page
    old = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
    emulator.fail("userinfo", patch={"affirmationDate": old})
    page.goto(f"{server.url}/private")
    page.get_by_role("button", name="alice@example.com").click()
    page.wait_for_url(f"{server.url}/private")

    page.goto(f"{server.url}/vault")
    page.get_by_role("button", name="bob@example.com").click()
    page.get_by_text("Please confirm with the account you are signed in with.").wait_for()
    page.goto(f"{server.url}/private")
    assert page.locator("body").inner_text() == "alice@example.com"

    page.goto(f"{server.url}/vault")
    page.get_by_role("button", name="alice@example.com").first.click()
    page.get_by_role("heading", name="The vault").wait_for()
    assert page.url == f"{server.url}/vault"


def test_link_of_a_mail_here_and_on_another_device(
    chromium_page: Page, chromium: Browser, server: LiveServer, emulator: Emulator
) -> None:
    page = chromium_page

    def ask() -> str:
        page.goto(f"{server.url}/sign-in")
        page.get_by_label("E-mail").fill("alice@example.com")
        page.get_by_role("button", name="Mail me").click()
        page.get_by_role("heading", name="Look into your mailbox").wait_for()
        return emulator.mailbox.latest("alice@example.com").link

    emulator.configure(mail_wait=0)
    page.goto(ask())
    page.wait_for_url(f"{server.url}/private")
    page.context.clear_cookies()

    with chromium.new_context() as telephone:
        other = telephone.new_page()
        other.goto(ask())
        other.get_by_text("a***@example.com").wait_for()
        assert not [one for one in telephone.cookies() if one.get("name", "") == "session"]
        other.get_by_role("button", name="Sign in").click()
        other.wait_for_url(f"{server.url}/private")
        assert other.locator("body").inner_text() == "alice@example.com"
    page.goto(f"{server.url}/api/auth/user")
    assert page.locator("body").inner_text().strip() == "null"
