"""A small memory: what was put in it in the last seconds, and no more than so much."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_KEPT: Final = 10_000


class Recent(Generic[K, V]):
    """A mapping that forgets, after a time and beyond a size. Thread-safe.

    :param seconds: how long a value is kept; monotonic.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kept: dict[K, tuple[float, V]] = {}

    def get(self, key: K) -> V | None:
        kept = self._kept.get(key)
        return kept[1] if kept is not None and time.monotonic() - kept[0] < self._seconds else None

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (time.monotonic(), value)
            if len(self._kept) > MAX_KEPT:
                del self._kept[next(iter(self._kept))]

    def __len__(self) -> int:
        return len(self._kept)
