"""The real browser starts, shows a page and keeps a picture of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flask import Flask
from playwright.sync_api import Page

from tests.conftest import RunServer


def test_chromium_shows_a_page(
    chromium_page: Page, live_server: RunServer, screenshot: Callable[[str], Path]
) -> None:
    app = Flask("picture")
    app.add_url_rule("/", view_func=lambda: "<title>picture</title><h1>Hello</h1>")
    chromium_page.goto(live_server(app).url)
    assert chromium_page.get_by_role("heading").inner_text() == "Hello"
    picture = screenshot("chromium")
    assert picture.read_bytes().startswith(b"\x89PNG")
