"""A wire to a server that a test can cut, while the server keeps what it knows."""

from __future__ import annotations

import contextlib
import socket
import threading

from .servers import HOST, Server


class Link:
    """Forwards a port of its own to a server; `cut` and `mend` keep the port."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._start()

    @property
    def url(self) -> str:
        return self._server.url.replace(f":{self._server.port}", f":{self.port}")

    @property
    def sqlalchemy_url(self) -> str:
        return self.url.replace("postgresql:", "postgresql+psycopg:")

    def cut(self) -> None:
        """From now on connections are refused, and open ones are dead."""
        # Wakes the thread that waits in accept(), which closing does not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            _close(connection)

    def mend(self) -> None:
        self._listener = self._listen(self.port)
        self._start()

    def _listen(self, port: int) -> socket.socket:
        return socket.create_server((HOST, port), backlog=64)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                try:
                    far = socket.create_connection((HOST, self._server.port), 5)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                with self._lock:
                    self._connections |= {near, far}
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for connection in (source, target):
            with self._lock:
                self._connections.discard(connection)
            _close(connection)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
