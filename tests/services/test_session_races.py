"""Requests that overlap, on every engine, with real threads that wait for each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from flask_centralauth.emulator import Emulator
from tests.browser_client import Browser
from tests.browser_page import Page
from tests.conftest import RunServer

from .application import Application
from .conftest import MakeWorker
from .store_engines import StoreEngine
from .test_logins_on_engines import sid_of, start_login

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def worker(engine: StoreEngine, make_worker: MakeWorker) -> Application:
    return make_worker(engine)


@pytest.fixture
def url(worker: Application, live_server: RunServer) -> str:
    return live_server(worker.app).url


@pytest.fixture
def other_url(engine: StoreEngine, make_worker: MakeWorker, live_server: RunServer) -> str:
    """Another worker of the same application, which has seen nothing yet."""
    return live_server(make_worker(engine).app).url


def held(threads: ThreadPoolExecutor, worker: Application, request: Callable[[], Page]) -> Future[Page]:
    """Start a request that has opened its session and waits at the gate."""
    running = threads.submit(request)
    worker.gate.wait_for_arrival()
    return running


def test_parallel_logins_of_one_session_all_arrive(
    worker: Application, url: str, browser: Browser, threads: ThreadPoolExecutor, emulator: Emulator
) -> None:
    """AT-1.2: three callbacks have opened the same anonymous session before any of them goes on."""
    browser.get(f"{url}/cart/add/apple")
    tabs = [browser.tab() for _ in range(3)]
    callbacks = [start_login(tab, f"{url}/private?tab={number}") for number, tab in enumerate(tabs)]
    worker.before_callback = threading.Barrier(3)
    jars = [browser.cookies.copy() for _ in tabs]
    for tab, jar in zip(tabs, jars, strict=True):
        tab.cookies = jar
    answers = list(
        threads.map(lambda job: job[0].get(job[1], follow=False), zip(tabs, callbacks, strict=True))
    )
    assert [answer.status for answer in answers] == [303, 303, 303]
    locations = [answer.last.location for answer in answers]
    assert locations == [f"{url}/private?tab={number}" for number in range(3)]
    # Whichever answer the browser takes last, it is logged in and has its cart.
    for jar in jars:
        kept = Browser(cookies=jar)
        assert kept.fetch(f"{url}/api").status == 200
        assert kept.fetch(f"{url}/cart").json() == ["apple"]
    assert emulator.requests.count("verify") == 3


def test_one_callback_sent_twice_at_once_is_verified_once(
    worker: Application, url: str, browser: Browser, threads: ThreadPoolExecutor, emulator: Emulator
) -> None:
    """ATK-13: a double click, or a scanner that follows the link."""
    callback = start_login(browser, f"{url}/private")
    worker.before_callback = threading.Barrier(4)
    tabs = [Browser(cookies=browser.cookies.copy()) for _ in range(4)]
    answers = list(threads.map(lambda tab: tab.get(callback, follow=False), tabs))
    assert emulator.requests.count("verify") == 1
    assert sorted(answer.status for answer in answers) == [302, 302, 302, 303]
    logged_in = [tab.fetch(f"{url}/api").status for tab in tabs]
    assert sorted(logged_in) == [200, 401, 401, 401]


@pytest.mark.parametrize("page", ["/slow/read", "/slow/write"])
def test_what_ran_during_a_logout_brings_no_login_back(
    worker: Application, url: str, other_url: str, browser: Browser, threads: ThreadPoolExecutor, page: str
) -> None:
    """AT-8.2, ATK-25: the zombie."""
    browser.get(f"{url}/private")
    sid = sid_of(browser)
    thief = browser.cookies.copy()
    slow = held(threads, worker, lambda: browser.tab().get(url + page))
    browser.submit(f"{url}/api/auth/logout")
    worker.gate.open()
    assert slow.result().json()["email"] == "alice@example.com"  # it began as hers
    assert worker.stored(sid) is None
    assert browser.cookies.get("session") is None
    for server in (url, other_url):
        assert Browser(cookies=thief).fetch(f"{server}/api").status == 401
        assert browser.fetch(f"{server}/api").status == 401


@pytest.mark.parametrize(
    ("page", "cart"),
    # A browser that gets its first session too late is the one case no server can tell.
    [("/slow/read", True), ("/slow/write", True), ("/slow/clear", True), ("/slow/read", False)],
)
def test_a_late_anonymous_answer_leaves_the_browser_logged_in(
    worker: Application, url: str, browser: Browser, threads: ThreadPoolExecutor, page: str, cart: bool
) -> None:
    """AT-8.3."""
    if cart:
        browser.get(f"{url}/cart/add/apple")
    slow = held(threads, worker, lambda: browser.tab().get(url + page))
    assert browser.get(f"{url}/private").text == "alice@example.com"
    sid = sid_of(browser)
    worker.gate.open()
    assert "Set-Cookie" not in slow.result().headers
    assert sid_of(browser) == sid
    assert browser.fetch(f"{url}/api").status == 200


@pytest.mark.parametrize("page", ["/slow/read", "/slow/write", "/slow/clear"])
def test_a_late_answer_of_the_former_user_changes_nothing(
    worker: Application, url: str, browser: Browser, threads: ThreadPoolExecutor, page: str
) -> None:
    """AT-8.4: Alice logs out, Bob logs in, and only then a request of Alice ends."""
    browser.get(f"{url}/private")
    browser.get(f"{url}/cart/add/of-alice")
    slow = held(threads, worker, lambda: browser.tab().get(url + page))
    browser.submit(f"{url}/api/auth/logout")
    browser.user = "bob@example.com"
    assert browser.get(f"{url}/private").text == "bob@example.com"
    sid = sid_of(browser)
    worker.gate.open()
    assert "Set-Cookie" not in slow.result().headers
    assert sid_of(browser) == sid
    assert browser.fetch(f"{url}/who").json() == "bob@example.com"
    assert browser.fetch(f"{url}/cart").json() == []


def test_a_late_answer_of_the_user_before_a_switch_changes_nothing(
    worker: Application, url: str, browser: Browser, threads: ThreadPoolExecutor
) -> None:
    """Bob logs in over Alice, without a logout in between."""
    browser.get(f"{url}/private")
    slow = held(threads, worker, lambda: browser.tab().get(f"{url}/slow/write"))
    browser.user = "bob@example.com"
    browser.get(f"{url}/api/auth/login?return_to=/private")
    worker.gate.open()
    assert "Set-Cookie" not in slow.result().headers
    assert browser.fetch(f"{url}/who").json() == "bob@example.com"


def test_a_session_that_is_written_back_is_no_login(
    worker: Application, url: str, other_url: str, browser: Browser
) -> None:
    """By whatever: another program, a replica that had missed the logout, an engine without conditions."""
    browser.get(f"{url}/private")
    copy = Browser(cookies=browser.cookies.copy())
    assert copy.fetch(f"{other_url}/api").status == 200
    sid = sid_of(browser)
    session = worker.stored(sid)
    assert session is not None
    browser.submit(f"{url}/api/auth/logout")
    ended = time.monotonic()
    worker.store(sid, session)
    assert copy.fetch(f"{url}/api").status == 401
    worker.store(sid, session)
    while (asked := time.monotonic()) and copy.fetch(f"{other_url}/api").status != 401:
        assert asked - ended < 1.0
        worker.store(sid, session)


def test_a_logout_is_final_before_its_request_ends(
    worker: Application, url: str, other_url: str, browser: Browser, threads: ThreadPoolExecutor
) -> None:
    browser.get(f"{url}/private")
    copy = Browser(cookies=browser.cookies.copy())
    assert copy.fetch(f"{other_url}/api").status == 200
    leaving = held(threads, worker, lambda: browser.tab().get(f"{url}/slow/logout"))
    for server in (other_url, url):
        assert copy.fetch(f"{server}/api").status == 401
    worker.gate.open()
    leaving.result()
    assert browser.cookies.get("session") is None


def test_a_request_that_learns_late_that_its_login_is_over_disturbs_nobody(
    engine: StoreEngine,
    make_worker: MakeWorker,
    live_server: RunServer,
    browser: Browser,
    threads: ThreadPoolExecutor,
    emulator: Emulator,
) -> None:
    """CentralAuth's "no" about Alice comes when Bob is already in: neither message nor cookie for him."""
    url = live_server(make_worker(engine, CENTRALAUTH_USER_TTL=0).app).url
    browser.get(f"{url}/private")
    check = emulator.fail("userinfo", hang=True, error_code="sessionExpired")
    slow = threads.submit(browser.tab().get, f"{url}/private", follow=False)
    check.wait()
    browser.submit(f"{url}/api/auth/logout")
    browser.user = "bob@example.com"
    assert browser.get(f"{url}/private").text == "bob@example.com"
    sid = sid_of(browser)
    check.release()
    answer = slow.result()
    assert answer.status in (302, 401)
    assert not [cookie for cookie in answer.headers.getlist("Set-Cookie") if cookie.startswith("session=")]
    assert sid_of(browser) == sid
    assert browser.fetch(f"{url}/who").json() == "bob@example.com"


