"""CentralAuth is away, for a moment or for long: pages go on, and nobody is signed out."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flask_centralauth import ServiceUnavailable
from flask_centralauth.breaker import Breaker
from flask_centralauth.emulator import Emulator
from flask_centralauth.single_flight import SingleFlight

from .browser_client import Browser
from .checked_site import CheckedSite, MakeCheckedSite, at_once, ended_sessions
from .conftest import MakeApp

pytest_plugins = ("tests.checked_fixtures",)

OUTAGES: dict[str, dict[str, Any]] = {
    "dead": {"status": 503},
    "hung": {"hang": True},
    "rate limiting": {"status": 429},
    "a page of its proxy": {"action": "html"},
    "hanging up": {"action": "close"},
}


def crowd_of(site: CheckedSite, number: int) -> list[Browser]:
    """People who are logged in and were checked just now."""
    people = []
    for index in range(number):
        site.emulator.add_user(email=f"user{index}@example.com")
        people.append(Browser(site.emulator, user=f"user{index}@example.com"))
        assert people[-1].get(f"{site.url}/private").status == 200
    return people


def statuses(site: CheckedSite, people: list[Browser]) -> list[int]:
    return [person.fetch(f"{site.url}/who").status for person in people]


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_a_crowd_lives_through_an_outage(make_checked_site: MakeCheckedSite, outage: dict[str, Any]) -> None:
    """Five minutes of grace, then 503, and afterwards everybody is still logged in."""
    # Long enough for the logins of a busy machine; what hangs takes it a few times.
    site = make_checked_site(CENTRALAUTH_TIMEOUT=1.0)
    people = crowd_of(site, 8)
    cookies = [sorted((cookie.name, cookie.value) for cookie in person.cookies) for person in people]
    site.emulator.requests.clear()
    site.fail(**outage)
    with ended_sessions() as ended:
        for _minute in range(6):
            # Less than a minute: what the test itself takes is part of the grace.
            site.clock.advance(56)
            assert statuses(site, people) == [200] * 8
        site.clock.advance(60)
        assert set(statuses(site, people)) <= {503, 429}
        site.recover()
        site.app.extensions["centralauth"].client.breaker = Breaker()
        assert statuses(site, people) == [200] * 8
    assert ended == []
    assert [sorted((cookie.name, cookie.value) for cookie in person.cookies) for person in people] == cookies
    assert site.emulator.requests.count("login") == 0


def test_a_dead_service_is_not_asked_for_every_page(make_checked_site: MakeCheckedSite) -> None:
    site = make_checked_site()
    people = crowd_of(site, 5)
    site.emulator.requests.clear()
    site.fail(status=503)
    site.expire()
    for _ in range(10):
        assert statuses(site, people) == [200] * 5
    # Three to find out, and whatever fits into the pauses that the test took.
    assert site.asked <= 6


def test_no_request_takes_longer_than_the_deadline(make_checked_site: MakeCheckedSite) -> None:
    site = make_checked_site(CENTRALAUTH_TIMEOUT=0.5)
    people = crowd_of(site, 6)
    site.fail(action="drip", bytes_per_second=10)
    site.expire()

    def visit(person: Browser) -> tuple[int, float]:
        started = time.monotonic()
        return person.fetch(f"{site.url}/who").status, time.monotonic() - started

    for _ in range(2):
        answers = at_once([lambda person=person: visit(person) for person in people])  # type: ignore[misc]
        assert [status for status, _ in answers] == [200] * 6
        assert max(seconds for _, seconds in answers) < 1.5
    site.recover()


def test_the_longest_wait_where_nothing_is_known(make_checked_site: MakeCheckedSite) -> None:
    """From another browser nobody may be let in unasked; but nobody waits longer than one call either."""
    site = make_checked_site(CENTRALAUTH_TIMEOUT=0.5)
    site.emulator.configure(hijack_protection=False)
    site.log_in()
    other = Browser(cookies=site.browser.cookies.copy(), user_agent="Another/1.0")
    site.fail(hang=True)

    def visit() -> tuple[int, float]:
        started = time.monotonic()
        return other.tab().fetch(f"{site.url}/who").status, time.monotonic() - started

    answers = at_once([visit] * 6)
    assert [status for status, _ in answers] == [503] * 6
    assert max(seconds for _, seconds in answers) < 1.5
    site.recover()
    site.app.extensions["centralauth"].client.breaker = Breaker()
    assert other.fetch(f"{site.url}/who").status == 200


def test_half_an_hour_with_thirty_percent_failing(make_checked_site: MakeCheckedSite) -> None:
    with Emulator(seed=7) as emulator:
        site = make_checked_site(**emulator.config)
        site.emulator = emulator
        clock = site.clock
        site.app.extensions["centralauth"].client.breaker = Breaker(clock=clock.monotonic)
        people = crowd_of(site, 5)
        emulator.requests.clear()
        emulator.fail("userinfo", status=503, probability=0.3, times=None)
        stale = 0
        with ended_sessions() as ended:
            for _step in range(180):
                clock.advance(10)
                emulator.clock.advance(10)
                for person in people:
                    page = person.fetch(f"{site.url}/who")
                    assert page.status == 200
                    stale += page.json()["stale"]
        assert ended == []
        assert emulator.requests.count("login") == 0
        # There were failures to live through, and no storm because of them.
        assert stale > 0
        minutes, failed = 30, sum(call.status == 503 for call in emulator.requests.of("userinfo"))
        assert emulator.requests.count("userinfo") <= len(people) * minutes + failed
        assert failed > 20


def test_an_outage_ends_nobody_s_login_at_the_store(make_checked_site: MakeCheckedSite) -> None:
    """Another worker, started during the outage, finds the logins where they were."""
    first = make_checked_site()
    people = crowd_of(first, 3)
    first.fail(status=503)
    first.expire()
    assert statuses(first, people) == [200] * 3
    second = make_checked_site()
    assert [person.fetch(f"{second.url}/who").json()["stale"] for person in people] == [True] * 3
    first.recover()


def test_an_application_starts_without_centralauth(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AT-10.6."""

    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    app = make_app(CENTRALAUTH_BASE_URL="https://centralauth.example")
    client = app.test_client()
    assert client.get("/").text == "public"
    assert client.get("/private").status_code == 401
    assert client.get("/api/auth/login").status_code == 302


def test_a_parallel_check_is_waited_for_no_longer_than_a_call_may_take() -> None:
    flights: SingleFlight[str] = SingleFlight()
    began, over = threading.Event(), threading.Event()

    def work() -> str:
        began.set()
        over.wait(10)
        return "late"

    with ThreadPoolExecutor(1) as pool:
        leading = pool.submit(flights.run, "key", work, timeout=10)
        began.wait(10)
        with pytest.raises(ServiceUnavailable):
            flights.run("key", work, timeout=0.05)
        over.set()
        assert leading.result() == "late"


def test_a_process_that_forks_during_a_check_does_not_wait_for_it(site: CheckedSite) -> None:
    """What a parent was doing when it forked never ends in the child."""
    flights: SingleFlight[str] = SingleFlight()
    began, over = threading.Event(), threading.Event()

    def work() -> str:
        began.set()
        over.wait(10)
        return "the parent's"

    threading.Thread(target=lambda: flights.run("key", work, timeout=10), daemon=True).start()
    began.wait(10)
    with pytest.MonkeyPatch.context() as child:
        child.setattr("os.getpid", lambda: -1)
        assert flights.run("key", lambda: "the child's", timeout=0.1) == "the child's"
    over.set()
