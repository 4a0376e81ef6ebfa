"""The socket: an HTTP/1.1 server with keep-alive that numbers its connections.

Werkzeug's own closes after every answer, so nobody could test connection reuse, and it
cannot break an answer on purpose.
"""

from __future__ import annotations

import io
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from .masking import masked
from .wire import CONNECTION, SLOT, RawReply, Slot

BODY_LIMIT: Final = 2 * 1024 * 1024
IDLE_SECONDS: Final = 60
_POLL_SECONDS: Final = 0.05
WSGIApplication = Callable[..., Iterable[bytes]]
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class _TooLarge(Exception):
    """The request body is beyond what is read."""


class Server:
    """Serves a WSGI application from a thread of its own.

    :raises OSError: when the address cannot be had.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        log: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        with _listen(host, port) as listener:
            # The server works on a duplicate, ours is closed again.
            self._httpd = _Httpd(app, host, listener, log=log)
        if tls is not None:
            self._httpd.encrypt(tls)
        self.host = host
        self.port: int = self._httpd.port
        self._thread = threading.Thread(target=self._serve, name=f"emulator:{self.port}", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def wait(self) -> None:
        """Block until the server is stopped."""
        self._thread.join()

    def stop(self) -> None:
        """Stop answering and drop every connection."""
        if self._thread.is_alive():
            self._httpd.shutdown()
            self._thread.join()
        self._httpd.drop_connections()

    def _serve(self) -> None:
        self._httpd.serve_forever(poll_interval=_POLL_SECONDS)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=512)


class _Httpd(ThreadedWSGIServer):
    daemon_threads = True

    def __init__(self, app: WSGIApplication, host: str, listener: socket.socket, *, log: bool) -> None:
        super().__init__(host, listener.getsockname()[1], app, handler=_Handler, fd=listener.fileno())
        self.logs_requests = log
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._open: set[_Handler] = set()

    def encrypt(self, tls: ssl.SSLContext) -> None:
        # The handshake happens in the connection's own thread: a client that says nothing
        # must not keep the others waiting.
        self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.ssl_context = tls

    def entered(self, handler: _Handler) -> int:
        with self._lock:
            self._open.add(handler)
            return next(self._numbers)

    def left(self, handler: _Handler) -> None:
        with self._lock:
            self._open.discard(handler)

    def drop_connections(self) -> None:
        """Wake the threads that wait for a next request, and see them end."""
        with self._lock:
            handlers = list(self._open)
        for handler in handlers:
            handler.drop()
        for handler in handlers:
            handler.done.wait(2)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(WSGIRequestHandler):
    server: _Httpd  # pyright: ignore[reportIncompatibleVariableOverride]  # no other one makes it
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self.done = threading.Event()
        super().setup()
        self.connection_number = self.server.entered(self)

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self.server.left(self)
            self.done.set()

    def drop(self) -> None:
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:  # pragma: no cover - the client has just gone by itself
            return

    def run_wsgi(self) -> None:
        environ = self.make_environ()
        try:
            environ["wsgi.input"] = io.BytesIO(self._read_body(environ))
        except _TooLarge:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        except (ValueError, OSError):
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        environ["wsgi.input_terminated"] = True
        environ[CONNECTION] = self.connection_number
        slot = environ[SLOT] = Slot()
        self._answer(environ, slot)

    def _read_body(self, environ: dict[str, Any]) -> bytes:
        """Return the whole body: a connection is only reusable when nothing is left in it."""
        stream = environ["wsgi.input"]
        if environ.get("wsgi.input_terminated"):
            body: bytes = stream.read(BODY_LIMIT + 1)
            length = len(body)
            environ["CONTENT_LENGTH"] = str(length)
        else:
            length = int(self.headers.get("Content-Length") or 0)
            body = stream.read(length) if 0 <= length <= BODY_LIMIT else b""
        if length > BODY_LIMIT:
            raise _TooLarge
        if length < 0 or len(body) != length:
            raise ValueError("the body is not as long as announced")
        return body

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True
        self.log_request(status.value)
        self.wfile.write(
            _head(f"{status.value} {status.phrase}", [("Content-Length", "0"), ("Connection", "close")])
        )

    def _answer(self, environ: dict[str, Any], slot: Slot) -> None:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: _ExcInfo | None = None
        ) -> Callable[[bytes], object]:
            started[:] = [(status, headers)]
            return lambda data: None

        pieces = self.server.app(environ, start_response)
        try:
            iterator = iter(pieces)
            first = next(iterator, b"")
            status, headers = started[0]
            self.log_request(status[:3])
            if any(name.lower() == "content-length" for name, _ in headers) or slot.effect is not None:
                self._send(status, headers, first + b"".join(iterator), slot)
            else:
                self._stream(status, headers, first, iterator)
        finally:
            getattr(pieces, "close", lambda: None)()

    def _send(self, status: str, headers: list[tuple[str, str]], body: bytes, slot: Slot) -> None:
        if slot.effect is None:
            if self.close_connection:
                headers = [*headers, ("Connection", "close")]
            self.wfile.write(_head(status, headers) + body)
        else:
            self.close_connection = True
            reply = RawReply(_head(status, [*headers, ("Connection", "close")]), body)
            slot.effect.play(reply, self.connection)
        if slot.delivered is not None:
            slot.delivered()

    def _stream(
        self, status: str, headers: list[tuple[str, str]], first: bytes, rest: Iterable[bytes]
    ) -> None:
        """Send an answer without end (server-sent events) as it comes."""
        self.close_connection = True
        self.wfile.write(_head(status, [*headers, ("Connection", "close")]) + first)
        for piece in rest:
            self.wfile.write(piece)
            self.wfile.flush()

    def log(self, type: str, message: str, *args: Any) -> None:
        if self.server.logs_requests:
            super().log(type, "%s", masked(message % args))


def _head(status: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")
