"""Checks that take long: pages go on with the last answer, and what the check finds counts all the same."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from types import SimpleNamespace
from typing import Any

import pytest

from flask_centralauth import background, known_logins, thread_pool
from flask_centralauth.background import BackgroundCalls
from flask_centralauth.emulator.faults import Fault
from flask_centralauth.errors import ErrorCode, ServiceUnavailable
from flask_centralauth.login_record import Record
from flask_centralauth.login_session import Login
from flask_centralauth.login_store import LoginStore
from flask_centralauth.single_flight import SingleFlight
from flask_centralauth.testing import InProcessEmulator

from .browser_client import Browser
from .checked_site import CheckedSite, MakeCheckedSite, MovedClock, Running, add_pages, ended_sessions
from .conftest import MakeApp

pytest_plugins = ("tests.checked_fixtures",)
pytestmark = pytest.mark.usefixtures("impatient")

ALICE = ("alice@example.com", False)
STALE = ("alice@example.com", True)
RENAMED = ("alice.new@example.com", False)
#: Longer than any test: whoever waits for such a call fails.
LONG = 60.0


def test_one_page_at_a_time_waits_for_long(
    make_checked_site: MakeCheckedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service begins to hang while eight people are there: one of them waits until it answers."""
    monkeypatch.setattr(background, "PATIENCE", LONG)
    site = make_checked_site(CENTRALAUTH_TIMEOUT=LONG)
    people = [Browser(site.emulator, user=f"user{number}@example.com") for number in range(8)]
    for person in people:
        site.emulator.add_user(email=person.user or "")
        assert person.get(f"{site.url}/private").status == 200
        person.fetch(f"{site.url}/who")
    site.expire()
    held = site.fail(hang=True)
    with ThreadPoolExecutor(len(people)) as pool:
        answered = as_completed([pool.submit(site.fetcher(browser=person)) for person in people])
        pages = [next(answered).result() for _ in people[1:]]
        held.wait()
        site.recover()
        pages.append(next(answered).result())
    assert [page.status for page in pages] == [200] * 8
    assert [page.json()["stale"] for page in pages] == [False] * 8


def log_in_slowly(make_checked_site: MakeCheckedSite, **how: Any) -> tuple[CheckedSite, Fault]:
    """Somebody whose page has gone on without the check it began, which is still held."""
    site = make_checked_site(CENTRALAUTH_TIMEOUT=LONG)
    site.log_in()
    site.expire()
    held = site.fail(**{"hang": True, **how})
    assert site.who() == ALICE
    held.wait()
    return site, held


def rename(site: CheckedSite) -> None:
    (alice,) = (user for user in site.emulator.users if user.email == "alice@example.com")
    alice.email = "alice.new@example.com"


# What the call finds


def test_a_new_answer_counts_although_its_request_has_gone_on(make_checked_site: MakeCheckedSite) -> None:
    site, _held = log_in_slowly(make_checked_site)
    rename(site)
    other = make_checked_site()
    site.recover()
    site.settle()
    assert site.who() == RENAMED
    # The record has it too.
    assert other.who() == RENAMED
    assert site.asked == 1


def test_a_definite_no_ends_the_login_at_the_next_request(make_checked_site: MakeCheckedSite) -> None:
    with ended_sessions() as ended:
        site, _held = log_in_slowly(make_checked_site, error_code="sessionExpired")
        site.recover()
        site.settle()
        assert ended == []
        answers = [site.fetch(), site.fetch()]
    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].json()["errorCode"] == "sessionExpired"
    ((told),) = ended
    assert told["user"].email == "alice@example.com"
    assert site.asked == 1


def test_a_definite_no_counts_when_centralauth_is_dead_afterwards(make_checked_site: MakeCheckedSite) -> None:
    """The last answer stands in for one that is not to be had, not for one that there was."""
    site, _held = log_in_slowly(make_checked_site, error_code="sessionExpired")
    site.recover()
    site.settle()
    for _ in range(3):
        site.breaker.failed()
    assert site.breaker.refuses
    assert site.fetch().status == 401


def test_who_is_blocked_meanwhile_is_out_at_the_next_request(make_checked_site: MakeCheckedSite) -> None:
    site, _held = log_in_slowly(make_checked_site)
    (alice,) = (user for user in site.emulator.users if user.email == "alice@example.com")
    alice.blocked = True
    site.recover()
    site.settle()
    assert [site.fetch().status, site.fetch().status] == [403, 401]
    assert site.asked == 1


def test_a_logout_while_the_call_goes_on_wins(make_checked_site: MakeCheckedSite) -> None:
    site, _held = log_in_slowly(make_checked_site)
    thief = Browser(cookies=site.browser.cookies.copy())
    site.browser.get(f"{site.url}/")
    assert site.browser.submit("/api/auth/logout").status == 200
    site.recover()
    site.settle()
    assert thief.fetch(f"{site.url}/who").status == 401
    assert site.fetch().status == 401


def test_failures_nobody_waited_for_open_the_breaker(make_checked_site: MakeCheckedSite) -> None:
    site = make_checked_site(CENTRALAUTH_TIMEOUT=0.5)
    site.log_in()
    site.fail(hang=True)
    for _ in range(3):
        site.expire()
        site.who()
        site.settle()
    assert site.breaker.refuses
    assert site.who() == STALE
    assert site.asked == 3
    site.recover()


# Who waits


def test_nobody_else_waits_once_calls_are_known_to_be_slow(
    make_checked_site: MakeCheckedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The breaker is closed: not one worker after the other may stay with a call that hangs."""
    site = make_checked_site(CENTRALAUTH_TIMEOUT=LONG)
    bob = Browser(site.emulator, user="bob@example.com")
    assert bob.get(f"{site.url}/private").status == 200
    site.log_in()
    site.expire()
    site.fail(hang=True)
    assert site.who() == ALICE
    monkeypatch.setattr(background, "PATIENCE", LONG)
    assert bob.fetch(f"{site.url}/who").json() == {"email": "bob@example.com", "stale": False}
    # Both are asked about, and who has to have an answer waits for it.
    site.emulator.requests.wait_for("userinfo", count=2)
    fresh = Running(site.fetcher("/fresh", browser=bob))
    site.recover()
    assert fresh.result().status == 200
    site.settle()
    assert site.asked == 2


def test_after_a_quick_answer_people_wait_again(
    make_checked_site: MakeCheckedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, _held = log_in_slowly(make_checked_site)
    site.recover()
    site.settle()
    # From here on, whatever a busy machine takes is quick.
    monkeypatch.setattr(background, "PATIENCE", LONG)
    site.expire()
    # This one goes on at once, and finds out.
    site.who()
    site.settle()
    rename(site)
    site.expire()
    assert site.who() == RENAMED


def test_few_calls_are_under_way_while_they_are_slow(
    make_checked_site: MakeCheckedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "AT_ONCE_WHEN_SLOW", 1)
    site = make_checked_site(CENTRALAUTH_TIMEOUT=LONG)
    bob = Browser(site.emulator, user="bob@example.com")
    assert bob.get(f"{site.url}/private").status == 200
    site.log_in()
    site.expire()
    site.fail(hang=True)
    assert site.who() == ALICE
    assert bob.fetch(f"{site.url}/who").json() == {"email": "bob@example.com", "stale": False}
    site.recover()
    site.settle()
    assert site.asked == 1


def test_page_views_during_a_slow_check_do_not_ask_the_store(
    make_checked_site: MakeCheckedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are answered from memory; only now and then one looks for a new answer."""
    monkeypatch.setattr(known_logins, "OLD_SECONDS", 5.0)
    site, _held = log_in_slowly(make_checked_site)
    other = make_checked_site()
    assert other.who() == ALICE
    reads: list[object] = []
    live = LoginStore.live

    def live_counted(store: LoginStore, login: Login) -> Record | None:
        reads.append(login)
        return live(store, login)

    monkeypatch.setattr(LoginStore, "live", live_counted)
    for _ in range(10):
        assert site.who() == other.who() == ALICE
    assert reads == []
    site.clock.advance(5)
    assert site.who() == ALICE
    assert len(reads) == 1
    # A page that insists is not answered so.
    fresh = Running(site.fetcher("/fresh"))
    rename(site)
    site.recover()
    assert fresh.result().json()["email"] == "alice.new@example.com"


def test_another_browser_is_not_let_in_by_a_check_that_takes_long(make_checked_site: MakeCheckedSite) -> None:
    """Nobody knows whose browser this is: it waits."""
    site, _held = log_in_slowly(make_checked_site)
    other = Browser(cookies=site.browser.cookies.copy(), user_agent="Another/1.0")
    asking = Running(lambda: other.fetch(f"{site.url}/who"))
    site.emulator.requests.wait_for("userinfo", count=2)
    site.recover()
    assert asking.result().status == 401


# Threads


def threads_of_checks() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "centralauth-check"]


