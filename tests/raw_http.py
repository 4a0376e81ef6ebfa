"""One HTTP request exactly as written: no cookie is kept, no redirect followed, only Host is added."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers

from .browser_page import Hop

#: What a browser without fetch metadata says when somebody opens a page.
PAGE_VISIT = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def ask(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Hop:
    """Send one request and return the answer. A name may occur twice in `headers` as pairs."""
    parts = urlsplit(url)
    sent = Headers(headers)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.putrequest(method, target, skip_host="Host" in sent, skip_accept_encoding=True)
        for name, value in sent:
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return Hop(method, url, sent, answer.status, Headers(answer.getheaders()), answer.read())
    finally:
        connection.close()
