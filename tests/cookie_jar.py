"""Cookies as a strict browser keeps them: by host and path, with Secure, SameSite and the name prefixes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from .web_origin import is_address

MAX_SIZE: Final = 4096  # characters of name and value; browsers drop a longer cookie without a word


class Cookie(NamedTuple):
    name: str
    value: str
    host: str
    path: str
    host_only: bool
    secure: bool
    http_only: bool
    same_site: str  # lax where the server did not say
    expires: float | None  # seconds since the epoch; None ends with the browser


class CookieJar:
    """Shared by the tabs of one browser, so guarded by a lock."""

    def __init__(self, cookies: dict[tuple[str, str, str], Cookie] | None = None) -> None:
        self._cookies = dict(cookies or {})
        self._lock = Lock()

    def store(self, url: str, header: str) -> None:
        """Take one Set-Cookie header of an answer from `url`, or refuse it as a browser would."""
        cookie = _read(urlsplit(url), header)
        if cookie is None:
            return
        key = (cookie.host, cookie.path, cookie.name)
        with self._lock:
            if cookie.expires is not None and cookie.expires <= time.time():
                self._cookies.pop(key, None)
            else:
                # Replaced in place: a changed cookie keeps its age, and with it its place in the header.
                self._cookies[key] = cookie

    def header(self, url: str, *, cross_site: bool = False, safe_navigation: bool = True) -> str:
        """The Cookie header of a request to `url`; empty when there is nothing to send."""
        allowed = {"none", "lax"} if safe_navigation else {"none"}
        found = [
            cookie
            for cookie in self
            if _is_for(cookie, urlsplit(url)) and (not cross_site or cookie.same_site in allowed)
        ]
        found.sort(key=lambda cookie: len(cookie.path), reverse=True)
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in found)

    def get(self, name: str, host: str | None = None) -> Cookie | None:
        """The cookie of that name, of any host unless one is named."""
        return next((c for c in self if c.name == name and host in {None, c.host}), None)

    def copy(self) -> CookieJar:
        """What a thief of all cookies has."""
        with self._lock:
            return CookieJar(self._cookies)

    def clear(self) -> None:
        with self._lock:
            self._cookies.clear()

    def close_browser(self) -> None:
        """Forget what is kept only until the browser is closed."""
        with self._lock:
            self._cookies = {key: c for key, c in self._cookies.items() if c.expires is not None}

    def __iter__(self) -> Iterator[Cookie]:
        now = time.time()
        with self._lock:
            cookies = list(self._cookies.values())
        return (cookie for cookie in cookies if cookie.expires is None or cookie.expires > now)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _read(source: SplitResult, header: str) -> Cookie | None:
    pair, *rest = header.split(";")
    name, _, value = (part.strip() for part in pair.partition("="))
    attributes: dict[str, str] = {}
    for item in rest:
        key, _, text = item.partition("=")
        attributes[key.strip().lower()] = text.strip()

    host = source.hostname or ""
    domain = attributes.get("domain", "").lstrip(".").lower()
    if domain and domain != host and (is_address(host) or not host.endswith(f".{domain}")):
        return None
    path = attributes.get("path", "")
    if not path.startswith("/"):
        path = source.path.rpartition("/")[0] or "/"
    cookie = Cookie(
        name=name,
        value=value,
        host=domain or host,
        path=path,
        host_only=not domain,
        secure="secure" in attributes,
        http_only="httponly" in attributes,
        same_site=attributes.get("samesite", "lax").lower(),
        expires=_expiry(attributes),
    )
    return None if _is_refused(cookie, source, explicit_path=attributes.get("path")) else cookie


def _is_refused(cookie: Cookie, source: SplitResult, *, explicit_path: str | None) -> bool:
    """Strict even on loopback, as Safari is: Secure needs https."""
    if not cookie.name or len(cookie.name) + len(cookie.value) > MAX_SIZE:
        return True
    if cookie.secure and source.scheme != "https":
        return True
    if cookie.same_site == "none" and not cookie.secure:
        return True
    if cookie.name.startswith(("__Secure-", "__Host-")) and not cookie.secure:
        return True
    return cookie.name.startswith("__Host-") and not (cookie.host_only and explicit_path == "/")


def _expiry(attributes: dict[str, str]) -> float | None:
    age = attributes.get("max-age", "")
    if age.removeprefix("-").isdecimal():
        return time.time() + int(age) if int(age) > 0 else 0.0
    try:
        return parsedate_to_datetime(attributes["expires"]).timestamp()
    except (KeyError, ValueError):
        return None


def _is_for(cookie: Cookie, target: SplitResult) -> bool:
    host = target.hostname or ""
    if host != cookie.host and (cookie.host_only or not host.endswith(f".{cookie.host}")):
        return False
    if cookie.secure and target.scheme != "https":
        return False
    path = target.path or "/"
    return path == cookie.path or path.startswith(cookie.path.rstrip("/") + "/")