def test_threads_are_used_again_and_end_when_idle(
    make_checked_site: MakeCheckedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_checked_site()
    site.log_in()
    before, used = threads_of_checks(), set()
    for _ in range(3):
        site.expire()
        site.who()
        used |= set(threads_of_checks()).difference(before)
    assert len(used) == 1
    monkeypatch.setattr(thread_pool, "IDLE_SECONDS", 0.0)
    site.expire()
    site.who()
    for thread in used:
        thread.join(20)
        assert not thread.is_alive()
    site.expire()
    assert site.who() == ALICE


def test_where_no_thread_is_to_be_had_the_request_asks_itself(
    make_checked_site: MakeCheckedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refused:
        def __init__(self, **_options: object) -> None: ...

        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    site = make_checked_site()
    site.log_in()
    monkeypatch.setattr(thread_pool, "threading", SimpleNamespace(Thread=Refused))
    rename(site)
    site.expire()
    assert site.who() == RENAMED


def test_a_forked_process_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a parent was doing when it forked never ends in the child, and takes no room there."""
    monkeypatch.setattr(background, "AT_ONCE", 1)
    calls: BackgroundCalls[str] = BackgroundCalls(SingleFlight())
    over = threading.Event()

    def hang() -> str:
        over.wait(LONG)
        return "the parent's"

    assert calls.run("key", hang, instead="old", waits=False) == "old"
    assert calls.run("other", lambda: "new", instead="old") == "old"
    with pytest.MonkeyPatch.context() as child:
        child.setattr("os.getpid", lambda: -1)
        child.setattr(background, "PATIENCE", LONG)
        assert calls.run("key", lambda: "the child's", instead="old") == "the child's"
    over.set()


def test_a_call_that_hangs_keeps_no_process_from_exiting() -> None:
    program = """
import threading
from flask_centralauth.background import BackgroundCalls
from flask_centralauth.single_flight import SingleFlight
print(BackgroundCalls(SingleFlight()).run("key", threading.Event().wait, instead="gone on"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "gone on\n"


def test_an_emulator_without_sockets_needs_nothing_else(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "PATIENCE", LONG)
    clock = MovedClock()
    clock.install(monkeypatch)
    emulator = InProcessEmulator()
    config: dict[str, Any] = {**emulator.config}
    app = emulator.connect(make_app(**config))
    add_pages(app)
    client = app.test_client()
    client.get(emulator.authorize(client.get("/api/auth/login").location or ""))
    emulator.requests.clear()
    clock.advance(61)
    emulator.fail("userinfo", hang=True, times=1)
    assert client.get("/who").json == {"email": "alice@example.com", "stale": True}
    assert client.get("/who").json == {"email": "alice@example.com", "stale": False}
    assert emulator.requests.count("userinfo") == 2


def test_the_store_failing_behind_a_page_that_went_on(make_checked_site: MakeCheckedSite) -> None:
    """Nothing is kept, nobody is signed out, and the next page asks again."""
    site, _held = log_in_slowly(make_checked_site)
    with pytest.MonkeyPatch.context() as down:
        down.setattr(LoginStore, "update", _fails)
        site.recover()
        site.settle()
    rename(site)
    site.clock.advance(known_logins.OLD_SECONDS)
    site.who()
    site.settle()
    assert site.who() == RENAMED
    assert site.asked == 2


def _fails(*_args: object) -> bool:
    raise ServiceUnavailable(ErrorCode.STORE_UNAVAILABLE, "the session store failed")
