"""A store that takes questions and answers none: it costs one request its time, nobody their login."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from flask_centralauth.breaker import FIRST_PAUSE
from flask_centralauth.embedded_store import BUSY_SECONDS
from flask_centralauth.emulator import Emulator
from flask_centralauth.session_guard import EMBEDDED_FILE
from flask_centralauth.store_failures import LONGEST_PAUSE, LONGEST_READ, RETRY_AFTER, StoreBreaker
from tests.browser_client import Browser
from tests.checked_site import Running
from tests.conftest import RunServer
from tests.test_breaker import JITTER, Clock

from .application import PATIENCE, Application
from .conftest import MakeWorker
from .link import Link
from .servers import MemcachedServer, RedisServer, Server
from .store_engines import (
    WAIT,
    StoreEngine,
    embedded,
    memcached_engine,
    nothing,
    on_server,
    redis_client,
    redis_engine,
    server_of,
)
from .test_logins_on_engines import sid_of, start_login

#: One answer that did not come, and a busy machine.
BOUNDED = WAIT + 0.7


class HeldLink(Link):
    """A wire on which a test can keep answers back."""

    def __init__(self, server: Server) -> None:
        self._to_hold: list[None] = []
        self._go = threading.Event()
        self.held = threading.Event()
        super().__init__(server)

    def hold(self) -> None:
        """Keep back the next answer, until `release`; the ones after it pass."""
        self._to_hold.append(None)

    def release(self) -> None:
        self._go.set()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if source.getpeername()[1] == self._server.port and self._to_hold:
                    self._to_hold.pop()
                    self.held.set()
                    self._go.wait(PATIENCE)
                target.sendall(data)
        super()._forward(source, target)


@dataclass(frozen=True)
class Site:
    """An application on a store that can hang, with a clock of its own for the pauses."""

    worker: Application
    url: str
    server: Server
    clock: Clock
    browser: Browser  # logged in

    @property
    def breaker(self) -> StoreBreaker:
        found: StoreBreaker = self.worker.guard.engine.breaker
        return found

    def status(self, path: str = "/api", browser: Browser | None = None) -> int:
        return (browser or self.browser).fetch(self.url + path).status

    def hang(self) -> None:
        """Let the store hang, and one request find out."""
        self.server.pause()
        assert self.status() == 503
        assert self.breaker.state == "open"


class MakeSite:
    def __init__(self, make_worker: MakeWorker, live_server: RunServer, browser: Browser) -> None:
        self._make_worker, self._live_server, self._browser = make_worker, live_server, browser

    def __call__(self, engine: StoreEngine, server: Server) -> Site:
        worker = self._make_worker(engine)
        clock = Clock()
        worker.guard.engine.breaker = StoreBreaker(clock=clock)
        url = self._live_server(worker.app).url
        assert self._browser.get(f"{url}/private").text == "alice@example.com"
        self._browser.get(f"{url}/cart/add/apple")
        return Site(worker, url, server, clock, self._browser)


@pytest.fixture
def make_site(make_worker: MakeWorker, live_server: RunServer, browser: Browser) -> MakeSite:
    return MakeSite(make_worker, live_server, browser)


@pytest.fixture
def site(make_site: MakeSite, redis_server: RedisServer) -> Iterator[Site]:
    engine = redis_engine(redis_server)
    yield make_site(engine, redis_server)
    redis_server.resume()
    engine.close()


# Not PostgreSQL: psycopg has no limit for an answer. docs/sessions.md says what has.
@pytest.fixture(params=["redis", "memcached"])
def any_site(request: pytest.FixtureRequest, make_site: MakeSite) -> Iterator[Site]:
    server = server_of(request.param, request)
    engine = on_server(request.param, server)
    yield make_site(engine, server)
    server.resume()
    engine.close()


def test_one_request_waits_and_nobody_is_signed_out(any_site: Site, emulator: Emulator) -> None:
    site, browser = any_site, any_site.browser
    sid = sid_of(browser)
    bob = Browser(emulator, user="bob@example.com")
    callback = start_login(bob, f"{site.url}/private")
    began = time.monotonic()
    site.hang()
    assert time.monotonic() - began < BOUNDED

    # It would answer now; that nobody gets an answer shows that nobody asks.
    site.server.resume()
    page = browser.get(f"{site.url}/private")
    answer = browser.fetch(f"{site.url}/api")
    for refusal in (page, answer):
        assert (refusal.status, refusal.headers["Retry-After"]) == (503, str(RETRY_AFTER))
        assert "Set-Cookie" not in refusal.headers
    assert answer.json()["errorCode"] == "storeUnavailable"
    assert site.status("/public") == 200
    assert browser.fetch(f"{site.url}/cart").json() == []
    assert site.status("/cart/add/x") == 200
    assert browser.submit(f"{site.url}/api/auth/logout").status == 503
    assert bob.get(callback, follow=False).status == 503
    assert bob.get(f"{site.url}/cart/add/pear").status == 200
    assert bob.cookies.get("session") is None

    site.clock.now += FIRST_PAUSE * JITTER
    assert sid_of(browser) == sid
    assert site.status() == 200
    assert browser.fetch(f"{site.url}/cart").json() == ["apple"]
    assert bob.get(f"{site.url}/private").text == "bob@example.com"


def test_pages_without_a_session_need_no_store(site: Site, emulator: Emulator) -> None:
    site.hang()
    stranger = Browser(emulator)
    assert site.status("/public", stranger) == 200
    assert site.status("/api", stranger) == 401
    assert stranger.get(f"{site.url}/private", follow=False).status == 302


def test_one_request_per_pause_waits_for_a_store_that_goes_on_hanging(site: Site) -> None:
    site.hang()
    pauses = []
    for _ in range(4):
        began = site.clock.now
        while site.breaker.refuses:
            site.clock.now += 0.01
        pauses.append(site.clock.now - began)
        waited = time.monotonic()
        assert site.status() == 503
        # A client with a time-out of 0.5 seconds waits that long when it asks.
        assert time.monotonic() - waited > WAIT / 2
    assert pauses[0] <= FIRST_PAUSE * JITTER + 0.02
    assert max(pauses) <= LONGEST_PAUSE * JITTER + 0.02 <= RETRY_AFTER + 0.02


@pytest.mark.parametrize("seconds", [0.5, 60])
def test_nobody_else_finds_out_while_one_waits_as_long_as_the_client_does(seconds: float) -> None:
    """A client without a short time-out: not one thread after the other may wait for it."""
    clock = Clock()
    breaker = StoreBreaker(clock=clock)
    breaker.read_failed(time.monotonic() - seconds, probed=False)
    clock.now += FIRST_PAUSE * JITTER
    assert breaker.admits()
    clock.now += seconds
    assert not breaker.admits()
    # Its thread was killed: somebody else may.
    clock.now += seconds + LONGEST_READ
    assert breaker.admits()


def test_a_login_finds_out_that_the_store_is_back(site: Site, emulator: Emulator) -> None:
    """Where nobody has a session, writes come first: refused until somebody reads, they would be for ever."""
    bob = Browser(emulator, user="bob@example.com")
    callback = start_login(bob, f"{site.url}/private")
    site.hang()
    site.server.resume()
    site.clock.now += FIRST_PAUSE * JITTER
    assert bob.get(callback).text == "bob@example.com"
    assert site.breaker.state == "closed"


def test_a_store_that_is_dead_after_hanging_is_asked_every_time(
    make_site: MakeSite, redis_server: RedisServer
) -> None:
    link = Link(redis_server)
    engine = redis_engine(link)
    site = make_site(engine, redis_server)
    site.hang()
    link.cut()
    redis_server.resume()
    site.clock.now += FIRST_PAUSE * JITTER
    for _ in range(5):
        assert site.status() == 503
        assert site.breaker.state == "closed"
    link.mend()
    # No pause: it is noticed at once.
    assert site.status() == 200
    engine.close()
    link.cut()


def test_only_the_one_who_finds_out_waits(make_site: MakeSite, redis_server: RedisServer) -> None:
    link = HeldLink(redis_server)
    patient = redis.Redis.from_url(link.url, socket_timeout=PATIENCE, retry=Retry(NoBackoff(), 0))

    def set_up(app: object) -> object:
        app.config.update(SESSION_TYPE="redis", SESSION_REDIS=patient)  # type: ignore[attr-defined]
        return nothing

    site = make_site(StoreEngine("redis", set_up, int), redis_server)  # type: ignore[arg-type]
    site.breaker.failed()
    site.clock.now += FIRST_PAUSE * JITTER
    link.hold()
    finding_out = Running(lambda: site.browser.fetch(f"{site.url}/api"))
    assert link.held.wait(PATIENCE)
    # All other answers would pass.
    assert [site.status(browser=site.browser.tab()) for _ in range(5)] == [503] * 5
    link.release()
    assert finding_out.result().status == 200
    assert site.status() == 200
    patient.close()
    link.cut()


def test_one_answer_that_is_lost_stops_nobody_else(
    make_site: MakeSite, redis_server: RedisServer, emulator: Emulator
) -> None:
    """A lost connection, one server of a cluster, a store that is busy: others are served meanwhile."""
    link = HeldLink(redis_server)
    engine = redis_engine(link)
    site = make_site(engine, redis_server)
    bob = Browser(emulator, user="bob@example.com")
    assert bob.get(f"{site.url}/private").status == 200
    link.hold()
    lost = Running(lambda: site.browser.tab().fetch(f"{site.url}/api"))
    assert link.held.wait(PATIENCE)
    assert site.status(browser=bob) == 200
    assert lost.result().status == 503
    assert site.breaker.state == "closed"
    assert [site.status(browser=someone) for someone in (bob, site.browser)] == [200, 200]
    link.release()
    engine.close()
    link.cut()


def test_writes_that_hang_stop_no_reads(site: Site, redis_server: RedisServer) -> None:
    with redis_client(redis_server) as administrator:
        administrator.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
        try:
            for _ in range(2):
                assert site.status("/cart/add/pear") == 200
                assert site.status() == 200
            assert site.breaker.state == "closed"
        finally:
            administrator.execute_command("CLIENT", "UNPAUSE")
    assert site.browser.fetch(f"{site.url}/cart/add/plum").json()[-1] == "plum"


def test_a_file_that_somebody_writes_for_long_stops_no_reads(make_site: MakeSite, tmp_path: Path) -> None:
    """The embedded store: a write waits its second and fails."""
    site = make_site(embedded(tmp_path), server=None)  # type: ignore[arg-type]
    with closing(sqlite3.connect(tmp_path / "instance" / EMBEDDED_FILE, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert site.status("/cart/add/pear") == 200
        assert time.monotonic() - began > BUSY_SECONDS / 2
        assert site.status() == 200
    assert site.breaker.state == "closed"


def test_values_that_the_store_refuses_stop_nobody(
    make_site: MakeSite, memcached_server: MemcachedServer
) -> None:
    """Attack: fill one's own session beyond memcached's limit, again and again."""
    engine = memcached_engine(memcached_server)
    site = make_site(engine, memcached_server)
    greedy = site.browser.tab()
    for _ in range(5):
        assert site.status("/cart/fill/2000000", greedy) == 200
        assert site.status() == 200
    assert site.breaker.state == "closed"
    assert site.browser.fetch(f"{site.url}/cart").json() == ["apple"]
    engine.close()


# The log


def test_one_error_and_a_line_for_each_id_that_was_shown(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        site.hang()
        shown = []
        for _ in range(5):
            shown.append(site.browser.fetch(f"{site.url}/api").json()["incidentId"])
            (on_page,) = re.findall(
                r"<code>([0-9a-f]{10})</code>", site.browser.get(f"{site.url}/private").text
            )
            shown.append(on_page)
            for path in ("/public", "/cart", "/cart/add/x", "/who"):
                assert site.status(path) == 200
        site.server.resume()
        site.clock.now += FIRST_PAUSE * JITTER
        assert site.status() == 200
    records = [record for record in caplog.records if record.name == "flask_centralauth"]
    (error,) = [record for record in records if record.levelno == logging.ERROR]
    assert error.exc_info
    warnings = [record for record in records if record.levelno == logging.WARNING]
    hangs, *refused, answers = [record.getMessage() for record in warnings]
    assert "hangs" in hangs
    assert "not hang any more" in answers
    assert "not asked 30 times" in answers
    assert [incident in line for incident, line in zip(shown, refused, strict=True)] == [True] * len(shown)
    assert not any(record.exc_info for record in warnings)
    # Whoever wants them has the pages that went without a session too.
    assert sum(record.levelno == logging.INFO for record in records) == 20


def test_counters_show_it(site: Site) -> None:
    counters = site.worker.centralauth
    with site.worker.app.app_context():
        assert counters.counters.store_breaker == "closed"
        site.hang()
        assert (counters.counters.store_breaker, counters.counters.breaker) == ("open", "closed")
