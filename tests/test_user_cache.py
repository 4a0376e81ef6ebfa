"""How often CentralAuth is asked: once per login and time to live, and at once for another browser."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import session

from flask_centralauth import auth_required, current_user, known_logins, user_cache
from flask_centralauth.single_flight import SingleFlight

from .browser_client import Browser
from .checked_site import CheckedSite, MakeCheckedSite, Running, at_once

pytest_plugins = ("tests.checked_fixtures",)

ALICE = ("alice@example.com", False)
OTHER_BROWSER = "Mozilla/5.0 (Another) Browser/1.0"


# Time


def test_a_worker_takes_the_short_way_from_the_second_page_view_on(
    make_checked_site: MakeCheckedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the login was made by another worker."""
    make_checked_site().log_in()
    other = make_checked_site()
    assert other.who() == ALICE
    longer: list[object] = []

    def recall(*asked: object) -> None:
        longer.append(asked)

    monkeypatch.setattr(other.app.extensions["centralauth"].users, "recall", recall)
    assert other.who() == ALICE
    assert longer == []


def test_a_page_that_asks_before_its_guard_does_is_one_hit(make_checked_site: MakeCheckedSite) -> None:
    site = make_checked_site()
    seen: list[str | None] = []
    site.app.before_request(lambda: seen.append(current_user.email))
    site.log_in()
    site.who()
    hits = site.app.extensions["centralauth"].users.counters.cache_hits
    site.who()
    assert site.app.extensions["centralauth"].users.counters.cache_hits == hits + 1
    assert seen[-1] == ALICE[0]


def test_a_logout_elsewhere_counts_although_another_one_s_page_heard_of_it(
    make_checked_site: MakeCheckedSite,
) -> None:
    """Who looks what is new in the store is not who it concerns."""
    here, elsewhere = make_checked_site(), make_checked_site()
    here.log_in()
    bob = Browser(here.emulator, user="bob@example.com")
    bob.get(f"{here.url}/private")
    for _ in range(2):
        assert (here.who(), bob.fetch(f"{here.url}/who").json()["email"]) == (ALICE, "bob@example.com")
    (alice,) = (user for user in here.emulator.users if user.email == ALICE[0])
    elsewhere.app.extensions["centralauth"].logins.end_all(alice.id)
    here.clock.advance(1)
    assert bob.fetch(f"{here.url}/who").json()["email"] == "bob@example.com"
    assert here.fetch().status == 401


def test_a_view_of_two_applications_asks_the_one_that_serves_it(make_checked_site: MakeCheckedSite) -> None:
    """A guard remembers what let the last visitor in, which may be the other application's memory."""
    sites = [make_checked_site(), make_checked_site()]
    view = auth_required(lambda: "guarded")
    for site in sites:
        site.app.add_url_rule("/shared", "shared", view)
    sites[0].log_in()
    for _ in range(3):
        before = [site.app.extensions["centralauth"].users.counters.cache_hits for site in sites]
        for site in (*sites, sites[1]):
            assert site.fetch("/shared").text == "guarded"
        after = [site.app.extensions["centralauth"].users.counters.cache_hits for site in sites]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 2]


def test_within_the_time_to_live_nobody_is_asked(site: CheckedSite) -> None:
    for _ in range(50):
        assert site.who() == ALICE
    assert site.asked == 0


def test_the_first_view_after_a_login_asks_nobody_either(make_checked_site: MakeCheckedSite) -> None:
    site = make_checked_site()
    site.browser.get(f"{site.url}/private")
    assert site.emulator.requests.count("userinfo") == 1


def test_after_it_one_request_asks(site: CheckedSite) -> None:
    site.clock.advance(59)
    site.who()
    assert site.asked == 0
    site.clock.advance(2)
    for _ in range(5):
        assert site.who() == ALICE
    assert site.asked == 1


def test_news_of_the_user_arrive_with_the_check(site: CheckedSite) -> None:
    (user,) = (user for user in site.emulator.users if user.email == "alice@example.com")
    user.email = "alice.new@example.com"
    assert site.who() == ALICE
    site.expire()
    assert site.who() == ("alice.new@example.com", False)


