"""Calls that go on when the request that began them does not wait any longer.

A blocking call cannot be handed over once it takes long, so each begins on a thread of its own.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Final, Generic, TypeVar

from .errors import CentralAuthError
from .single_flight import Flight, SingleFlight
from .thread_pool import ThreadPool

T = TypeVar("T")

#: Seconds a request waits for what it can do without. A call over a network normally takes a
#: tenth of that; a person hardly notices that much.
PATIENCE: Final = 0.25
#: The same while another request of the process waits already: a service that hangs at a busy
#: moment holds up one of them, the others for a blink.
PATIENCE_BESIDE_ANOTHER: Final = 0.05
#: For so many seconds after a slow call nobody waits for the next ones.
SLOW_SECONDS: Final = 10.0
#: Calls at once: about as many as there are pooled connections.
AT_ONCE: Final = 32
#: While calls are slow: enough to ask about 480 users a minute when each takes half a second.
AT_ONCE_WHEN_SLOW: Final = 4


class BackgroundCalls(Generic[T]):
    """Does work on threads, once at a time per key. Thread-safe and fork-safe."""

    def __init__(self, flights: SingleFlight[T]) -> None:
        self._flights = flights
        self._threads = ThreadPool("centralauth-check")
        self._slow_until = -math.inf
        #: Held by the request that waits. By process: whoever forks may hold it.
        self._waits: dict[int, threading.Lock] = {}

    def run(self, key: Hashable, work: Callable[[], T], *, instead: T, waits: bool = True) -> T:
        """Return what the work for a key finds; what stands in for it when that takes too long.

        Nobody waits for work that somebody else has under way, and nobody while calls are slow.

        :param work: needs no request and no application.
        :param waits: whether the caller waits at all.
        :raises CentralAuthError: what the work raised in time.
        """
        is_slow = time.monotonic() < self._slow_until
        if self._threads.running >= (AT_ONCE_WHEN_SLOW if is_slow else AT_ONCE):
            return instead
        flight, is_mine = self._flights.board(key)
        if not is_mine:
            return instead
        self._threads.start(lambda: self._fly(flight, work))
        if not self._landed(flight, waits=waits and not is_slow):
            return instead
        if flight.problem is not None:
            raise flight.problem
        return flight.result()

    def _landed(self, flight: Flight[T], *, waits: bool) -> bool:
        """Wait for a flight as long as the request can spare, and say whether it has landed."""
        if not waits:
            return flight.landed.is_set()
        here = os.getpid()
        first = self._waits.get(here) or self._waits.setdefault(here, threading.Lock())
        if first.acquire(blocking=False):
            try:
                landed = flight.landed.wait(PATIENCE)
            finally:
                first.release()
            slow_for = SLOW_SECONDS
        else:
            landed = flight.landed.wait(PATIENCE_BESIDE_ANOTHER)
            # Until the first one knows: or everybody who goes on begins one more call.
            slow_for = PATIENCE
        if not landed:
            self._slow_until = max(self._slow_until, time.monotonic() + slow_for)
        return landed

    def _fly(self, flight: Flight[T], work: Callable[[], T]) -> None:
        began = time.monotonic()

        def timed() -> T:
            try:
                return work()
            finally:
                # Before those who wait go on.
                now = time.monotonic()
                self._slow_until = now + SLOW_SECONDS if now - began > PATIENCE else -math.inf

        # For whoever waits: the flight keeps it.
        with suppress(CentralAuthError):
            self._flights.fly(flight, timed)
