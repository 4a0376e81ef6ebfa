"""What becomes of a store's failures: one error of ours, and nobody waits for a store that hangs.

A store that refuses connections fails in microseconds: it is asked every time, and is noticed at once when it
is back. One that hangs costs every request its client's time-out, so after one such read nobody asks for a
moment, and then one read finds out.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar

from .breaker import Breaker
from .errors import ErrorCode, ServiceUnavailable

C = TypeVar("C", bound=type)
R = TypeVar("R")

log = logging.getLogger("flask_centralauth")

#: What a read has to take until it fails, in seconds, to count: quicker failures hold up nobody.
SLOW: Final = 0.1
#: Everybody with a session is out meanwhile; with jitter five seconds, which is what people are told to wait.
LONGEST_PAUSE: Final = 4.0
RETRY_AFTER: Final = 5
#: Seconds after which a read that had to find out counts as lost: longer than a client waits that is set up
#: as docs/sessions.md says.
LONGEST_READ: Final = 10.0


class StoreBreaker(Breaker):
    """The breaker of one engine: opens when a read fails slowly and none was answered meanwhile.

    Not when others were: then the store is busy, or one of its servers or connections is lost, and a pause
    would shut out those it serves. Only reads count: a write may fail because of its value (memcached's
    limit), and that is up to visitors (attack: provoke failing writes to shut everybody out).

    :param clock: monotonic seconds, for the pauses.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(threshold=1, longest_pause=LONGEST_PAUSE, longest_call=LONGEST_READ, clock=clock)
        #: When the last read that was answered had begun.
        self.answered = -math.inf
        self._refusals = 0

    def refusal(self) -> ServiceUnavailable:
        self._refusals += 1
        message = "the session store did not answer the last time, so it was not asked"
        return ServiceUnavailable(
            ErrorCode.STORE_UNAVAILABLE, message, retry_after=RETRY_AFTER, facts={"asked": False}
        )

    def read_failed(self, began: float, *, probed: bool) -> None:
        """Judge a read that failed. ``probed``: it was the one that had to find out."""
        waited = time.monotonic() - began
        # redis-py waits a minute unless told otherwise: each further probe would hold one more thread.
        self._longest_call = max(LONGEST_READ, 2 * waited)
        if waited < SLOW or self.answered >= began:
            if probed:
                self.read_answered()
        elif probed:
            self.failed()
        elif self.paused_until is None:
            self.failed()
            log.warning(
                "The session store hangs: a read failed after %.1f seconds. Until it answers it is asked "
                "every few seconds only, and whoever needs it is refused at once.",
                waited,
            )

    def read_answered(self) -> None:
        """Let everybody ask again: the store answers, or fails too quickly to hold up anybody."""
        refusals, self._refusals = self._refusals, 0
        self.succeeded()
        log.warning(
            "The session store does not hang any more; meanwhile it was not asked %d times.", refusals
        )


def store_failures(engine: C) -> C:
    """Let a class's operations raise `ServiceUnavailable` for whatever a store's client raises.

    While the ``breaker`` of an object is open, none of its operations is tried.
    """
    kinds = {"get_many": _read, **dict.fromkeys(("put", "add", "replace", "touch", "delete"), _write)}
    for name, guarded in kinds.items():
        setattr(engine, name, guarded(getattr(engine, name)))
    return engine


def _read(operation: Callable[..., R]) -> Callable[..., R]:
    # What every page view pays: an attribute of the breaker before, one after, one look at the clock.
    @wraps(operation)
    def read(self: Any, *keys: str) -> R:
        breaker: StoreBreaker = self.breaker
        probes = breaker.paused_until is not None
        if probes and not breaker.admits():
            raise breaker.refusal()
        began = time.monotonic()
        try:
            found = operation(self, *keys)
        # Each store has its own exceptions, and its package may not be installed.
        except Exception as failure:
            breaker.read_failed(began, probed=probes)
            raise _unavailable(failure) from None
        breaker.answered = began
        if probes:
            breaker.read_answered()
        return found

    return read


def _write(operation: Callable[..., R]) -> Callable[..., R]:
    @wraps(operation)
    def write(self: Any, key: str, *args: Any) -> R:
        if self.breaker.paused_until is not None:
            # Whether the store answers is for a read to find out; refused, or it does.
            self.get_many(key)
        try:
            return operation(self, key, *args)
        except Exception as failure:
            raise _unavailable(failure) from None

    return write


def _unavailable(failure: Exception) -> ServiceUnavailable:
    # Their texts hold keys, which are session ids: only the name goes on.
    return ServiceUnavailable(
        ErrorCode.STORE_UNAVAILABLE,
        f"the session store failed ({type(failure).__name__})",
        retry_after=RETRY_AFTER,
    )


def log_failure(what: str, failure: ServiceUnavailable) -> None:
    """Log a failure that nobody is shown: as an error where the store was asked."""
    log.log(logging.ERROR if failure.was_asked else logging.INFO, "%s: %s", what, failure)
