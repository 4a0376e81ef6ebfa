"""What is attacked: a running application, and what an attacker and a victim can do with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from ada_url import URL
from flask import Flask

from flask_centralauth.emulator import Emulator

from ..browser_client import Browser
from ..browser_page import Hop, Page
from ..conftest import LiveServer
from ..raw_http import PAGE_VISIT, ask

ALICE: Final = "alice@example.com"
BOB: Final = "bob@example.com"
EVIL: Final = "https://evil.example"


@dataclass
class Target:
    """An application that runs, the emulator it asks, and Alice's browser."""

    app: Flask
    server: LiveServer
    emulator: Emulator
    browser: Browser

    @property
    def url(self) -> str:
        return self.server.url

    def auth(self, route: str, query: dict[str, str] | str = "") -> str:
        """The address of one of our routes."""
        text = query if isinstance(query, str) else urlencode(query)
        return f"{self.url}/api/auth/{route}{'?' if text else ''}{text}"

    def person(self, user: str = ALICE, **options: Any) -> Browser:
        """Another browser, of another person."""
        return Browser(self.emulator, user=user, **options)

    def log_in(self, browser: Browser | None = None) -> Browser:
        """Sign somebody in (Alice), and forget what was asked for it."""
        browser = browser or self.browser
        page = browser.get(f"{self.url}/private")
        assert page.text == browser.user
        self.emulator.requests.clear()
        return browser

    def start(self, browser: Browser | None = None, return_to: str = "/private") -> str:
        """Start a login in a browser; return where CentralAuth then sends that browser."""
        browser = browser or self.browser
        login = browser.get(self.auth("login", {"return_to": return_to}), follow=False)
        return self.authorize(login.last, browser)

    def authorize(self, login: Hop, browser: Browser) -> str:
        assert login.location is not None, login.text
        return self.emulator.authorize(
            login.location, user=browser.user or ALICE, ip=browser.ip, user_agent=browser.user_agent
        )

    def who(self, browser: Browser | None = None) -> str | None:
        """The e-mail address of whoever is signed in in a browser."""
        answer = (browser or self.browser).fetch(self.auth("user"))
        assert answer.status == 200, answer.text
        user = answer.json()
        return None if user is None else str(user["email"])

    def get(self, path: str, headers: dict[str, str] | None = None) -> Hop:
        """A page visit by a client without cookies, exactly as written."""
        return ask(self.url + path, headers={**PAGE_VISIT, **(headers or {})})

    def cookie(self, browser: Browser | None = None) -> str:
        """The session id of a browser: what a thief copies."""
        cookie = (browser or self.browser).cookies.get("session")
        assert cookie is not None
        return cookie.value

    def as_sent_by(self, browser: Browser | None = None) -> dict[str, str]:
        """Session cookie and browser of somebody, for a request that is written by hand."""
        browser = browser or self.browser
        return {"Cookie": f"session={self.cookie(browser)}", "User-Agent": browser.user_agent}

    def calls(self) -> list[str]:
        """The calls the application made, but for what browsers did at the login page."""
        return [entry.endpoint for entry in self.emulator.requests.api]


def origin(base: str, location: str) -> str:
    """Where a browser goes, by the URL Standard."""
    return str(URL(location, base=base).origin)


def assert_stays(target: Target, hop: Hop) -> None:
    """No Location of ours that a browser could read as another origin's."""
    location = hop.headers.get("Location")
    if location is not None:
        assert location.isascii()
        assert location.isprintable()
        assert origin(hop.url, location) in {target.url, target.emulator.url}, location


def assert_refused(page: Page | Hop) -> None:
    """An error of the caller's, told without a redirect and without a login."""
    assert 400 <= page.status < 500, page.status
    assert "Location" not in page.headers
    assert not [header for header in page.headers.getlist("Set-Cookie") if header.startswith("session=")]


def query_of(location: str | None) -> dict[str, list[str]]:
    from urllib.parse import parse_qs

    return parse_qs(urlsplit(location or "").query, keep_blank_values=True)
