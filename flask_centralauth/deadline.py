"""One HTTP exchange, within a total time.

The timeouts of sockets, urllib3 and requests count per address and per read, and looking
up a name has none: a server that sends one byte in time, again and again, holds a worker
for ever (attack: slow upstream). Here every step gets only what is left until the
deadline of the thread's current call.
"""

from __future__ import annotations

import io
import os
import queue
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

#: How often an address is tried when the connection is refused: nothing was sent then.
ATTEMPTS: Final = 2
MAX_REPLY: Final = 64 * 1024
#: With headers and the lines between chunks, which urllib3 reads to whatever length.
MAX_ON_THE_WIRE: Final = 4 * MAX_REPLY

_current = threading.local()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Bound all reads this thread does on a `DeadlineAdapter`, in seconds from now."""
    _current.at = time.monotonic() + seconds
    try:
        yield
    finally:
        _current.at = None


def remaining() -> float:
    """Return the seconds left until the current deadline; raise `TimeoutError` at zero."""
    at = getattr(_current, "at", None)
    if at is None:
        raise RuntimeError("an HTTP call was made outside of deadline()")
    left: float = at - time.monotonic()
    if left <= 0:
        raise TimeoutError("the total time of the call is over")
    return left


def _connected(connection: HTTPConnection) -> socket.socket:
    """Return a socket connected to the first address that answers, all within the deadline.

    :raises OSError: none did; a refused connection was tried twice.
    """
    addresses = _addresses(connection.host.strip("[]"), connection.port)
    for attempt in range(1, ATTEMPTS + 1):  # pragma: no branch - the last attempt ends it, or raises
        try:
            opened = _connected_to_any(addresses)
        except ConnectionRefusedError:
            if attempt == ATTEMPTS:
                raise
        else:
            break
    for option in connection.socket_options or ():
        opened.setsockopt(*option)
    # For the TLS handshake, which counts this as its own total.
    opened.settimeout(remaining())
    return opened


def _connected_to_any(addresses: list[Any]) -> socket.socket:
    failure: OSError = TimeoutError("no address")
    for position, (family, kind, protocol, _name, address) in enumerate(addresses):
        candidate = socket.socket(family, kind, protocol)
        try:
            # A fair share, or one dead IPv6 address would use up the time of all others.
            candidate.settimeout(remaining() / (len(addresses) - position))
            candidate.connect(address)
        except OSError as problem:
            candidate.close()
            failure = problem
        else:
            return candidate
    raise failure


def _addresses(host: str, port: int) -> list[Any]:
    """Look up a name in a thread of its own, which may be left behind: it knows no timeout."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_look_up, args=(host, port, found), daemon=True).start()
    try:
        answer = found.get(timeout=remaining())
    except queue.Empty:
        raise TimeoutError("looking up the name took too long") from None
    if isinstance(answer, Exception):
        raise OSError(f"the name cannot be looked up ({type(answer).__name__})") from None
    addresses: list[Any] = answer
    return addresses


def _look_up(host: str, port: int, found: queue.SimpleQueue[Any]) -> None:
    try:
        found.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    # UnicodeError for a name that is none; whatever it is, the caller must not wait for it.
    except Exception as failure:
        found.put(failure)


class _DeadlineReader(io.RawIOBase):
    """The raw file of a socket for one reply: it ends at the deadline, and at a size."""

    def __init__(self, connection: socket.socket) -> None:
        self._room = MAX_ON_THE_WIRE
        self._connection = connection
        # The socket's own raw file keeps the descriptor open while a reply is read.
        self._raw: Any = connection.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._connection.settimeout(remaining())
        count: int | None = self._raw.readinto(buffer)
        self._room -= count or 0
        if self._room < 0:
            raise OSError("the reply is too large")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineSocket:
    """A connected socket that hands out `_DeadlineReader` files."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def makefile(self, *_args: Any, **_options: Any) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._connection))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class _DeadlineHTTPConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self)

    def connect(self) -> None:
        super().connect()
        self.sock: Any = _DeadlineSocket(self.sock)


class _DeadlineHTTPSConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self)

    def connect(self) -> None:
        super().connect()
        self.sock: Any = _DeadlineSocket(self.sock)


class _DeadlineHTTPConnectionPool(HTTPConnectionPool):
    # urllib3's own classes do not match its protocol for them either.
    ConnectionCls = _DeadlineHTTPConnection  # pyright: ignore[reportAssignmentType]


class _DeadlineHTTPSConnectionPool(HTTPSConnectionPool):
    ConnectionCls = _DeadlineHTTPSConnection  # pyright: ignore[reportAssignmentType]


class DeadlineAdapter(HTTPAdapter):
    """A requests transport adapter for calls made inside `deadline`."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _DeadlineHTTPConnectionPool,
            "https": _DeadlineHTTPSConnectionPool,
        }


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply, read to its end and bounded in size."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """One pooled HTTP session per process, with everything dangerous switched off."""

    def __init__(self, *, timeout: float) -> None:
        self.timeout = timeout
        self._session: requests.Session | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def send(self, method: str, url: str, **parts: Any) -> Reply:
        """Send one request and read the reply within the total timeout.

        :raises requests.RequestException: nothing usable came back in time.
        :raises urllib3.exceptions.HTTPError: likewise, in the middle of the body.
        :raises OSError: likewise, between two reads.
        """
        with deadline(self.timeout):
            wait = remaining()
            with self.session().request(
                method, url, timeout=(wait, wait), allow_redirects=False, stream=True, **parts
            ) as response:
                return Reply(response.status_code, response.headers, _bounded_body(response))

    def session(self) -> requests.Session:
        """Return the pooled session of this process."""
        # A connection inherited through fork() delivers other requests' replies.
        if self._session is None or self._owner != os.getpid():
            with self._lock:
                if (
                    self._session is None or self._owner != os.getpid()
                ):  # pragma: no branch - else made meanwhile
                    self._session, self._owner = _new_session(), os.getpid()
        return self._session


def _new_session() -> requests.Session:
    session = requests.Session()
    # No proxies, CA bundle or .netrc credentials from the environment.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # Compressed replies may expand beyond any limit.
    session.headers["Accept-Encoding"] = "identity"
    # No retries of urllib3's: it would send a used code again, and sleep for Retry-After.
    adapter = DeadlineAdapter(max_retries=0, pool_maxsize=32)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _bounded_body(response: requests.Response) -> bytes:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        # Layers of compression multiply, so no limit on what is read would hold.
        raise requests.exceptions.ContentDecodingError("the reply is compressed")
    body = bytearray()
    for chunk in response.raw.stream(8192, decode_content=False):
        remaining()
        body += chunk
        if len(body) > MAX_REPLY:
            raise requests.exceptions.ContentDecodingError("the reply is too large")
    return bytes(body)
