"""Sending an answer byte by byte, right or wrong.

The WSGI application leaves an :class:`Effect` in the request's :class:`Slot`; the
request handler of ``server`` plays it. Without a socket there is no slot.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .faults import Fault

#: Key of the WSGI environ under which the server offers a slot.
SLOT: Final = "flask_centralauth.emulator.slot"
#: Key of the WSGI environ that holds the number of the TCP connection.
CONNECTION: Final = "flask_centralauth.emulator.connection"


@dataclass(frozen=True)
class RawReply:
    """A complete answer, ready to be sent."""

    head: bytes
    body: bytes

    @property
    def everything(self) -> bytes:
        return self.head + self.body


Send = Callable[[bytes], object]


@dataclass(frozen=True)
class Effect:
    """A way of sending that ends the connection afterwards."""

    fault: Fault

    def play(self, reply: RawReply, connection: socket.socket) -> None:
        """Send as much of the reply, as badly, as the fault wants."""
        _EFFECTS[self.fault.action](self.fault, reply, connection)


@dataclass
class Slot:
    """Where the application leaves what the handler shall do."""

    effect: Effect | None = None
    #: Without a socket nobody can lose patience: seconds a caller would wait. None: it can.
    patience: float | None = None
    out_of_patience: bool = False
    #: Called once the whole answer is sent.
    delivered: Callable[[], None] | None = None

    def outlasts(self, fault: Fault) -> bool:
        """Note whether a fault holds the request longer than its caller would wait."""
        if self.patience is not None and (fault.hang or fault.delay >= self.patience):
            self.out_of_patience = not fault.released
        return self.out_of_patience


def _reset(fault: Fault, reply: RawReply, connection: socket.socket) -> None:
    # Linger on, zero seconds: close() then sends RST instead of FIN.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Now, before the server says a polite goodbye.
    connection.close()


def _close(fault: Fault, reply: RawReply, connection: socket.socket) -> None:
    """Say nothing."""


def _truncate(fault: Fault, reply: RawReply, connection: socket.socket) -> None:
    kept = fault.options.get("bytes", len(reply.body) // 2)
    connection.sendall(reply.head + reply.body[:kept])


def _chunk_garbage(fault: Fault, reply: RawReply, connection: socket.socket) -> None:
    lines = [line for line in reply.head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    head = b"\r\n".join([*lines[:-2], b"Transfer-Encoding: chunked", b"", b""])
    connection.sendall(head + b"%x\r\n" % len(reply.body) + reply.body + b"\r\nNOT A LENGTH\r\n")


def _drip(fault: Fault, reply: RawReply, connection: socket.socket) -> None:
    connection.sendall(reply.head)
    _send_slowly(fault, reply.body, connection)


def _slow_headers(fault: Fault, reply: RawReply, connection: socket.socket) -> None:
    _send_slowly(fault, reply.everything, connection)


def _send_slowly(fault: Fault, data: bytes, connection: socket.socket) -> None:
    pause = 1 / fault.options.get("bytes_per_second", 1)
    for position in range(len(data)):
        connection.sendall(data[position : position + 1])
        fault.pause(pause)


_EFFECTS: Final[dict[str, Callable[[Fault, RawReply, socket.socket], None]]] = {
    "reset": _reset,
    "close": _close,
    "truncate": _truncate,
    "chunk_garbage": _chunk_garbage,
    "drip": _drip,
    "slow_headers": _slow_headers,
}
WIRE_ACTIONS: Final = frozenset(_EFFECTS)
#: What a careful client does not read to its end.
ENDLESS_ACTIONS: Final = frozenset({"drip", "slow_headers", "oversize"})
