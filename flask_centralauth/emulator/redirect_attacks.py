"""Attacks on where an application sends its browsers after login and logout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode, urljoin

import requests

from .origins import origin_of
from .probe import Probe, Visitor, Weakness, logged_in

#: Return paths that browsers read as another site, or that break what reads them.
OFF_SITE: Final = (
    "//evil.example/",
    "https://evil.example/",
    "http://evil.example/",
    "/\\evil.example/",
    "\\\\evil.example/",
    "/\t/evil.example/",
    "/%09/evil.example/",
    "/%2f%2fevil.example/",
    "/%5cevil.example/",
    "https:evil.example",
    "https:/evil.example",
    "///evil.example",
    "////evil.example",
    "/.//evil.example",
    "/a/..//evil.example",
    "//evil.example%2f..",
    "https://app.example@evil.example/",
    "https://evil.example#@app.example/",
    "javascript:alert(1)",
    "data:text/html,x",
    " //evil.example/",
    "http://[::1",
    "https://[",
    "%",
    "/\r\nSet-Cookie: stolen=1",
    "/%0d%0aSet-Cookie:%20stolen=1",
)


def _stays(probe: Probe, reply: requests.Response, value: str) -> None:
    # Browsers read a backslash as a slash, and drop tabs and line breaks.
    location = reply.headers.get("Location", "").replace("\\", "/").translate({9: "", 10: "", 13: ""})
    try:
        target = urljoin(reply.url, location)
    except ValueError:
        target = location
    if origin_of(target) != origin_of(probe.application) or "stolen" in reply.cookies:
        raise Weakness(f"return_to={value!r} leads to {target[:80]}")


def _at_login(probe: Probe) -> None:
    for value in OFF_SITE:
        visitor = Visitor(probe)
        _stays(probe, visitor.get(visitor.callback("alice@example.com", {"return_to": value})), value)


def _at_the_callback(probe: Probe) -> None:
    for value in OFF_SITE[:4]:
        added = urlencode({"return_to": value})
        # In front and behind: which of two a careless application reads is its own affair.
        for pattern in ("{path}?{added}&{query}", "{path}?{query}&{added}"):
            visitor = Visitor(probe)
            path, _, query = visitor.callback("alice@example.com").partition("?")
            _stays(probe, visitor.get(pattern.format(path=path, query=query, added=added)), value)


def _at_logout(probe: Probe) -> None:
    browsers = {"GET": Visitor(probe), "POST": logged_in(probe)}
    for value in OFF_SITE:
        url = probe.route("logout", {"return_to": value})
        for method, visitor in browsers.items():
            _stays(probe, visitor.get(url, method=method, Origin=probe.application), value)


def _by_referer(probe: Probe) -> None:
    evil = "https://evil.example/page"
    visitor = Visitor(probe)
    callback = probe.authorized(visitor.started(Referer=evil), "alice@example.com")
    _stays(probe, visitor.get(callback, Referer=evil), f"(none; Referer: {evil})")
    _stays(probe, logged_in(probe).get(probe.route("logout"), Referer=evil), f"(none; Referer: {evil})")


REDIRECT_ATTACKS: Final[tuple[tuple[str, str, Callable[[Probe], None]], ...]] = (
    ("ATK-35", "return paths at login that lead to another site", _at_login),
    ("ATK-36", "return paths added to the callback", _at_the_callback),
    ("ATK-37", "return paths at logout that lead to another site", _at_logout),
    ("ATK-38", "the page somebody came from as a return path", _by_referer),
)