@pytest.mark.parametrize("how", ["logout", "logout_user"])
def test_a_check_that_ends_after_a_logout_revives_nobody(
    worker: Application,
    url: str,
    other_url: str,
    browser: Browser,
    threads: ThreadPoolExecutor,
    emulator: Emulator,
    how: str,
) -> None:
    """CentralAuth says "still valid" about a login that ended here while it was asked."""
    browser.get(f"{url}/private")
    copy = browser.cookies.copy()
    bystander = Browser(emulator, user="bob@example.com")
    bystander.get(f"{url}/private")
    check = emulator.fail("userinfo", hang=True)
    # The worker that knows nothing of this browser has to ask: it comes with another agent.
    agent = "Mozilla/5.0 (another browser of the tests)"
    asking = threads.submit(Browser(cookies=copy, user_agent=agent).fetch, f"{url}/api")
    check.wait()
    if how == "logout":
        browser.submit(f"{url}/api/auth/logout")
    else:
        worker.logout_user(next(user.id for user in emulator.users if user.email == "alice@example.com"))
    # Somebody else's request makes the worker read what has changed.
    assert bystander.fetch(f"{url}/api").status == 200
    check.release()
    asking.result()
    for server in (url, other_url):
        assert Browser(cookies=copy, user_agent=agent).fetch(f"{server}/api").status == 401
        assert Browser(cookies=copy).fetch(f"{server}/api").status == 401


