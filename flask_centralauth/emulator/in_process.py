"""The emulator without sockets: a transport for ``requests`` that calls it directly.

::

    session.mount(emulator.url, InProcessAdapter(emulator.app))

Faults below HTTP become the exceptions that ``requests`` raises for them; nothing waits.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from flask import Flask
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse
from werkzeug.test import create_environ, run_wsgi_app

from .wire import CONNECTION, SLOT, Slot

_FAILURES: Final[dict[str, type[requests.RequestException]]] = {
    "reset": requests.ConnectionError,
    "close": requests.ConnectionError,
    "truncate": requests.exceptions.ChunkedEncodingError,
    "chunk_garbage": requests.exceptions.ChunkedEncodingError,
    "drip": requests.ReadTimeout,
    "slow_headers": requests.ReadTimeout,
}


class InProcessAdapter(BaseAdapter):
    """Sends requests to the emulator in the same thread."""

    def __init__(self, app: Flask) -> None:
        super().__init__()
        self._app = app

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Return the emulator's answer.

        :raises requests.RequestException: what a fault below HTTP looks like to a client.
        """
        patience = timeout[1] if isinstance(timeout, tuple) else timeout
        slot = Slot(patience=float("inf") if patience is None else patience)
        environ = _environ(request)
        environ[SLOT], environ[CONNECTION] = slot, 0
        body, status, headers = run_wsgi_app(self._app, environ, buffered=True)
        if slot.out_of_patience:
            raise requests.ReadTimeout("the emulator held the request", request=request)
        if slot.effect is not None:
            action = slot.effect.fault.action
            raise _FAILURES[action](f"the emulator's fault {action!r}", request=request)
        raw = HTTPResponse(
            body=io.BytesIO(b"".join(body)),
            headers=HTTPHeaderDict(headers.to_wsgi_list()),
            status=int(status[:3]),
            reason=status[4:],
            preload_content=False,
            request_method=request.method,
        )
        # What the socket transport does with an answer: cookies, encoding, history.
        return HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        """There is nothing to close."""


def _environ(request: requests.PreparedRequest) -> dict[str, Any]:
    """Return the WSGI environ of a request, its body read to the end."""
    # An iterator at run time, whatever the annotations of requests say.
    sent: Any = request.body or b""
    body = sent.encode() if isinstance(sent, str) else sent if isinstance(sent, bytes) else b"".join(sent)
    parts = urlsplit(request.url or "/")
    environ = create_environ(
        path=parts.path,
        base_url=f"{parts.scheme}://{parts.netloc}",
        query_string=parts.query,
        method=request.method or "GET",
        headers=dict(request.headers),
        data=body,
        environ_overrides={"REMOTE_ADDR": "127.0.0.1"},
    )
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["wsgi.input_terminated"] = True
    return environ
