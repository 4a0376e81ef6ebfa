"""Is this return path safe? Pure functions over strings.

Everything that ends in a ``Location`` header of ours goes through here: a value is
either refused or leads to the application's own origin or a listed one. Browsers and
Python disagree about what a URL is, so only a small, plain alphabet is let in.

Source: RFC 9700 §4.11.1; the URL Standard on how browsers read backslashes and tabs.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import quote, unquote_to_bytes

MAX_LENGTH: Final = 2048

_ALLOWED: Final = re.compile(r"(?:[!#$&()*+,\-./0-9:;=?@A-Z\[\]_a-z~]|%[0-9A-Fa-f]{2})+")
_ABSOLUTE: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<rest>/.*)?",
    re.IGNORECASE,
)
_ENCODED_TRAP: Final = re.compile(r"%(?:2f|5c|0[0-9a-f]|1[0-9a-f]|7f)", re.IGNORECASE)
_STRAY_BYTE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})|[^!$&()*+,\-./0-9:;=?@A-Z\[\]_a-z~%]")
#: Browsers read a backslash as a slash, two slashes as a host, and leave out tabs and line breaks.
_OWN_ROOT: Final = re.compile(r"/[^/\\\x00-\x1f\x7f][^\\\x00-\x1f\x7f]*")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_DECODING_ROUNDS: Final = 3


def safe_return_to(
    value: object,
    *,
    own_origins: Collection[str],
    own_routes: Collection[str] = (),
    return_origins: Collection[str] = (),
) -> str | None:
    """Return the path or URL to send the browser to, or None when it is refused.

    An absolute URL of the own origin becomes a path, so that a forged ``Host`` header
    gains nothing.

    :param own_origins: ``scheme://host[:port]`` of the application; several where a proxy
        shows people another one than the application sees.
    :param own_routes: paths of the extension's own routes, never a return path.
    :param return_origins: further origins, compared exactly.
    """
    if not isinstance(value, str) or not 0 < len(value) <= MAX_LENGTH or not _ALLOWED.fullmatch(value):
        return None
    if value.startswith("/"):
        return value if _safe_path(value, own_routes) else None
    absolute = _ABSOLUTE.fullmatch(value)
    if absolute is None:
        return None
    origin = _normal_origin(absolute)
    rest = absolute["rest"] or "/"
    if origin in map(origin_of, own_origins):
        return rest if _safe_path(rest, own_routes) else None
    if origin in map(origin_of, return_origins) and _safe_path(rest, ()):
        return origin + rest
    return None


def origin_of(url: str) -> str | None:
    """Return the normalized origin of an absolute http(s) URL, or None if it is none."""
    absolute = _ABSOLUTE.match(url)
    if absolute is None or (absolute["rest"] is None and absolute.end() != len(url)):
        return None
    return _normal_origin(absolute)


def is_own_root(root: str) -> bool:
    """Say whether addresses that begin with this prefix of the application stay on its origin.

    Source: the URL Standard; a prefix may come from ``X-Forwarded-Prefix``.
    """
    return not root or _OWN_ROOT.fullmatch(root) is not None


def request_target(root: str, path: str, query: bytes) -> str:
    """Return path and query of a request as one would type them.

    The query is returned byte for byte, but for bytes that `safe_return_to` refuses:
    those are percent-encoded. The path is what WSGI decoded, encoded again.
    """
    target = quote(root.rstrip("/") + path, safe="/!$&()*+,:;=@~")
    return f"{target}?{_STRAY_BYTE.sub(_percent_encoded, query).decode('ascii')}" if query else target


def _percent_encoded(byte: re.Match[bytes]) -> bytes:
    return b"%%%02X" % ord(byte[0])


def _normal_origin(absolute: re.Match[str]) -> str:
    scheme, host, port = absolute["scheme"].lower(), absolute["host"].lower(), absolute["port"]
    if port is None or port.lstrip("0") == _DEFAULT_PORTS[scheme]:
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{port.lstrip('0') or '0'}"


def _safe_path(target: str, own_routes: Collection[str]) -> bool:
    path = re.split(r"[?#]", target, maxsplit=1)[0]
    # A proxy or framework behind us may decode once more than we did.
    for _ in range(_DECODING_ROUNDS):
        if not _safe_decoded_path(path, own_routes) or _ENCODED_TRAP.search(path):
            return False
        try:
            decoded = unquote_to_bytes(path).decode("utf-8")
        except UnicodeDecodeError:
            return False
        if decoded == path:
            return True
        path = decoded
    return _safe_decoded_path(path, own_routes)


def _safe_decoded_path(path: str, own_routes: Collection[str]) -> bool:
    if "//" in path or "\\" in path or not path.isprintable():
        return False
    if any(segment.partition(";")[0] in {".", ".."} for segment in path.split("/")):
        return False
    folded = path.casefold().rstrip("/")
    return not any(
        folded == route or folded.startswith(f"{route}/") for route in map(str.casefold, own_routes)
    )
