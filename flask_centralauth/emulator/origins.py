"""Origins and the whitelist.

Source: ``CentralAuth: settings`` (whitelist, allow localhost); RFC 6454 §4.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# Everything a URL may be made of. Controls, spaces, quotes and non-ASCII are not: a
# redirect URI ends up in a Location header (attack: header injection).
_URL_TEXT: Final = re.compile(r"[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]{1,2048}")
_HOST: Final = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)*[a-z0-9_](?:[a-z0-9_-]{0,62})\.?|\[[0-9a-f:.]+\]"
)


def origin_of(url: str) -> str | None:
    """Return ``scheme://host[:port]`` of an absolute http(s) URL, or None.

    Userinfo, unusual hosts and unusual characters make it None.
    """
    if not _URL_TEXT.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or "@" in parts.netloc or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if not _HOST.fullmatch(host):
        return None
    shown_port = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{host}{shown_port}"


def is_origin(text: str) -> bool:
    """Return whether the text is an origin and nothing more."""
    origin = origin_of(text)
    return origin is not None and text.lower() == origin


def is_callback_url(url: str) -> bool:
    """Return whether a URL may receive a callback at all: absolute, http(s), no fragment."""
    return "#" not in url and origin_of(url) is not None


def is_local(origin: str) -> bool:
    """Return whether an origin is this very machine."""
    host = urlsplit(origin).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def whitelisted(origin: str, whitelist: Iterable[str], *, allow_localhost: bool) -> bool:
    """Return whether an origin is allowed.

    An entry is an origin or ``https://*.example.com``: any host below, not the apex.
    An empty whitelist allows every origin (``CentralAuth: settings``).
    """
    entries = [entry.rstrip("/").lower() for entry in whitelist]
    if not entries or (allow_localhost and is_local(origin)):
        return True
    return any(_matches(origin, entry) for entry in entries)


def _matches(origin: str, entry: str) -> bool:
    scheme, star, rest = entry.partition("://*.")
    if not star:
        return origin == (origin_of(entry) or entry)
    own_scheme, _, own_host = origin.partition("://")
    parent = origin_of(f"{scheme}://{rest}")
    return parent is not None and own_scheme == scheme and own_host.endswith("." + parent.partition("://")[2])
