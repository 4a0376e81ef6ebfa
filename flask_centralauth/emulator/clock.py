"""The one clock of an emulator: everything that expires asks it.

Tests move it instead of sleeping.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime, timezone


class Clock:
    """Real time plus what a test added, or a moment that stands still."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offset = 0.0
        self._frozen_at: float | None = None

    def time(self) -> float:
        """Return seconds since the epoch."""
        with self._lock:
            return time.time() + self._offset if self._frozen_at is None else self._frozen_at

    def now(self) -> datetime:
        """Return the same moment as an aware datetime in UTC."""
        return moment_of(self.time())

    def advance(self, seconds: float) -> datetime:
        """Move the clock by seconds, backwards too, and return the new time.

        :raises ValueError: when it would leave the calendar.
        """
        return self.set(moment_of(self.time() + seconds))

    def set(self, moment: datetime) -> datetime:
        """Jump to a moment; a naive one is read as UTC."""
        wanted = _as_utc(moment).timestamp()
        with self._lock:
            if self._frozen_at is None:
                self._offset = wanted - time.time()
            else:
                self._frozen_at = wanted
        return self.now()

    def freeze(self, moment: datetime | None = None) -> datetime:
        """Stop the clock, now or at the given moment, until :meth:`resume`."""
        stopped_at = self.time() if moment is None else _as_utc(moment).timestamp()
        with self._lock:
            self._frozen_at = stopped_at
        return self.now()

    def resume(self) -> datetime:
        """Let a frozen clock run on from where it stands."""
        with self._lock:
            if self._frozen_at is not None:
                self._offset = self._frozen_at - time.time()
                self._frozen_at = None
        return self.now()

    def reset(self) -> None:
        """Return to real time."""
        with self._lock:
            self._offset = 0.0
            self._frozen_at = None

    @property
    def frozen(self) -> bool:
        return self._frozen_at is not None

    @property
    def offset(self) -> float:
        """How far this clock is from real time, in seconds."""
        return self.time() - time.time()


def moment_of(seconds: float) -> datetime:
    """Return seconds since the epoch as an aware datetime in UTC.

    :raises ValueError: when the calendar has no such moment.
    """
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, OSError):
        raise ValueError(f"the calendar does not reach {seconds} seconds from 1970") from None


def wire_time(moment: datetime | None) -> str | None:
    """Return a moment as the ISO 8601 text that CentralAuth sends, or None."""
    if moment is None:
        return None
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_time(value: object) -> datetime:
    """Return the moment that an ISO 8601 text or a datetime names.

    :raises ValueError: when it is neither.
    """
    if isinstance(value, datetime):
        return _as_utc(value)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a time; write it as 2025-01-31T12:00:00Z")
    text = value.strip()
    # Python 3.10 does not read the "Z".
    text = f"{text[:-1]}+00:00" if text[-1:] in "Zz" and text else text
    try:
        return _as_utc(datetime.fromisoformat(text))
    except ValueError:
        raise ValueError(f"{value!r} is not a time; write it as 2025-01-31T12:00:00Z") from None


def _as_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc)
