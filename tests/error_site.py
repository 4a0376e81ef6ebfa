"""A site for the tests of errors: pages that fail on request, and a look at what the session holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask import Flask, get_flashed_messages, jsonify, session

from flask_centralauth import CentralAuthError, auth_required, current_user
from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .browser_page import Hop, Page
from .conftest import LiveServer

#: What CentralAuth says in these tests: nothing of it may act, little of it may show.
SAID = "Words of CentralAuth <b>& more</b>"


@dataclass
class Site:
    """A running application, and the browser of one person who looks at it."""

    app: Flask
    server: LiveServer
    emulator: Emulator
    browser: Browser

    @property
    def url(self) -> str:
        return self.server.url

    def get(self, path: str, **options: Any) -> Page:
        return self.browser.get(self.url + path, **options)

    def log_in(self, path: str = "/private", user: str = "alice@example.com") -> None:
        """Sign in, and leave later logins to the login page again."""
        self.browser.user = user
        assert self.get(path).status == 200
        self.browser.user = None
        self.emulator.requests.clear()

    def callback(self, path: str = "/private") -> str:
        """Start a login and return the callback URL that CentralAuth sends the browser to."""
        started = self.get(path, follow=False)
        for _ in range(2):
            if str(started.last.location).startswith(self.emulator.url):
                break
            started = self.browser.get(str(started.last.location), follow=False)
        return self.emulator.authorize(str(started.last.location), user_agent=self.browser.user_agent)

    @property
    def visits(self) -> int:
        """How often the browser was at CentralAuth's login page."""
        return self.emulator.requests.count("login")

    def banners(self) -> list[str | None]:
        """What CentralAuth's login page was told to show, by visit. Both names say the same."""
        found = []
        for visit in self.emulator.requests.of("login"):
            assert visit.query.get("error_message") == visit.query.get("error_description")
            found.append(visit.query.get("error_message"))
        return found

    def peek(self) -> dict[str, Any]:
        """What the session holds, as this browser; takes nothing out of it."""
        content: dict[str, Any] = self.browser.fetch(f"{self.url}/peek").json()
        return content

    def flashes(self) -> list[list[str]]:
        found: list[list[str]] = self.peek()["flashes"]
        return found

    def signed_in(self) -> bool:
        return self.browser.fetch(f"{self.url}/api/auth/user").json() is not None


MakeSite = Callable[..., Site]


def add_pages(app: Flask) -> None:
    app.extensions["errors to raise"] = []

    @app.get("/peek")
    def peek() -> Any:
        flashes = [list(flash) for flash in session.get("_flashes", [])]
        return jsonify(flashes=flashes, keys=sorted(set(session) - {"_permanent"}))

    @app.get("/public")
    def public_page() -> Any:
        messages = [f"<li>{message}</li>" for message in get_flashed_messages()]
        return f"<h1>{current_user.email or 'Guest'}</h1>{''.join(messages)}"

    @app.route("/raise", methods=["GET", "POST"])
    def raise_it() -> Any:
        error = app.extensions["errors to raise"].pop(0)
        if isinstance(error, CentralAuthError):
            raise error
        return error

    @app.route("/guarded-raise", methods=["GET", "POST"])
    @auth_required
    def guarded_raise() -> Any:
        return raise_it()


def query_of(hop: Hop) -> dict[str, str]:
    """The query of where an answer sends the browser."""
    return {name: values[0] for name, values in parse_qs(urlsplit(str(hop.location)).query).items()}


def assert_is_our_page(page: Page, site: Site) -> None:
    """An error page of ours: at the site, whole, and shut to everything it does not need."""
    assert page.url.startswith(site.url)
    assert page.last.location is None
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "centralauth-incident" in page.text


def assert_is_json_error(page: Page, code: str, status: int) -> dict[str, str]:
    """A program's answer: the shape of CentralAuth, nothing that a browser acts on."""
    assert page.status == status
    assert page.headers["Content-Type"] == "application/json"
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "Location" not in page.headers
    assert "Set-Cookie" not in page.headers
    assert ("Retry-After" in page.headers) == (status in (429, 503))
    content: dict[str, str] = page.json()
    assert content["errorCode"] == code
    assert content["message"]
    assert len(content["incidentId"]) == 10
    assert set(content) <= {"errorCode", "message", "incidentId", "loginUrl"}
    return content
