"""A login on every engine: it holds, it ends when it should, and it is nobody else's."""

from __future__ import annotations

import random
import time

import pytest

from flask_centralauth.emulator import Emulator
from tests.browser_client import Browser
from tests.conftest import LiveServer, RunServer
from tests.cookie_jar import CookieJar

from .conftest import MakeWorker
from .store_engines import StoreEngine


def sid_of(browser: Browser) -> str:
    cookie = browser.cookies.get("session")
    assert cookie is not None
    return cookie.value


def start_login(browser: Browser, url: str) -> str:
    """Go to a protected page up to CentralAuth's door, and return the callback that login leads to."""
    assert browser.emulator is not None
    login = browser.get(url, follow=False).last.location
    assert login is not None
    authorize = browser.get(login, follow=False).last.location
    assert authorize is not None
    return browser.emulator.authorize(
        authorize, user=browser.user or "", ip=browser.ip, user_agent=browser.user_agent
    )


def test_login_view_logout(
    engine: StoreEngine, make_worker: MakeWorker, live_server: RunServer, browser: Browser
) -> None:
    worker = make_worker(engine)
    server = live_server(worker.app)
    assert browser.get(f"{server.url}/private").text == "alice@example.com"
    assert browser.get(f"{server.url}/private").status == 200
    thief = browser.cookies.copy()
    sid = sid_of(browser)
    assert worker.stored(sid) is not None

    browser.submit(f"{server.url}/api/auth/logout")
    assert browser.fetch(f"{server.url}/api").status == 401
    assert browser.cookies.get("session") is None
    assert worker.stored(sid) is None
    # A copy of the cookie is worth nothing.
    assert Browser(cookies=thief).fetch(f"{server.url}/api").status == 401


def test_logout_is_final_in_every_worker_at_once(
    engine: StoreEngine, make_worker: MakeWorker, live_server: RunServer, browser: Browser
) -> None:
    first, second = (live_server(make_worker(engine).app) for _ in range(2))
    browser.get(f"{first.url}/private")
    thief = Browser(cookies=browser.cookies.copy())
    # Both workers have it in memory now.
    assert [thief.fetch(f"{server.url}/api").status for server in (first, second)] == [200, 200]
    browser.submit(f"{first.url}/api/auth/logout")
    assert [thief.fetch(f"{server.url}/api").status for server in (first, second)] == [401, 401]


def test_logout_user_ends_all_their_logins_within_a_second(
    engine: StoreEngine, make_worker: MakeWorker, live_server: RunServer, emulator: Emulator
) -> None:
    workers = [make_worker(engine), make_worker(engine)]
    servers = [live_server(worker.app) for worker in workers]
    alices = [Browser(emulator) for _ in range(3)]
    bob = Browser(emulator, user="bob@example.com")
    for browser in (*alices, bob):
        browser.get(f"{servers[0].url}/private")
        assert browser.fetch(f"{servers[1].url}/api").status == 200
    ended = time.monotonic()
    workers[0].logout_user(next(user.id for user in emulator.users if user.email == "alice@example.com"))
    # At once where it was said.
    assert alices[0].fetch(f"{servers[0].url}/api").status == 401
    while (asked := time.monotonic()) and alices[1].fetch(f"{servers[1].url}/api").status != 401:
        assert asked - ended < 1.0
    assert alices[2].fetch(f"{servers[1].url}/api").status == 401
    assert [bob.fetch(f"{server.url}/api").status for server in servers] == [200, 200]
    # It ends what was, not what comes.
    assert alices[0].get(f"{servers[1].url}/private").text == "alice@example.com"
    assert alices[0].fetch(f"{servers[0].url}/api").status == 200