def test_zero_asks_on_every_request_and_once_per_request(make_checked_site: MakeCheckedSite) -> None:
    site = make_checked_site(CENTRALAUTH_USER_TTL=0)
    site.log_in()
    for _ in range(3):
        assert site.who("/twice") == ALICE
    assert site.asked == 3
    assert site.who("/fresh") == ALICE
    assert site.asked == 4


def test_pages_that_do_not_ask_who_cost_nothing(make_checked_site: MakeCheckedSite) -> None:
    site = make_checked_site(CENTRALAUTH_USER_TTL=0)
    site.log_in()
    assert site.fetch("/").text == "public"
    assert site.asked == 0


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_clock_that_is_set_signs_nobody_out_and_asks_nobody(site: CheckedSite, jump: int) -> None:
    site.who()
    site.clock.set_wall(jump)
    assert site.who() == ALICE
    assert site.asked == 0
    site.expire()
    site.fail(status=503)
    assert site.who() == ("alice@example.com", True)


def test_a_record_from_the_future_is_not_good_for_ever(make_checked_site: MakeCheckedSite) -> None:
    """A worker whose clock was an hour ahead must not keep the others from asking for an hour."""
    make_checked_site().log_in()
    other = make_checked_site()
    other.clock.set_wall(-3600)
    assert other.who() == ALICE
    assert other.asked == 1


def test_a_login_that_its_token_does_not_outlive(make_checked_site: MakeCheckedSite) -> None:
    """AT-11.3: ten minutes at CentralAuth are ten minutes here, whatever our settings say."""
    site = make_checked_site(CENTRALAUTH_USER_TTL=86_400, CENTRALAUTH_STALE_GRACE=86_400)
    site.emulator.configure(max_session_time=600)
    site.log_in()
    site.clock.advance(598)
    assert site.who() == ALICE
    site.clock.advance(3)
    assert site.fetch().status == 401


# The browser


def test_another_address_asks_at_once_and_is_turned_away(site: CheckedSite) -> None:
    """A stolen cookie used elsewhere is never served from memory."""
    site.who()
    thief = Browser(cookies=site.browser.cookies.copy(), user_agent=OTHER_BROWSER)
    assert thief.fetch(f"{site.url}/who").status == 401
    assert site.emulator.requests.one("userinfo").error_code == "sessionInvalid"
    # CentralAuth has ended the session: for its owner too.
    assert site.fetch().status == 401


def test_another_browser_is_asked_about_although_nobody_protects_the_login(
    make_checked_site: MakeCheckedSite,
) -> None:
    site = make_checked_site()
    site.emulator.configure(hijack_protection=False)
    site.log_in()
    other = Browser(cookies=site.browser.cookies.copy(), user_agent=OTHER_BROWSER)
    assert other.fetch(f"{site.url}/who").json()["email"] == "alice@example.com"
    (call,) = site.emulator.requests.of("userinfo")
    assert call.headers["User-Agent"] == OTHER_BROWSER


def test_another_browser_never_gets_the_last_answer(site: CheckedSite) -> None:
    """Not even while CentralAuth cannot be asked: nobody knows whose browser this is."""
    site.who()
    site.fail(status=503)
    other = Browser(cookies=site.browser.cookies.copy(), user_agent=OTHER_BROWSER)
    assert other.fetch(f"{site.url}/who").status == 503
    assert site.who() == ALICE


def test_an_address_that_changes(make_checked_site: MakeCheckedSite) -> None:
    site = make_checked_site()
    client = site.app.test_client()
    site.emulator.configure(hijack_protection=False)
    site.log_in()
    cookie = site.browser.cookies.get("session")
    assert cookie is not None
    client.set_cookie("session", cookie.value)
    headers = {"User-Agent": site.browser.user_agent}

    def visit(address: str) -> int:
        return client.get("/who", headers=headers, environ_base={"REMOTE_ADDR": address}).status_code

    assert [visit("203.0.113.9"), visit("203.0.113.9")] == [200, 200]
    (call,) = site.emulator.requests.of("userinfo")
    assert call.headers["auth-ip"] == "203.0.113.9"
    # One address, spelt in two ways.
    assert visit("::ffff:203.0.113.9") == 200
    assert site.asked == 1
    assert visit("2001:db8::1") == 200
    assert site.asked == 2


def test_a_device_is_not_taken_from_a_browser(site: CheckedSite) -> None:
    """ATK-86: device-id is for native apps, which bring a bearer token."""
    site.expire()
    site.fetch(headers={"device-id": "of-somebody-else"})
    assert "device-id" not in site.emulator.requests.one("userinfo").headers


# Many at once


def test_fifty_parallel_requests_ask_once(site: CheckedSite) -> None:
    """AT-10.5, while the call is under way: forty-nine go on with what was known."""
    site.who()
    site.expire()
    held = site.fail(hang=True)
    asking = Running(site.fetcher())
    held.wait()
    pages = at_once([site.fetcher()] * 49)
    assert [page.json() for page in pages] == [{"email": "alice@example.com", "stale": False}] * 49
    site.recover()
    assert asking.result().status == 200
    assert site.asked == 1


def test_parallel_requests_wait_where_nothing_is_known(site: CheckedSite) -> None:
    """From a browser that has no answer yet all wait for the one that asks, and share what it finds."""
    site.emulator.configure(hijack_protection=False)
    others = Browser(cookies=site.browser.cookies, user_agent=OTHER_BROWSER)
    held = site.fail(hang=True)
    asking = Running(site.fetcher(browser=others))
    held.wait()
    waiting = [Running(site.fetcher(browser=others)) for _ in range(10)]
    site.recover()
    assert {running.result().status for running in (asking, *waiting)} == {200}
    assert site.asked == 1


def test_pages_that_want_a_fresh_answer_wait_for_it(site: CheckedSite) -> None:
    site.who()
    site.expire()
    held = site.fail(hang=True)
    asking = Running(site.fetcher())
    held.wait()
    fresh = [Running(site.fetcher(path)) for path in ("/fresh", "/affirmed")]
    # An ordinary page is not held up by them.
    assert site.who() == ALICE
    (alice,) = (user for user in site.emulator.users if user.email == "alice@example.com")
    alice.email = "alice.new@example.com"
    site.recover()
    assert asking.result().json()["email"] == "alice.new@example.com"
    assert [running.result().json()["email"] for running in fresh] == ["alice.new@example.com"] * 2
    assert site.asked == 1


def test_a_page_below_protect_that_wants_a_fresh_answer_waits_too(
    make_checked_site: MakeCheckedSite,
) -> None:
    """What ``protect`` found out before the view ran was good enough for it, not for the view."""
    from flask_centralauth.guards import protect

    site = make_checked_site()
    protect(site.app)
    site.log_in()
    site.expire()
    held = site.fail(hang=True)
    asking = Running(site.fetcher())
    held.wait()
    fresh = Running(site.fetcher("/fresh"))
    (alice,) = (user for user in site.emulator.users if user.email == "alice@example.com")
    alice.email = "alice.new@example.com"
    site.recover()
    assert asking.result().status == 200
    assert fresh.result().json()["email"] == "alice.new@example.com"


def test_with_zero_parallel_requests_ask_each(make_checked_site: MakeCheckedSite) -> None:
    """Not one of them goes on with what another one was told."""
    site = make_checked_site(CENTRALAUTH_USER_TTL=0)
    site.log_in()
    site.fail(hang=True)
    asking = [Running(site.fetcher()) for _ in range(4)]
    site.emulator.requests.wait_for("userinfo", count=4)
    site.recover()
    assert [running.result().status for running in asking] == [200] * 4


