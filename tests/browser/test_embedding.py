"""The login page in a frame, in a real browser; CentralAuth is another origin, and another site."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from flask import Flask, Response, render_template_string, request

from flask_centralauth.emulator import Emulator

from ..conftest import LiveServer, MakeApp, RunServer

if TYPE_CHECKING:
    from playwright.sync_api import Page

WELCOME = """<!doctype html><title>Welcome</title><h1>Welcome</h1>
{{ centralauth.embed(return_to="/private", nonce="n0nce") }}"""


@pytest.fixture
def app(make_app: MakeApp, emulator: Emulator) -> Flask:
    app = make_app()

    @app.get("/welcome")
    def welcome() -> Response:
        page = Response(render_template_string(WELCOME))
        page.headers["Content-Security-Policy"] = (
            f"default-src 'none'; script-src 'nonce-n0nce'; frame-src 'self' {emulator.url}"
        )
        return page

    @app.get("/board")
    def board() -> str:
        return '<h1>Board</h1><iframe src="/private"></iframe>'

    @app.get("/hostile")
    def hostile() -> str:
        # Another site that frames what belongs to this one.
        return f'<h1>Hostile</h1><iframe src="{request.args["victim"]}"></iframe>'

    return app


@pytest.fixture
def server(app: Flask, live_server: RunServer) -> LiveServer:
    return live_server(app)


def height(page: Page) -> int:
    return int(page.locator("iframe").get_attribute("height") or 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["same site", "another site"])
def test_login_in_a_frame_ends_in_the_whole_window(
    chromium_page: Page, server: LiveServer, emulator: Emulator, host: str
) -> None:
    page, home = chromium_page, server.url.replace("127.0.0.1", host)
    page.goto(f"{home}/welcome")
    frame = page.frame_locator("iframe")
    frame.get_by_role("button", name="alice@example.com").wait_for()
    assert page.url == f"{home}/welcome"
    page.wait_for_function("document.querySelector('iframe').height !== '480'")

    frame.get_by_role("button", name="alice@example.com").click()
    page.wait_for_url(f"{home}/private")

    assert page.locator("body").inner_text() == "alice@example.com"
    page.goto(f"{home}/private")
    assert page.locator("body").inner_text() == "alice@example.com"


def test_denied_login_in_a_frame_is_told_in_the_whole_window(
    chromium_page: Page, server: LiveServer, emulator: Emulator
) -> None:
    page = chromium_page
    page.goto(f"{server.url}/welcome")
    page.frame_locator("iframe").get_by_role("button", name="Deny").click()
    page.wait_for_url(lambda url: "/welcome" not in url)
    assert not page.locator("iframe").count()


def test_only_centralauths_frame_says_how_tall_it_is(chromium_page: Page, server: LiveServer) -> None:
    page = chromium_page
    page.goto(f"{server.url}/welcome")
    page.frame_locator("iframe").get_by_role("button", name="alice@example.com").wait_for()
    page.wait_for_function("document.querySelector('iframe').height !== '480'")
    real = height(page)

    def say(message: str, *, origin: str = "real", source: str = "contentWindow") -> int:
        page.evaluate(
            """([data, origin, source, real]) => {
                const frame = document.querySelector("iframe");
                dispatchEvent(new MessageEvent("message", {
                    data: JSON.parse(data),
                    origin: origin === "real" ? real : origin,
                    source: source === "contentWindow" ? frame.contentWindow : window,
                }));
            }""",
            [message, origin, source, page.frames[1].evaluate("origin")],
        )
        return height(page)

    for data in ('"1px;x"', "{}", "[]", "null", '""', "-1", "true", '"NaN"', '"1e9"', '"0x10"', "[50]"):
        assert say(data) == real, data
    assert say("700", origin="https://evil.example") == real
    assert say("700", origin="null") == real
    assert say("700", source="window") == real
    assert say("700") == 700
    assert say('"700.2"') == 701
    assert say('"640px"') == 640
    assert say("100000") == 2000
    assert say("0") == 0


def test_guest_in_a_frame_signs_in_in_the_whole_window_and_comes_back(
    chromium_page: Page, server: LiveServer, screenshot: Callable[[str], Path]
) -> None:
    page = chromium_page
    page.goto(f"{server.url}/board")
    page.frame_locator("iframe").get_by_text("Please sign in.").wait_for()
    screenshot("guest-in-a-frame")
    page.frame_locator("iframe").get_by_role("link", name="Continue").click()
    page.get_by_role("button", name="alice@example.com").click()
    page.wait_for_url(f"{server.url}/board")
    page.frame_locator("iframe").get_by_text("alice@example.com").wait_for()


def test_page_for_a_guest_is_not_shown_where_another_origin_frames_the_page_around_it(
    chromium_page: Page, server: LiveServer, live_server: RunServer, app: Flask
) -> None:
    page, hostile = chromium_page, live_server(app).url
    with page.expect_response(f"{server.url}/private") as framed:
        page.goto(f"{hostile}/hostile?victim={server.url}/board")
    assert framed.value.status == 401
    page.frame_locator("iframe").get_by_role("heading", name="Board").wait_for()
    page.frames[2].wait_for_url("chrome-error://**")


def test_session_is_none_of_a_frame_on_another_site(
    chromium_page: Page, server: LiveServer, live_server: RunServer, app: Flask
) -> None:
    page, hostile = chromium_page, live_server(app).url.replace("127.0.0.1", "localhost")
    page.goto(f"{server.url}/private")
    page.get_by_role("button", name="alice@example.com").click()
    page.wait_for_url(f"{server.url}/private")

    with page.expect_response(f"{server.url}/private") as framed:
        page.goto(f"{hostile}/hostile?victim={server.url}/private")
    assert framed.value.status == 401
    assert framed.value.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["login?embed=1", "callback?code=a&state=b", "logout"])
def test_page_of_another_origin_cannot_frame_it(
    chromium_page: Page, server: LiveServer, emulator: Emulator, live_server: RunServer, app: Flask, path: str
) -> None:
    page, hostile = chromium_page, live_server(app).url
    page.goto(f"{hostile}/hostile?victim={server.url}/api/auth/{path}".replace("&", "%26"))
    page.locator("iframe").wait_for()
    assert page.url.startswith(hostile)
    assert page.frames[1].url.startswith("chrome-error:") or "tokenMissing" in page.frames[1].content()
    assert not [one for one in page.context.cookies() if one.get("name", "").startswith("centralauth")]
    assert not list(emulator.requests)
