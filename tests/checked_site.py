"""A site for the tests of the checked user: pages that say who is asking, and a clock that is moved."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from flask import Flask, Response, jsonify

from flask_centralauth import (
    auth_required,
    current_user,
    known_logins,
    login_session,
    login_store,
    recent,
    session_guard,
    session_logins,
    user_cache,
    ways_back,
)
from flask_centralauth.breaker import Breaker
from flask_centralauth.emulator import Emulator
from flask_centralauth.emulator.faults import Fault
from flask_centralauth.signals import session_ended
from flask_centralauth.single_flight import Flight

from .browser_client import Browser
from .browser_page import Page
from .conftest import LiveServer

T = TypeVar("T")


class MovedClock:
    """Stands in for the module `time`: the true time, and what a test added to it."""

    def __init__(self) -> None:
        self._monotonic = 0.0
        self._wall = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._monotonic

    def time(self) -> float:
        return time.time() + self._wall

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._monotonic += seconds
        self._wall += seconds

    def set_wall(self, seconds: float) -> None:
        """Set the clock on the wall forward or back; no time passes."""
        self._wall += seconds

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (
            user_cache,
            known_logins,
            recent,
            login_session,
            login_store,
            session_guard,
            session_logins,
            ways_back,
        ):
            monkeypatch.setattr(module, "time", self)


@dataclass
class CheckedSite:
    """A running application and the browser of one person. Further workers share its logins."""

    app: Flask
    server: LiveServer
    emulator: Emulator
    browser: Browser
    clock: MovedClock
    faults: list[Fault] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def breaker(self) -> Breaker:
        found: Breaker = self.app.extensions["centralauth"].client.breaker
        return found

    def log_in(self) -> None:
        assert self.browser.get(f"{self.url}/private").status == 200
        self.emulator.requests.clear()

    @property
    def asked(self) -> int:
        """How often userinfo was called since the login."""
        return self.emulator.requests.count("userinfo")

    def fetch(self, path: str = "/who", **options: Any) -> Page:
        return self.browser.fetch(f"{self.url}{path}", **options)

    def fetcher(self, path: str = "/who", browser: Browser | None = None) -> Callable[[], Page]:
        """Something to run in a thread: a fetch from a tab of its own."""
        url = f"{self.url}{path}"
        return lambda: (browser or self.browser).tab().fetch(url)

    def who(self, path: str = "/who") -> tuple[str, bool]:
        """Who the application says is asking, and whether that is stale."""
        page = self.fetch(path)
        assert page.status == 200, page.text
        content = page.json()
        return content["email"], content["stale"]

    def expire(self) -> None:
        """Let the last answer be too old."""
        self.clock.advance(61)

    def fail(self, **how: Any) -> Fault:
        fault = self.emulator.fail("userinfo", **{"times": None, **how})
        self.faults.append(fault)
        return fault

    def settle(self) -> None:
        """Wait for the checks that go on without their requests."""
        for flight in self.flights:
            assert flight.landed.wait(20)

    @property
    def flights(self) -> list[Flight[Any]]:
        """The checks that are under way."""
        return list(self.app.extensions["centralauth"].users._flights._flights.values())

    def recover(self) -> None:
        for fault in self.faults:
            self.emulator.service.faults.remove(fault)
        self.faults.clear()


MakeCheckedSite = Callable[..., CheckedSite]


def add_pages(app: Flask) -> None:
    def who() -> Response:
        return jsonify(email=current_user.email, stale=current_user.is_stale)

    app.add_url_rule("/who", "who", auth_required(who))
    app.add_url_rule("/fresh", "fresh", auth_required(fresh=True)(who))
    app.add_url_rule("/affirmed", "affirmed", auth_required(affirmed_within=10**9)(who))
    app.add_url_rule("/open", "open", lambda: who())

    @app.get("/twice")
    @auth_required
    def twice() -> Response:
        """Asks the same question at every level an application has."""
        auth_required(lambda: "")()
        return who()


def at_once(work: Iterable[Callable[[], T]]) -> list[T]:
    """Run callables in threads that start together; their results in order. A failure is the test's."""
    jobs = list(work)
    barrier = threading.Barrier(len(jobs))
    results: dict[int, T] = {}
    failures: list[BaseException] = []

    def run(number: int, job: Callable[[], T]) -> None:
        barrier.wait(20)
        try:
            results[number] = job()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if failures:
        raise failures[0]
    return [results[number] for number in range(len(jobs))]


class Running:
    """One callable in a thread of its own."""

    def __init__(self, job: Callable[[], Page]) -> None:
        self._found: list[Page] = []
        self._thread = threading.Thread(target=lambda: self._found.append(job()), daemon=True)
        self._thread.start()

    def result(self) -> Page:
        self._thread.join(20)
        return self._found[0]


@contextmanager
def ended_sessions() -> Iterator[list[dict[str, Any]]]:
    """What `session_ended` told its listeners."""
    heard: list[dict[str, Any]] = []

    def listen(sender: Any, **told: Any) -> None:
        heard.append(told)

    with session_ended.connected_to(listen):
        yield heard
