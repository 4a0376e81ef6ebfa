"""A circuit breaker: a dead service, or store, costs microseconds, not worker threads."""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Final, Literal

THRESHOLD: Final = 3
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0

State = Literal["closed", "open", "half-open"]


class Breaker:
    """Opens after some failures in a row; then lets one call through per pause.

    Pauses double up to a limit, with jitter, so that workers do not ask in step. The
    service's own ``Retry-After`` opens it at once. Thread-safe; one per process and service.

    :param threshold: how many failures in a row open it.
    :param longest_pause: seconds, without the jitter of a quarter.
    :param longest_call: seconds after which a probe that reported nothing counts as lost.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        threshold: int = THRESHOLD,
        longest_pause: float = LONGEST_PAUSE,
        longest_call: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threshold = threshold
        self._longest_pause = longest_pause
        self._longest_call = longest_call
        self._clock = clock
        self._locks: dict[int, threading.Lock] = {}
        self._failures = 0
        self._pauses = 0
        self._probing = False
        #: None while closed. The only thing read without the lock, and only once each time.
        self.paused_until: float | None = None

    @property
    def state(self) -> State:
        """What callers may do: call, wait, or be the one who finds out."""
        paused_until = self.paused_until
        if paused_until is None:
            return "closed"
        return "open" if self._clock() < paused_until else "half-open"

    @property
    def refuses(self) -> bool:
        """Whether `admits` would say no now. Takes no lock and nobody's turn."""
        paused_until = self.paused_until
        return paused_until is not None and self._clock() < paused_until

    def admits(self) -> bool:
        """Say whether a call may be made now. After a pause one caller may, and has to report."""
        paused_until = self.paused_until
        if paused_until is None:
            return True
        with self._lock:
            paused_until, now = self.paused_until, self._clock()
            if paused_until is None:  # pragma: no cover - another thread closed it between the two looks
                return True
            if now < paused_until:
                return False
            # This caller is the probe; the others wait for what it finds.
            self._probing = True
            self.paused_until = now + self._longest_call
            return True

    def retry_after(self) -> int:
        """Return the whole seconds until a call may be made, at least one."""
        paused_until = self.paused_until
        return 1 if paused_until is None else max(1, math.ceil(paused_until - self._clock()))

    def succeeded(self) -> None:
        with self._lock:
            if self.paused_until is None or self._probing:
                self._failures = self._pauses = 0
                self._probing = False
                self.paused_until = None
            # Else an answer to a call from before the pause: it does not undo a Retry-After.

    def failed(self, *, retry_after: int | None = None) -> None:
        """Count a failure; obey the service's own ``Retry-After`` (seconds)."""
        with self._lock:
            self._failures += 1
            now = self._clock()
            if self.paused_until is None or self._probing:
                pause = float(retry_after or 0)
                if self._failures >= self._threshold:
                    pause = max(pause, self._next_pause())
                self._probing = False
                self.paused_until = now + pause if pause else None
            elif retry_after is not None:
                # From a call made before the pause: many at once do not make it longer.
                self.paused_until = max(self.paused_until, now + retry_after)

    @property
    def _lock(self) -> threading.Lock:
        # A thread of the process this one was forked from may have held its lock, and does not exist here.
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def _next_pause(self) -> float:
        doubled = FIRST_PAUSE * 2.0 ** min(self._pauses, 10)
        self._pauses += 1
        return min(doubled, self._longest_pause) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret
