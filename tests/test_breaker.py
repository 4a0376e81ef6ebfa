"""The breaker: when nobody asks a dead service, who finds out that it is back, and what that costs."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest

from flask_centralauth.breaker import FIRST_PAUSE, LONGEST_PAUSE, THRESHOLD, Breaker
from flask_centralauth.guards import protect

from .browser_client import Browser
from .checked_site import CheckedSite, MakeCheckedSite, Running, at_once

pytest_plugins = ("tests.checked_fixtures",)

JITTER = 1.25
STALE = ("alice@example.com", True)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(longest_call=6, clock=clock)


def open_it(breaker: Breaker) -> None:
    for _ in range(THRESHOLD):
        assert breaker.admits()
        breaker.failed()
    assert breaker.state == "open"


# What it decides


def test_three_failures_in_a_row_open_it(breaker: Breaker) -> None:
    for _ in range(2):
        breaker.failed()
        assert breaker.admits()
    breaker.failed()
    assert not breaker.admits()
    assert (breaker.state, breaker.refuses) == ("open", True)


def test_a_success_in_between_counts_from_the_start(breaker: Breaker) -> None:
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert (breaker.state, breaker.admits()) == ("closed", True)


def test_after_the_pause_one_call_finds_out(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now += FIRST_PAUSE * JITTER
    assert (breaker.state, breaker.refuses) == ("half-open", False)
    assert [breaker.admits() for _ in range(5)] == [True, False, False, False, False]
    assert breaker.refuses
    breaker.succeeded()
    assert breaker.state == "closed"
    assert [breaker.admits() for _ in range(5)] == [True] * 5


def test_looking_takes_nobodys_turn(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now += FIRST_PAUSE * JITTER
    for _ in range(5):
        assert not breaker.refuses
    assert breaker.admits()


def test_exactly_one_of_many_threads_finds_out(breaker: Breaker, clock: Clock) -> None:
    for _ in range(20):
        breaker.succeeded()
        open_it(breaker)
        clock.now += FIRST_PAUSE * JITTER
        assert sum(at_once([breaker.admits] * 8)) == 1
        breaker.succeeded()


def test_the_one_who_finds_out_may_take_longer_than_the_pause(breaker: Breaker, clock: Clock) -> None:
    """A hung service: as long as the probe waits, nobody else does."""
    open_it(breaker)
    clock.now += FIRST_PAUSE * JITTER
    assert breaker.admits()
    clock.now += 5
    assert not breaker.admits()


def test_a_probe_that_never_reports_is_given_up(breaker: Breaker, clock: Clock) -> None:
    """Its thread was killed: the service is not dead for ever because of that."""
    open_it(breaker)
    clock.now += FIRST_PAUSE * JITTER
    assert breaker.admits()
    clock.now += 6
    assert breaker.admits()


def test_pauses_double_up_to_a_limit(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    pauses: list[float] = []
    for _ in range(9):
        began = clock.now
        while not breaker.admits():
            clock.now += 0.01
        pauses.append(clock.now - began)
        breaker.failed()
    for number, pause in enumerate(pauses):
        middle = min(FIRST_PAUSE * 2**number, LONGEST_PAUSE)
        assert middle * 0.75 - 0.01 <= pause <= middle * 1.25 + 0.02


def test_workers_do_not_come_back_in_step(clock: Clock) -> None:
    workers = [Breaker(clock=clock) for _ in range(20)]
    for worker in workers:
        open_it(worker)
    clock.now += FIRST_PAUSE
    back = sum(worker.admits() for worker in workers)
    assert 0 < back < len(workers)


def test_a_pause_after_a_recovery_is_short_again(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    for _ in range(5):
        clock.now += LONGEST_PAUSE * JITTER
        assert breaker.admits()
        breaker.failed()
    clock.now += LONGEST_PAUSE * JITTER
    assert breaker.admits()
    breaker.succeeded()
    open_it(breaker)
    clock.now += FIRST_PAUSE * JITTER
    assert breaker.admits()


def test_many_failures_at_once_are_one_reason_to_pause(breaker: Breaker, clock: Clock) -> None:
    """Thirty workers that waited for the same dead service: the first pause, not the tenth."""
    for _ in range(30):
        assert breaker.admits()
    for _ in range(30):
        breaker.failed()
    clock.now += FIRST_PAUSE * JITTER
    assert breaker.admits()


# Retry-After


def test_retry_after_is_obeyed_from_the_first_failure_on(breaker: Breaker, clock: Clock) -> None:
    breaker.failed(retry_after=30)
    assert breaker.state == "open"
    clock.now += 29
    assert not breaker.admits()
    assert breaker.retry_after() == 1
    clock.now += 1
    assert [breaker.admits(), breaker.admits()] == [True, False]


def test_a_late_success_does_not_undo_a_retry_after(breaker: Breaker, clock: Clock) -> None:
    assert [breaker.admits(), breaker.admits()] == [True, True]
    breaker.failed(retry_after=30)
    breaker.succeeded()
    assert not breaker.admits()


def test_a_late_failure_with_a_retry_after_makes_the_pause_longer(breaker: Breaker, clock: Clock) -> None:
    open_it(breaker)
    breaker.failed(retry_after=30)
    clock.now += 29
    assert not breaker.admits()


def test_the_longer_of_both_pauses_counts(breaker: Breaker, clock: Clock) -> None:
    breaker.failed()
    breaker.failed()
    breaker.failed(retry_after=0)
    assert not breaker.admits()


def test_retry_after_zero_is_no_pause(breaker: Breaker) -> None:
    breaker.failed(retry_after=0)
    assert breaker.admits()


def test_the_seconds_left_are_whole_and_at_least_one(breaker: Breaker, clock: Clock) -> None:
    assert breaker.retry_after() == 1
    breaker.failed(retry_after=30)
    clock.now += 0.5
    assert breaker.retry_after() == 30
    clock.now += 60
    assert breaker.retry_after() == 1


# Breakers of other measure


def test_one_failure_is_enough_for_one_that_is_told_so(clock: Clock) -> None:
    breaker = Breaker(threshold=1, clock=clock)
    breaker.failed()
    assert not breaker.admits()


def test_pauses_are_no_longer_than_told(clock: Clock) -> None:
    breaker = Breaker(threshold=1, longest_pause=4, clock=clock)
    for _ in range(6):
        breaker.failed()
        clock.now += 4 * JITTER
        assert breaker.admits()


def test_a_process_forked_while_it_decides_decides_for_itself() -> None:
    """A thread of the parent holds the lock; in the child there is no such thread."""
    script = """
import os, signal
from flask_centralauth.breaker import Breaker
breaker = Breaker(threshold=1)
with breaker._lock:
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        breaker.failed()
        os._exit(0 if breaker.state == "open" and not breaker.admits() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert breaker.state == "closed"
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


# What an application has of it


def dead(make_checked_site: MakeCheckedSite, **how: object) -> CheckedSite:
    """A site whose CentralAuth has failed three times in a row."""
    site = make_checked_site(CENTRALAUTH_TIMEOUT=0.3)
    site.log_in()
    site.expire()
    site.fail(**(how or {"status": 503}))
    for _ in range(THRESHOLD):
        assert site.who() == STALE
    assert site.breaker.state == "open"
    return site


@pytest.mark.parametrize(
    "how",
    [
        {"status": 503},
        {"error_code": "genericError"},
        {"error_code": "tooManyRequests"},
        {"hang": True},
        {"action": "reset"},
        {"action": "html"},
    ],
    ids=str,
)
def test_a_dead_service_is_asked_three_times_and_then_left_alone(
    make_checked_site: MakeCheckedSite, how: dict[str, object]
) -> None:
    """AT-10.4: further requests answer at once, without calling."""
    site = dead(make_checked_site, **how)
    started = time.perf_counter()
    for _ in range(10):
        assert site.who() == STALE
    each = (time.perf_counter() - started) / 10
    assert site.asked == THRESHOLD
    assert each < 0.05
    site.recover()


def test_an_error_of_one_user_does_not_open_it(site: CheckedSite) -> None:
    """CentralAuth is well, it only says something odd about somebody: the others are still asked about."""
    site.fail(action="patch", patch={"blocked": "no"})
    for _ in range(5):
        site.expire()
        assert site.who() == STALE
        site.clock.advance(-61)
    assert site.breaker.state == "closed"
    site.recover()


def test_a_wrong_secret_does_not_open_it(site: CheckedSite) -> None:
    site.expire()
    site.fail(error_code="noPermission")
    for _ in range(5):
        assert site.who() == STALE
    assert (site.breaker.state, site.asked) == ("closed", 5)
    site.recover()


def test_a_login_meanwhile_is_told_to_come_back(make_checked_site: MakeCheckedSite) -> None:
    site = dead(make_checked_site)
    site.recover()
    site.emulator.requests.clear()
    newcomer = Browser(site.emulator, user="bob@example.com")
    page = newcomer.get(f"{site.url}/private")
    assert page.status == 503
    assert int(page.headers["Retry-After"]) >= 1
    assert site.emulator.requests.count("verify") == 0


def test_it_finds_out_by_itself_that_the_service_is_back(make_checked_site: MakeCheckedSite) -> None:
    site = dead(make_checked_site)
    site.recover()
    clock = Clock()
    revived = Breaker(clock=clock)
    site.app.extensions["centralauth"].client.breaker = revived
    open_it(revived)
    assert site.who() == STALE
    clock.now += FIRST_PAUSE * JITTER
    site.who()
    site.settle()
    assert revived.state == "closed"
    assert site.who() == ("alice@example.com", False)


def test_30_seconds_of_retry_after_are_30_seconds_without_a_call(site: CheckedSite) -> None:
    """AT-10.5: from the first answer on, for everybody of this process."""
    clock = Clock()
    site.app.extensions["centralauth"].client.breaker = Breaker(clock=clock)
    bob = Browser(site.emulator, user="bob@example.com")
    bob.get(f"{site.url}/private")
    site.emulator.requests.clear()
    site.expire()
    site.fail(status=429, header={"Retry-After": "30"}, times=1)
    assert site.who() == STALE
    clock.now += 29
    assert site.who() == STALE
    assert bob.fetch(f"{site.url}/who").json()["stale"] is True
    assert site.asked == 1
    clock.now += 1
    site.who()
    site.settle()
    assert site.who() == ("alice@example.com", False)
    assert bob.fetch(f"{site.url}/who").json()["stale"] is False
    assert site.asked == 3


def test_nobody_waits_for_the_one_that_finds_out(make_checked_site: MakeCheckedSite) -> None:
    """A service that still hangs, and eight people: all get their page before it has answered."""
    site = make_checked_site()
    people = [Browser(site.emulator, user=f"user{number}@example.com") for number in range(8)]
    for person in people:
        site.emulator.add_user(email=person.user or "")
        assert person.get(f"{site.url}/private").status == 200
        person.fetch(f"{site.url}/who")
    site.emulator.requests.clear()
    clock = Clock()
    site.app.extensions["centralauth"].client.breaker = Breaker(longest_call=6, clock=clock)
    site.expire()
    open_it(site.breaker)
    clock.now += FIRST_PAUSE * JITTER
    held = site.fail(hang=True)
    pages = at_once(site.fetcher(browser=person) for person in people)
    assert [page.json()["stale"] for page in pages] == [True] * 8
    held.wait()
    assert site.breaker.refuses
    flights = site.flights
    with ThreadPoolExecutor(len(flights)) as pool:
        landed = as_completed([pool.submit(flight.landed.wait, 20) for flight in flights])
        # All but the one that finds out: a check that begins after it may ask for itself.
        for _ in flights[1:]:
            assert next(landed).result()
        site.recover()
    assert site.breaker.state == "closed"
    assert site.asked == 1


def test_a_page_that_wants_a_fresh_answer_waits_for_the_one_that_finds_out(
    make_checked_site: MakeCheckedSite,
) -> None:
    """``protect`` had no reason to wait for it; the view has."""
    site = make_checked_site()
    protect(site.app)
    site.log_in()
    clock = Clock()
    site.app.extensions["centralauth"].client.breaker = Breaker(longest_call=6, clock=clock)
    site.expire()
    open_it(site.breaker)
    clock.now += FIRST_PAUSE * JITTER
    held = site.fail(hang=True)
    fresh = Running(site.fetcher("/fresh"))
    held.wait()
    site.recover()
    assert fresh.result().json() == {"email": "alice@example.com", "stale": False}
    assert site.asked == 1
