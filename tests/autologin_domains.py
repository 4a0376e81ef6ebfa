"""An application that takes part in autologin, and what a browser does with it."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from flask import Flask

from .browser_client import Browser
from .browser_page import Page

KEY: Final = "0123456789-abcdefghijklmnopqrstuvwxyz"
#: What a browser sends from a hidden frame of a page of the same site.
HIDDEN: Final = {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "same-site", "Sec-Fetch-User": ""}


@dataclass
class Domain:
    """One application at an origin of its own."""

    app: Flask
    url: str

    @property
    def callback(self) -> str:
        return f"{self.url}/api/auth/callback"

    def user_of(self, browser: Browser) -> str | None:
        """Who is signed in here in a browser."""
        user = browser.fetch(f"{self.url}/api/auth/user").json()
        return user["email"] if user else None

    def state(self, browser: Browser) -> str:
        """The state of a login that a browser starts here."""
        started = browser.tab().get(f"{self.url}/api/auth/login", follow=False)
        return parse_qs(urlsplit(started.last.location or "").query)["state"][0]

    def carried(self, state: str, code: str = "a-code") -> str:
        """The callback here for a login that began elsewhere."""
        return f"{self.callback}?{urlencode({'code': code, 'state': state})}"


MakeDomain = Callable[..., Domain]


def sign_in(browser: Browser, domain: Domain, email: str = "alice@example.com") -> str:
    """Sign in at a domain by hand; return the callback that CentralAuth opens in a hidden frame."""
    page = browser.get(f"{domain.url}/private")
    frame = answer(browser, page, email)
    assert browser.page is not None
    assert browser.page.text == email
    return frame


def answer(browser: Browser, login_page: Page, email: str) -> str:
    """Sign in on CentralAuth's page and go on; return the callback in the hidden frame."""
    page = browser.submit(login_page.forms[0].action, {"email": email})
    follow(browser, page)
    return framed_in(page)


def framed_in(carrying: Page) -> str:
    """The callback that CentralAuth's page opens in a hidden frame."""
    (frame,) = re.findall(r'<iframe src="([^"]*)"', carrying.text)
    return html.unescape(frame)


def follow(browser: Browser, carrying: Page) -> Page:
    """Go on to where the login was started."""
    return browser.click(carrying.headers["Location"])


def in_frame(browser: Browser, url: str) -> Page:
    return browser.tab().get(url, headers=HIDDEN)