def test_logout_user_during_a_login_ends_it_or_comes_before_it(
    worker: Application, url: str, browser: Browser, threads: ThreadPoolExecutor, emulator: Emulator
) -> None:
    """A login that has been answered when `logout_user` is called does not survive it."""
    alice = next(user.id for user in emulator.users if user.email == "alice@example.com")
    callback = start_login(browser, f"{url}/private")
    check = emulator.fail("userinfo", hang=True)
    login = threads.submit(browser.get, callback, follow=False)
    check.wait()
    # The login has not begun here: it is after this one.
    worker.logout_user(alice)
    check.release()
    assert login.result().status == 303
    assert browser.fetch(f"{url}/api").status == 200
    worker.logout_user(alice)
    assert browser.fetch(f"{url}/api").status == 401


def test_requests_that_end_a_login_together_leave_one_message_and_no_cookie_of_a_dead_session(
    worker: Application, url: str, browser: Browser, threads: ThreadPoolExecutor, emulator: Emulator
) -> None:
    """AT-11.4: twenty requests find out at once that CentralAuth has ended the login."""
    browser.get(f"{url}/private")
    copy = browser.cookies.copy()
    emulator.fail("userinfo", error_code="sessionExpired", times=None)
    agent = "Mozilla/5.0 (another browser of the tests)"
    together = threading.Barrier(8)

    def ask(_number: int) -> Page:
        tab = Browser(cookies=copy.copy(), user_agent=agent)
        together.wait(15)
        return tab.get(f"{url}/private", follow=False)

    answers = list(threads.map(ask, range(8)))
    assert {answer.status for answer in answers} <= {302, 401}
    cookies = [
        header
        for answer in answers
        for header in answer.headers.getlist("Set-Cookie")
        if "session=" in header
    ]
    assert len(cookies) <= 1