def test_restored_tabs_all_arrive(
    engine: StoreEngine, make_worker: MakeWorker, live_server: RunServer, emulator: Emulator
) -> None:
    """AT-1.1: five tabs start before the browser has stored any cookie of them."""
    server = live_server(make_worker(engine).app)
    jar = CookieJar()
    callbacks = []
    for number in range(5):
        tab = Browser(emulator)
        callbacks.append((f"/private?tab={number}", start_login(tab, f"{server.url}/private?tab={number}")))
        for name in {cookie.name for cookie in tab.cookies}:
            cookie = tab.cookies.get(name)
            assert cookie is not None
            jar.store(server.url, f"{name}={cookie.value}; Path=/; HttpOnly; SameSite=Lax")
    browser = Browser(emulator, cookies=jar)
    random.Random(7).shuffle(callbacks)
    for page, callback in callbacks:
        answer = browser.get(callback)
        assert [hop.status for hop in answer.hops] == [303, 200]
        assert answer.path == page
    assert browser.fetch(f"{server.url}/api").status == 200
    assert emulator.requests.count("verify") == 5


def test_session_id_changes_and_the_cart_stays(
    engine: StoreEngine, make_worker: MakeWorker, live_server: RunServer, browser: Browser
) -> None:
    """AT-8.1: session fixation, and what an anonymous visitor brought along."""
    worker = make_worker(engine)
    server = live_server(worker.app)
    browser.get(f"{server.url}/cart/add/apple")
    planted = sid_of(browser)
    attacker = Browser(cookies=browser.cookies.copy())

    browser.get(f"{server.url}/private")
    logged_in = sid_of(browser)
    assert logged_in != planted
    assert worker.stored(planted) is None
    assert attacker.fetch(f"{server.url}/api").status == 401
    assert attacker.fetch(f"{server.url}/cart").json() == []
    assert browser.fetch(f"{server.url}/cart").json() == ["apple"]

    browser.get(f"{server.url}/api/auth/affirm?return_to=/private")
    affirmed = sid_of(browser)
    assert affirmed != logged_in
    assert worker.stored(logged_in) is None
    assert browser.fetch(f"{server.url}/api").status == 200
    assert browser.fetch(f"{server.url}/cart").json() == ["apple"]

    # The application may rotate whenever it wants to.
    browser.get(f"{server.url}/rotate")
    assert sid_of(browser) != affirmed
    assert worker.stored(affirmed) is None
    assert browser.fetch(f"{server.url}/api").status == 200


def test_an_id_of_somebody_s_choice_is_not_adopted(
    engine: StoreEngine, make_worker: MakeWorker, live_server: RunServer, browser: Browser
) -> None:
    server = live_server(make_worker(engine).app)
    browser.cookies.store(server.url, "session=chosen-by-an-attacker-0123456789; Path=/")
    browser.get(f"{server.url}/cart/add/apple")
    assert sid_of(browser) != "chosen-by-an-attacker-0123456789"


def test_another_user_in_the_same_browser_starts_with_nothing(
    engine: StoreEngine, make_worker: MakeWorker, live_server: RunServer, browser: Browser
) -> None:
    worker = make_worker(engine)
    server = live_server(worker.app)
    browser.get(f"{server.url}/private")
    browser.get(f"{server.url}/cart/add/secret")
    of_alice = browser.cookies.copy()
    sid = sid_of(browser)

    browser.user = "bob@example.com"
    browser.get(f"{server.url}/api/auth/login?return_to=/private")
    assert browser.fetch(f"{server.url}/who").json() == "bob@example.com"
    assert browser.fetch(f"{server.url}/cart").json() == []
    assert sid_of(browser) != sid
    assert worker.stored(sid) is None
    assert Browser(cookies=of_alice).fetch(f"{server.url}/who").json() is None

    browser.get(f"{server.url}/cart/add/of-bob")
    browser.submit(f"{server.url}/api/auth/logout")
    assert browser.fetch(f"{server.url}/cart").json() == []


def test_callback_used_again_asks_nobody(
    engine: StoreEngine, make_worker: MakeWorker, live_server: RunServer, browser: Browser, emulator: Emulator
) -> None:
    """AT-1.3 and AT-1.7."""
    server = live_server(make_worker(engine).app)
    callback = start_login(browser, f"{server.url}/private")
    cookies_of_attempt = browser.cookies.copy()
    browser.get(callback)
    assert emulator.requests.count("verify") == 1

    again = browser.get(callback)
    assert [hop.status for hop in again.hops] == [303, 200]
    assert browser.fetch(f"{server.url}/api").status == 200
    # Neither with the cookie of the attempt nor without is anybody else let in.
    for cookies, refusal in ((cookies_of_attempt, 302), (CookieJar(), 400)):
        stranger = Browser(cookies=cookies)
        assert stranger.get(callback, follow=False).status == refusal
        assert stranger.fetch(f"{server.url}/api").status == 401
    assert emulator.requests.count("verify") == 1


