"""One of many parallel callers does the work; the others wait for what it finds, or do not."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .errors import CentralAuthError, ErrorCode, ServiceUnavailable

T = TypeVar("T")


@dataclass(slots=True)
class _Flight(Generic[T]):
    landed: threading.Event = field(default_factory=threading.Event)
    found: list[T] = field(default_factory=list)
    problem: CentralAuthError | None = None


class SingleFlight(Generic[T]):
    """Runs work once at a time per key. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Hashable, _Flight[T]] = {}

    def run(
        self,
        key: Hashable,
        work: Callable[[], T],
        *,
        timeout: float,
        instead: Callable[[], T] | None = None,
    ) -> T:
        """Return what the work for a key finds, done here or by whoever began it first.

        :param timeout: seconds to wait for another caller.
        :param instead: gives an answer at once while another caller works.
        :raises CentralAuthError: what the work raised, each caller an instance of its own.
        """
        # The process id: what a parent was doing when it forked never ends in the child.
        key = (os.getpid(), key)
        with self._lock:
            running = self._flights.get(key)
            if running is None:
                mine = self._flights[key] = _Flight()
        if running is not None:
            return instead() if instead is not None else _result(running, timeout)
        try:
            found = work()
            mine.found.append(found)
            return found
        except CentralAuthError as problem:
            mine.problem = problem
            raise
        finally:
            with self._lock:
                del self._flights[key]
            mine.landed.set()


def _result(flight: _Flight[T], timeout: float) -> T:
    flight.landed.wait(timeout)
    if flight.found:
        return flight.found[0]
    problem = flight.problem
    if problem is None:
        raise ServiceUnavailable(ErrorCode.NETWORK_ERROR, "a check by a parallel request did not end well")
    raise again(problem)


def again(problem: CentralAuthError) -> CentralAuthError:
    """Return an error like another one, without the traceback and the incident of that."""
    return type(problem)(problem.error_code, problem.message, retry_after=problem.retry_after)
