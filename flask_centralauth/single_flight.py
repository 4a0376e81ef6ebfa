"""One of many parallel callers does the work; the others wait for what it finds."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .errors import CentralAuthError, ErrorCode, ServiceUnavailable

T = TypeVar("T")


@dataclass(slots=True)
class Flight(Generic[T]):
    """Work that is being done, and what it found."""

    key: Hashable
    landed: threading.Event = field(default_factory=threading.Event)
    found: list[T] = field(default_factory=list)
    problem: CentralAuthError | None = None

    def result(self) -> T:
        """Return what was found.

        :raises CentralAuthError: what the work raised, each caller an instance of its own; or
            the work did not come to its end.
        """
        if self.found:
            return self.found[0]
        if self.problem is None:
            raise ServiceUnavailable(
                ErrorCode.NETWORK_ERROR, "a check by a parallel request did not end well"
            )
        raise again(self.problem)


class SingleFlight(Generic[T]):
    """Runs work once at a time per key. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, Flight[T]] = {}

    def run(self, key: Hashable, work: Callable[[], T], *, timeout: float) -> T:
        """Return what the work for a key finds, done here or by whoever began it first.

        :param timeout: seconds to wait for another caller.
        :raises CentralAuthError: what the work raised, each caller an instance of its own.
        """
        flight, is_mine = self.board(key)
        if is_mine:
            return self.fly(flight, work)
        flight.landed.wait(timeout)
        return flight.result()

    def board(self, key: Hashable) -> tuple[Flight[T], bool]:
        """Return the flight of a key, and whether the caller is the one who has to `fly` it."""
        # The process id: what a parent was doing when it forked never ends in the child.
        key = (os.getpid(), key)
        with self._lock:
            running = self._flights.get(key)
            if running is not None:
                return running, False
            mine = self._flights[key] = Flight(key)
            return mine, True

    def fly(self, flight: Flight[T], work: Callable[[], T]) -> T:
        """Do the work, and tell those who wait for it."""
        try:
            found = work()
            flight.found.append(found)
            return found
        except CentralAuthError as problem:
            flight.problem = problem
            raise
        finally:
            with self._lock:
                del self._flights[flight.key]
            flight.landed.set()


def again(problem: CentralAuthError) -> CentralAuthError:
    """Return an error like another one, without the traceback and the incident of that."""
    return type(problem)(problem.error_code, problem.message, retry_after=problem.retry_after)