def test_a_change_deep_inside_the_session_is_kept(
    engine: StoreEngine, make_worker: MakeWorker, live_server: RunServer, browser: Browser
) -> None:
    server = live_server(make_worker(engine).app)
    browser.get(f"{server.url}/cart/add/apple")
    browser.get(f"{server.url}/cart/append/pear")
    assert browser.fetch(f"{server.url}/cart").json() == ["apple", "pear"]


@pytest.fixture
def corrupted(
    engine: StoreEngine, make_worker: MakeWorker, live_server: RunServer, browser: Browser
) -> LiveServer:
    """A server whose store has rubbish under the session id that the browser has."""
    worker = make_worker(engine)
    server = live_server(worker.app)
    browser.get(f"{server.url}/private")
    worker.store(sid_of(browser), b"\xc1 not a session \xff")
    return server


def test_corrupt_session_is_no_session(corrupted: LiveServer, browser: Browser) -> None:
    """AT-9.2: signed out with a fresh id, and nobody is locked out."""
    sid = sid_of(browser)
    assert browser.fetch(f"{corrupted.url}/api").status == 401
    assert browser.get(f"{corrupted.url}/public").status == 200
    assert browser.get(f"{corrupted.url}/private").text == "alice@example.com"
    assert sid_of(browser) != sid
    assert browser.fetch(f"{corrupted.url}/api").status == 200


def test_corrupt_login_record_is_no_login(
    engine: StoreEngine, make_worker: MakeWorker, live_server: RunServer, emulator: Emulator
) -> None:
    """Values of every kind where a record should be, in a worker that has not seen the login."""
    worker = make_worker(engine)
    server = live_server(worker.app)
    for record in (b"\xff", b"[]", b'{"user": 3, "checked": "x", "visitor": null}', b"[" * 5000):
        browser = Browser(emulator)
        browser.get(f"{server.url}/private")
        assert worker.overwrite_login_record(sid_of(browser), record)
        fresh = live_server(make_worker(engine).app)
        assert browser.fetch(f"{fresh.url}/api").status == 401
        assert browser.get(f"{fresh.url}/private").text == "alice@example.com"


@pytest.mark.parametrize(
    "cookie",
    [
        "session",
        "session=",
        "session=%E0%A4%A",
        "session=a=b=c",
        'session="',
        "session=../../etc/passwd",
        "session=" + "x" * 3000,
        "session=" + "x" * 300,
        "session=\u00e9\u00e8",
        "session=a b",
        "session=a\tb",
        "session=*",
        "; ;=; ,session=1",
        "; ".join(f"c{number}={number}" for number in range(300)),
        "session=$\\073; session=2",
    ],
)
def test_strange_cookies_are_nobody_s(
    engine: StoreEngine, make_worker: MakeWorker, live_server: RunServer, cookie: str
) -> None:
    """ATK-31: cookie headers that break parsers and keys that break clients of stores."""
    server = live_server(make_worker(engine).app)
    sent = {"Cookie": cookie.encode("utf-8").decode("latin-1")}
    assert Browser().fetch(f"{server.url}/who", headers=sent).json() is None
    assert Browser().fetch(f"{server.url}/api", headers=sent).status == 401
    assert Browser().get(f"{server.url}/private", headers=sent, follow=False).status == 302


def test_anonymous_traffic_leaves_no_record(engine: StoreEngine, make_worker: MakeWorker) -> None:
    worker = make_worker(engine)
    before = engine.records()
    client = worker.app.test_client(use_cookies=False)
    for _ in range(40):
        assert client.get("/public").status_code == 200
        assert client.get("/who").json is None
        assert client.get("/api").status_code == 401
        assert client.get("/private", headers={"Accept": "text/html"}).status_code == 302
        assert client.get("/api/auth/login", headers={"Accept": "text/html"}).status_code == 302
    assert engine.records() == before
