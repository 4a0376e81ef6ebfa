"""What the store has to do, counted by Redis itself."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import redis
from flask import Response, session

from flask_centralauth.emulator import Emulator
from tests.browser_client import Browser
from tests.conftest import RunServer

from .application import Application
from .conftest import MakeWorker
from .servers import RedisServer
from .store_engines import StoreEngine, redis_client, redis_engine
from .test_logins_on_engines import sid_of

LIFETIME = 31 * 24 * 3600
TEN_DAYS = 10 * 24 * 3600


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis_client(redis_server) as client:
        yield client


@pytest.fixture
def redis_store(redis_server: RedisServer) -> Iterator[StoreEngine]:
    engine = redis_engine(redis_server)
    yield engine
    engine.close()


@pytest.fixture
def worker(redis_store: StoreEngine, make_worker: MakeWorker) -> Application:
    return make_worker(redis_store)


def keys(store: redis.Redis) -> list[bytes]:
    return list(store.scan_iter())


@contextmanager
def commands(store: redis.Redis) -> Iterator[Counter[str]]:
    """Count what Redis is told inside the block, the questions of this function left out."""
    store.config_resetstat()
    counted: Counter[str] = Counter()
    yield counted
    for name, statistics in store.info("commandstats").items():
        command = name.removeprefix("cmdstat_")
        if not command.startswith(("config", "info", "client", "hello")):
            counted[command] = int(statistics["calls"])


def test_anonymous_visitors_cost_the_store_nothing(worker: Application, store: redis.Redis) -> None:
    """AT-9.4, ATK-32: a thousand requests without a cookie, two hundred of them logins that bots start."""
    client = worker.app.test_client(use_cookies=False)
    navigation = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    with commands(store) as counted:
        for _ in range(200):
            assert client.get("/public").status_code == 200
            assert client.get("/who").status_code == 200
            assert client.get("/static/missing.css").status_code == 404
            assert client.get("/api").status_code == 401
            assert client.get("/private", headers=navigation).status_code == 302
        for _ in range(200):
            assert client.get("/api/auth/login", headers=navigation).status_code == 302
    assert counted == {}
    assert store.dbsize() == 0


def test_steady_view_is_one_read(
    worker: Application, store: redis.Redis, live_server: RunServer, browser: Browser
) -> None:
    seen: list[bool] = []

    @worker.app.after_request
    def look(response: Response) -> Response:
        seen.append(session.modified)
        return response

    url = live_server(worker.app).url
    browser.get(f"{url}/private")
    browser.fetch(f"{url}/api")
    seen.clear()
    views, began = 50, time.monotonic()
    with commands(store) as counted:
        for _ in range(views):
            answer = browser.fetch(f"{url}/api")
            assert answer.status == 200
            assert "Set-Cookie" not in answer.headers
    news = math.ceil((time.monotonic() - began) / 0.8) + 1
    assert set(counted) <= {"get", "mget"}
    assert counted["get"] == views
    assert counted["mget"] <= news
    assert not any(seen)


def test_a_request_that_asks_nobody_reads_once_and_writes_nothing(
    worker: Application, store: redis.Redis, live_server: RunServer, browser: Browser
) -> None:
    url = live_server(worker.app).url
    browser.get(f"{url}/private")
    with commands(store) as counted:
        assert browser.fetch(f"{url}/public").status == 200
    assert counted == {"get": 1}


def test_fifty_started_logins_fit_into_the_browser(
    worker: Application, store: redis.Redis, live_server: RunServer, browser: Browser
) -> None:
    """AT-1.6."""
    url = live_server(worker.app).url
    browser.get(f"{url}/cart/add/apple")
    (key,) = keys(store)
    content = store.get(key)
    attempts: list[str | None] = []
    for number in range(50):
        page = browser.get(f"{url}/api/auth/login?return_to=/private?tab={number}", follow=False)
        attempts.append(page.last.location)
    cookies = [cookie for cookie in browser.cookies if "centralauth_" in cookie.name]
    assert 1 <= len(cookies) <= 6
    assert len(browser.cookies.header(url)) < 4096
    assert keys(store) == [key]
    assert store.get(key) == content
    # The newest one is the one the person is in.
    assert browser.get(attempts[-1] or "").path == "/private?tab=49"


def test_life_of_a_login_slides_with_use(
    worker: Application, store: redis.Redis, live_server: RunServer, browser: Browser, emulator: Emulator
) -> None:
    emulator.configure(max_session_time=0)
    url = live_server(worker.app).url
    browser.get(f"{url}/private")
    worker.backdate(sid_of(browser), TEN_DAYS, left=LIFETIME - TEN_DAYS)
    of_login = [key for key in keys(store) if b":used:" not in key]
    for key in of_login:
        store.expire(key, LIFETIME - TEN_DAYS)
    with commands(store) as counted:
        answer = browser.fetch(f"{url}/api")
    assert counted["set"] == 0
    assert counted["expire"] == 2
    for key in of_login:
        assert LIFETIME - 60 <= store.ttl(key) <= LIFETIME
    cookie = browser.cookies.get("session")
    assert cookie is not None
    assert cookie.expires is not None
    assert cookie.expires >= time.time() + LIFETIME - 60
    assert "Cookie" in answer.headers["Vary"]
    # Once is enough.
    with commands(store) as counted:
        assert "Set-Cookie" not in browser.fetch(f"{url}/api").headers
    assert set(counted) == {"get"}


def test_a_page_that_does_not_look_at_the_session_extends_nothing(
    worker: Application, store: redis.Redis, live_server: RunServer, browser: Browser, emulator: Emulator
) -> None:
    """A cookie on a public, cacheable answer would hand the session to everybody behind the cache."""
    emulator.configure(max_session_time=0)
    url = live_server(worker.app).url
    browser.get(f"{url}/private")
    worker.backdate(sid_of(browser), TEN_DAYS, left=LIFETIME - TEN_DAYS)
    with commands(store) as counted:
        assert "Set-Cookie" not in browser.fetch(f"{url}/public").headers
    assert counted == {"get": 1}


def test_a_session_that_has_gone_is_not_extended(
    worker: Application, store: redis.Redis, live_server: RunServer, browser: Browser, emulator: Emulator
) -> None:
    emulator.configure(max_session_time=0)
    url = live_server(worker.app).url
    browser.get(f"{url}/private")
    worker.backdate(sid_of(browser), TEN_DAYS, left=LIFETIME - TEN_DAYS)
    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(browser.tab().get, f"{url}/slow/read")
        worker.gate.wait_for_arrival()
        browser.submit(f"{url}/api/auth/logout")
        worker.gate.open()
        assert "Set-Cookie" not in slow.result().headers
    assert not [key for key in keys(store) if key.startswith(b"session:")]


def test_nothing_outlives_the_token(
    worker: Application, store: redis.Redis, live_server: RunServer, browser: Browser, emulator: Emulator
) -> None:
    """`expires_in` is 600 seconds: neither session, record nor cookie may say more, also after use."""
    emulator.configure(max_session_time=600)
    url = live_server(worker.app).url
    browser.get(f"{url}/private")
    browser.get(f"{url}/cart/add/apple")
    worker.backdate(sid_of(browser), 300, left=300)
    browser.fetch(f"{url}/api")
    assert store.ttl(f"{worker.guard.key_prefix}{sid_of(browser)}") <= 300
    browser.get(f"{url}/cart/add/pear")
    assert all(0 < store.ttl(key) <= 600 for key in keys(store) if b":used:" not in key)
    cookie = browser.cookies.get("session")
    assert cookie is not None
    assert cookie.expires is not None
    assert cookie.expires <= time.time() + 600


def test_login_and_logout_leave_a_trace_and_nothing_else(
    worker: Application, store: redis.Redis, live_server: RunServer, browser: Browser
) -> None:
    url = live_server(worker.app).url
    with commands(store) as login:
        browser.get(f"{url}/private")
    with commands(store) as logout:
        browser.submit(f"{url}/api/auth/logout")
    # That the callback was used, and that a login has ended.
    assert sorted(key.split(b":")[2] for key in keys(store)) == [b"ended", b"used"]
    assert sum(login.values()) <= 10
    assert sum(logout.values()) <= 7


def test_other_peoples_logouts_cost_a_view_nothing(
    worker: Application, store: redis.Redis, live_server: RunServer, browser: Browser, emulator: Emulator
) -> None:
    url = live_server(worker.app).url
    browser.get(f"{url}/private")
    leaving = [Browser(emulator, user="bob@example.com") for _ in range(10)]
    for other in leaving:
        other.get(f"{url}/private")
    lookups = 0
    for other in leaving:
        other.submit(f"{url}/api/auth/logout")  # this worker reads the news at the next view
        with commands(store) as counted:
            assert browser.fetch(f"{url}/api").status == 200
        assert counted["get"] == 1
        lookups += counted["mget"] - 1  # the news itself
    # One in 256 is looked at again.
    assert lookups <= 2