def test_a_fresh_answer_is_not_replaced_by_an_old_one(
    site: CheckedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It joins a check that turns out to be another worker's, and has to ask itself."""
    logins = site.app.extensions["centralauth"].logins
    arrived, go_on = threading.Event(), threading.Event()

    def taken(*_args: object) -> bool:
        arrived.set()
        go_on.wait(10)
        return False

    joined, true = threading.Event(), SingleFlight.board

    def join(*args: Any) -> Any:
        flight, is_mine = true(*args)
        if not is_mine:
            joined.set()
        return flight, is_mine

    site.expire()
    monkeypatch.setattr(logins, "reserve", taken)
    monkeypatch.setattr(SingleFlight, "board", join)
    ordinary = Running(site.fetcher())
    arrived.wait(10)
    fresh = Running(site.fetcher("/fresh"))
    (alice,) = (user for user in site.emulator.users if user.email == "alice@example.com")
    alice.email = "alice.new@example.com"
    assert joined.wait(10)
    go_on.set()
    assert ordinary.result().json()["email"] == "alice@example.com"
    assert fresh.result().json()["email"] == "alice.new@example.com"


def test_different_people_do_not_wait_for_each_other(site: CheckedSite) -> None:
    bob = Browser(site.emulator, user="bob@example.com")
    bob.get(f"{site.url}/private")
    site.expire()
    held = site.fail(hang=True, match={"email": "alice@example.com"})
    asking = Running(site.fetcher())
    held.wait()
    assert bob.fetch(f"{site.url}/who").json()["email"] == "bob@example.com"
    site.recover()
    assert asking.result().status == 200


# Many processes


def test_a_check_of_one_worker_is_the_others_too(make_checked_site: MakeCheckedSite) -> None:
    first, second = make_checked_site(), make_checked_site()
    first.log_in()
    first.expire()
    assert first.who() == ALICE
    assert second.who() == ALICE
    assert first.asked == 1


def test_two_workers_ask_once_and_nobody_waits(make_checked_site: MakeCheckedSite) -> None:
    """A hundred stale requests at once: one call, ninety-nine old answers."""
    sites = [make_checked_site(), make_checked_site()]
    sites[0].log_in()
    for site in sites:
        site.who()
    sites[0].expire()
    held = sites[0].fail(hang=True)
    asking = Running(sites[0].fetcher())
    held.wait()
    pages = at_once(site.fetcher() for site in sites * 49)
    assert [page.json()["stale"] for page in pages] == [False] * 98
    sites[0].recover()
    assert asking.result().status == 200
    assert sites[0].asked == 1


def test_a_hundred_stale_requests_over_two_workers_make_one_call(
    make_checked_site: MakeCheckedSite,
) -> None:
    """The same without anybody held: whoever is late finds that it has been done."""
    sites = [make_checked_site(), make_checked_site()]
    sites[0].log_in()
    for _ in range(3):
        for site in sites:
            site.who()
        sites[0].expire()
        sites[0].emulator.requests.clear()
        pages = at_once(site.fetcher() for site in sites * 50)
        assert {page.status for page in pages} == {200}
        assert sites[0].asked == 1


def test_a_reservation_does_not_outlive_the_check(make_checked_site: MakeCheckedSite) -> None:
    """Else a short time to live would be as long as the reservation."""
    site = make_checked_site(CENTRALAUTH_USER_TTL=1)
    site.log_in()
    for number in range(1, 4):
        site.clock.advance(1.5)
        assert site.who() == ALICE
        assert site.asked == number


def test_a_reservation_nobody_released_costs_one_old_answer_and_not_the_check(
    make_checked_site: MakeCheckedSite,
) -> None:
    """A worker that was killed while it asked: until its reservation is over the others go on."""
    site = make_checked_site()
    site.log_in()
    with site.app.test_request_context(headers={"Cookie": f"session={_session_of(site)}"}):
        logins = site.app.extensions["centralauth"].logins
        login = logins.current()
        assert logins.reserve(login, 60)
    site.expire()
    assert site.who() == ALICE
    assert site.asked == 0
    # Where an old answer will not do, it is no excuse.
    assert site.who("/fresh") == ALICE
    assert site.asked == 1
    with site.app.app_context():
        logins.release(login)


def _session_of(site: CheckedSite) -> str:
    cookie = site.browser.cookies.get("session")
    assert cookie is not None
    return cookie.value


# Endings


def test_a_logout_while_the_check_runs_wins(site: CheckedSite) -> None:
    """The answer arrives after the login has ended: it brings nobody back."""
    site.who()
    site.expire()
    held = site.fail(hang=True)
    thief = Browser(cookies=site.browser.cookies.copy())
    asking = Running(site.fetcher())
    held.wait()
    site.browser.get(f"{site.url}/")
    assert site.browser.submit("/api/auth/logout").status == 200
    site.recover()
    assert asking.result().status == 401
    assert thief.fetch(f"{site.url}/who").status == 401


def test_logins_ended_elsewhere_end_within_a_second(make_checked_site: MakeCheckedSite) -> None:
    first, second = make_checked_site(), make_checked_site()
    first.log_in()
    assert [first.who(), second.who()] == [ALICE, ALICE]
    elsewhere = Browser(cookies=first.browser.cookies.copy())
    (alice,) = (user for user in first.emulator.users if user.email == "alice@example.com")
    with first.app.app_context():
        first.app.extensions["centralauth"].logins.end_all(alice.id)
    first.clock.advance(known_logins.VERSION_SECONDS)
    assert first.fetch().status == 401
    assert elsewhere.fetch(f"{second.url}/who").status == 401


def test_memory_is_bounded(make_checked_site: MakeCheckedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_logins, "MAX_KNOWN", 3)
    site = make_checked_site()
    browsers = [Browser(site.emulator, user=f"user{number}@example.com") for number in range(6)]
    for number, browser in enumerate(browsers):
        site.emulator.add_user(email=f"user{number}@example.com")
        browser.get(f"{site.url}/private")
    users = site.app.extensions["centralauth"].users
    assert len(users._known) == 3
    # Whoever was pushed out is still known to the store, and CentralAuth is not asked.
    site.emulator.requests.clear()
    for number, browser in enumerate(browsers):
        assert browser.fetch(f"{site.url}/who").json()["email"] == f"user{number}@example.com"
    assert site.asked == 0
    assert len(users._known) == 3


def test_a_steady_view_does_not_touch_the_session(make_checked_site: MakeCheckedSite) -> None:
    site = make_checked_site()
    modified: list[bool] = []

    @site.app.after_request
    def look(response):  # type: ignore[no-untyped-def]
        modified.append(session.modified)
        return response

    site.log_in()
    modified.clear()
    page = site.fetch()
    site.expire()
    checked = site.fetch()
    assert modified == [False, False]
    assert [answer.headers.get("Set-Cookie") for answer in (page, checked)] == [None, None]


def test_counters_tell_what_checks_cost(make_checked_site: MakeCheckedSite) -> None:
    first, second = make_checked_site(), make_checked_site()
    first.log_in()
    users = first.app.extensions["centralauth"].users

    names = ("calls", "failures", "cache_hits", "shared_hits", "stale_served")
    quiet: dict[str, object] = {**dict.fromkeys(names, 0), "breaker": "closed"}

    def difference(site: CheckedSite, before: user_cache.Counters) -> dict[str, object]:
        after = site.app.extensions["centralauth"].users.counters
        counted = {name: getattr(after, name) - getattr(before, name) for name in names}
        return {**counted, "breaker": after.breaker}

    before = users.counters
    for _ in range(5):
        first.who()
    assert difference(first, before) == quiet | {"cache_hits": 5}

    before = second.app.extensions["centralauth"].users.counters
    second.who()
    assert difference(second, before) == quiet | {"shared_hits": 1}

    first.expire()
    first.fail(status=503)
    before = users.counters
    for _ in range(4):
        first.who()
    assert difference(first, before) == quiet | {
        "calls": 3,
        "failures": 3,
        "stale_served": 4,
        "breaker": "open",
    }


def test_a_check_that_failed_leaves_nothing_to_wait_for(site: CheckedSite) -> None:
    site.clock.advance(400)
    site.fail(status=503, times=2)
    assert [site.fetch().status for _ in range(2)] == [503, 503]
    assert site.who() == ALICE
