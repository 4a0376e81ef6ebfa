"""What the scripted browser saw: hops, the page they ended on, its forms."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers

from .web_origin import resolve

REDIRECTS: Final = {301, 302, 303, 307, 308}
BUTTONS: Final = {"submit", "button", "image", "reset"}


@dataclass(frozen=True)
class Form:
    """Its fields with the values the page gave them, buttons left out."""

    action: str
    method: str
    fields: dict[str, str]


@dataclass(frozen=True)
class Hop:
    """One request and its answer."""

    method: str
    url: str
    sent: Headers
    status: int
    headers: Headers
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")

    @property
    def location(self) -> str | None:
        """Where the answer sends the browser, as an absolute URL."""
        target = self.headers.get("Location")
        return None if target is None or self.status not in REDIRECTS else resolve(self.url, target)

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Page:
    """Where a navigation or a fetch ended, and every hop to it."""

    hops: tuple[Hop, ...]

    @property
    def last(self) -> Hop:
        return self.hops[-1]

    @property
    def url(self) -> str:
        return self.last.url

    @property
    def path(self) -> str:
        """Path and query of the address bar."""
        parts = urlsplit(self.url)
        return parts.path + (f"?{parts.query}" if parts.query else "")

    @property
    def status(self) -> int:
        return self.last.status

    @property
    def headers(self) -> Headers:
        return self.last.headers

    @property
    def text(self) -> str:
        return self.last.text

    def json(self) -> Any:
        return self.last.json()

    @property
    def forms(self) -> list[Form]:
        parser = _FormParser(self.url)
        parser.feed(self.text)
        return parser.forms


class _FormParser(HTMLParser):
    def __init__(self, base: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._base = base
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            action = resolve(self._base, found.get("action") or self._base)
            self.forms.append(Form(action, found.get("method", "get").upper(), {}))
            self._open = True
        elif tag == "input" and self._open and found.get("type") not in BUTTONS and found.get("name"):
            self.forms[-1].fields[found["name"]] = found.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = False
