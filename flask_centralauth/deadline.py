"""A total time for one HTTP exchange.

The timeouts of sockets, urllib3 and requests count per read: a server that sends one
byte in time, again and again, holds a worker for ever (attack: slow upstream). Here every
read gets only what is left until the deadline of the thread's current call.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

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


class _DeadlineReader(io.RawIOBase):
    """The raw file of a socket, whose reads never wait past the deadline."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        # The socket's own raw file keeps the descriptor open while a reply is read.
        self._raw: Any = connection.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._connection.settimeout(remaining())
        count: int | None = self._raw.readinto(buffer)
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
    def connect(self) -> None:
        super().connect()
        self.sock: Any = _DeadlineSocket(self.sock)


class _DeadlineHTTPSConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock: Any = _DeadlineSocket(self.sock)


class _DeadlineHTTPConnectionPool(HTTPConnectionPool):
    ConnectionCls = _DeadlineHTTPConnection


class _DeadlineHTTPSConnectionPool(HTTPSConnectionPool):
    ConnectionCls = _DeadlineHTTPSConnection


class DeadlineAdapter(HTTPAdapter):
    """A requests transport adapter for calls made inside `deadline`."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _DeadlineHTTPConnectionPool,
            "https": _DeadlineHTTPSConnectionPool,
        }
