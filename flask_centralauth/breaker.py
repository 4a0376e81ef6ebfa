"""A circuit breaker: a dead service costs microseconds, not worker threads."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final

THRESHOLD: Final = 3
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0


class Breaker:
    """Opens after three failures in a row; then lets one call through per pause.

    Pauses double up to 30 seconds, with jitter, so that workers do not ask in step.
    Thread-safe; one per process and service.

    :param clock: monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_until_asked = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the service counts as dead, so that nobody waits for it."""
        return self._failures >= THRESHOLD

    def admits(self) -> bool:
        """Say whether a call may be made now. While open, one caller per pause may."""
        if self._failures < THRESHOLD and not self._closed_until_asked:
            return True
        with self._lock:
            now = self._clock()
            if now < self._closed_until_asked:
                return False
            if self._failures >= THRESHOLD:
                # This caller is the probe; the others wait for what it finds.
                self._closed_until_asked = now + self._pause()
            else:
                self._closed_until_asked = 0.0
            return True

    def retry_after(self) -> int:
        """Return the whole seconds until a call may be made, at least one."""
        return max(1, round(self._closed_until_asked - self._clock()))

    def succeeded(self) -> None:
        with self._lock:
            self._failures = 0
            self._closed_until_asked = 0.0

    def failed(self, *, retry_after: int | None = None) -> None:
        """Count a failure; obey the service's own ``Retry-After`` (seconds)."""
        with self._lock:
            self._failures += 1
            pause = self._pause() if self._failures >= THRESHOLD else 0.0
            if retry_after is not None:
                pause = max(pause, float(retry_after))
            if pause:
                self._closed_until_asked = self._clock() + pause

    def _pause(self) -> float:
        doubled = FIRST_PAUSE * 2.0 ** min(self._failures - THRESHOLD, 10)
        return min(doubled, LONGEST_PAUSE) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret
