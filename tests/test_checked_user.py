"""Outcomes of a check: good, definitely over, not to be known. Only the second signs anybody out."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from flask_centralauth.client import CentralAuthClient
from flask_centralauth.errors import ERRORS, ErrorCode
from flask_centralauth.login_record import Record
from flask_centralauth.login_session import Login
from flask_centralauth.login_store import LoginStore

from .browser_client import Browser
from .checked_site import CheckedSite, MakeCheckedSite, Running, at_once, ended_sessions
from .cookie_jar import CookieJar

pytest_plugins = ("tests.checked_fixtures",)

ALICE = ("alice@example.com", False)
STALE = ("alice@example.com", True)
#: The session and token codes of CentralAuth: nothing else ends a login.
OVER = (
    ErrorCode.SESSION_EXPIRED,
    ErrorCode.SESSION_INVALID,
    ErrorCode.SESSION_INACTIVE,
    ErrorCode.SESSION_MISSING,
    ErrorCode.SESSION_NOT_VERIFIED,
    ErrorCode.TOKEN_INVALID,
    ErrorCode.TOKEN_MISSING,
)
CONFIGURATION = (
    ErrorCode.NO_PERMISSION,
    ErrorCode.DOMAIN_INVALID,
    ErrorCode.MISSING_FIELDS,
    ErrorCode.ORGANIZATION_ID_MISSING,
    ErrorCode.CALLBACK_URL_INVALID,
)

#: AT-10.1: everything that says nothing about the login.
BLIPS: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "502": {"status": 502},
    "503": {"status": 503},
    "504": {"status": 504},
    "429": {"status": 429},
    "429 of CentralAuth": {"error_code": "tooManyRequests"},
    "500 with an error code": {"error_code": "genericError"},
    "503 that says sessionExpired": {"error_code": "sessionExpired", "status": 503},
    "200 that says sessionExpired": {"error_code": "sessionExpired", "status": 200},
    "302": {"action": "redirect", "status": 302},
    "307": {"action": "redirect", "status": 307},
    "302 with a user": {"action": "patch", "patch": {}, "status": 302},
    "201 with a user": {"action": "patch", "patch": {}, "status": 201},
    "html": {"action": "html"},
    "html as 401": {"action": "html", "status": 401},
    "html as 403": {"action": "html", "status": 403},
    "nothing": {"action": "empty"},
    "204": {"status": 204},
    "broken json": {"action": "invalid_json"},
    "reset": {"action": "reset"},
    "hung up": {"action": "close"},
    "half an answer": {"action": "truncate"},
    "chunk garbage": {"action": "chunk_garbage"},
    "a code nobody knows": {"error_code": "somethingNew", "status": 400},
    "a code of another call": {"error_code": "stateInvalid", "status": 400},
    "a code of ours": {"error_code": "affirmationRequired", "status": 401},
    "only a message": {"json": {"message": "Something went wrong."}, "status": 400},
    "entityMissing": {"error_code": "entityMissing"},
}


@contextmanager
def warnings_of(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What this package logs from WARNING up, as ``LEVEL message``."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, "flask_centralauth"):
        yield lambda: [
            f"{record.levelname} {record.getMessage()}"
            for record in caplog.records
            if record.name == "flask_centralauth"
        ]


def cookies_of(jar: CookieJar) -> list[tuple[str, str]]:
    return sorted((cookie.name, cookie.value) for cookie in jar)


# Not to be known


@pytest.mark.parametrize("blip", BLIPS.values(), ids=BLIPS)
def test_a_blip_keeps_the_user(
    site: CheckedSite, blip: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    cookies = cookies_of(site.browser.cookies)
    site.expire()
    site.fail(**blip)
    with warnings_of(caplog) as logged:
        page = site.fetch()
    assert (page.status, page.json()) == (200, {"email": "alice@example.com", "stale": True})
    assert "Set-Cookie" not in page.headers
    assert cookies_of(site.browser.cookies) == cookies
    (line,) = logged()
    assert line.startswith("WARNING CentralAuth cannot say whether a login goes on")

    site.recover()
    assert site.who() == ALICE
    assert site.emulator.requests.count("login") == 0


@pytest.mark.parametrize("blip", BLIPS.values(), ids=BLIPS)
def test_after_the_grace_it_is_503_and_still_nobody_is_signed_out(
    site: CheckedSite, blip: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    cookies = cookies_of(site.browser.cookies)
    site.clock.advance(361)
    site.fail(**blip)
    with warnings_of(caplog) as logged:
        page = site.fetch()
    status = 429 if "429" in str(blip) or "tooManyRequests" in str(blip) else 503
    assert page.status == status
    assert int(page.headers["Retry-After"]) >= 1
    assert page.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in page.headers
    assert cookies_of(site.browser.cookies) == cookies
    assert len(logged()) == 1

    site.recover()
    assert site.who() == ALICE


def test_a_page_visit_gets_a_page_with_a_way_on(site: CheckedSite) -> None:
    site.clock.advance(361)
    site.fail(status=503)
    page = site.browser.get(f"{site.url}/private")
    assert [hop.status for hop in page.hops] == [503]
    assert "/private" in page.text
    site.recover()
    assert site.browser.get(f"{site.url}/private").text == "alice@example.com"


def test_the_user_route_says_that_it_does_not_know(site: CheckedSite) -> None:
    """``null`` would sign the person out in a script of the page."""
    site.clock.advance(361)
    site.fail(status=503)
    assert site.fetch("/api/auth/user").status == 503


def test_a_refused_connection(make_checked_site: MakeCheckedSite) -> None:
    site = make_checked_site()
    site.log_in()
    site.expire()
    site.emulator.stop()
    try:
        assert site.who() == STALE
        site.clock.advance(300)
        assert site.fetch().status == 503
    finally:
        restart(site)
    assert site.who() == ALICE


def restart(site: CheckedSite) -> None:
    """Start the emulator again on its port; the breaker is as it was."""
    from flask_centralauth.breaker import Breaker

    port = int(site.emulator.url.rpartition(":")[2])
    site.emulator._address = ("127.0.0.1", port)
    site.emulator.start()
    site.app.extensions["centralauth"].client.breaker = Breaker()


def test_a_name_that_cannot_be_looked_up(site: CheckedSite, monkeypatch: pytest.MonkeyPatch) -> None:
    true = socket.getaddrinfo

    def unknown(host: str, *args: Any, **options: Any) -> Any:
        if host == "localhost":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return true(host, *args, **options)

    state = site.app.extensions["centralauth"]
    port = site.emulator.url.rpartition(":")[2]
    state._client = CentralAuthClient(replace(state.settings, base_url=f"http://localhost:{port}"))
    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", unknown)
        site.expire()
        assert site.who() == STALE
    assert site.who() == ALICE


def test_a_service_that_hangs(make_checked_site: MakeCheckedSite) -> None:
    site = make_checked_site(CENTRALAUTH_TIMEOUT=0.3)
    site.log_in()
    site.expire()
    site.fail(hang=True)
    assert site.who() == STALE
    site.recover()
    assert site.who() == ALICE


def test_no_grace_when_none_is_wanted(make_checked_site: MakeCheckedSite) -> None:
    site = make_checked_site(CENTRALAUTH_STALE_GRACE=0)
    site.log_in()
    site.expire()
    site.fail(status=503)
    assert site.fetch().status == 503
    site.recover()
    assert site.who() == ALICE


@pytest.mark.parametrize("path", ["/fresh", "/affirmed"])
def test_where_only_a_fresh_answer_will_do_a_stale_one_is_503(site: CheckedSite, path: str) -> None:
    assert site.who(path) == ALICE
    site.expire()
    site.fail(status=503)
    # Again and again: none of them may be mistaken for an answer.
    for _ in range(5):
        assert site.fetch(path).status == 503
        assert site.who() == STALE
    site.recover()


def test_an_unguarded_page_sees_the_last_known_user_too(site: CheckedSite) -> None:
    site.expire()
    site.fail(status=503)
    assert site.who("/open") == STALE
    site.clock.advance(300)
    assert site.fetch("/open").json() == {"email": None, "stale": False}
    site.recover()
    assert site.who("/open") == ALICE


# The settings are wrong


@pytest.mark.parametrize("code", CONFIGURATION)
def test_a_wrong_setting_signs_nobody_out(
    site: CheckedSite, code: ErrorCode, caplog: pytest.LogCaptureFixture
) -> None:
    site.expire()
    site.fail(error_code=code)
    with warnings_of(caplog) as logged:
        assert site.who() == STALE
    assert len(logged()) == 1
    site.clock.advance(300)
    with warnings_of(caplog) as logged:
        page = site.fetch()
    assert (page.status, page.json()["errorCode"]) == (500, code)
    (line,) = logged()
    assert line.startswith("ERROR ConfigurationError")
    assert ERRORS[code].hint in line
    site.recover()
    assert site.who() == ALICE


def test_a_secret_that_was_replaced_at_centralauth(site: CheckedSite) -> None:
    """ATK-103: a clear error for the operator, a plain page for people, nobody signed out."""
    site.emulator.rotate_secret()
    site.clock.advance(361)
    page = site.browser.get(f"{site.url}/private")
    assert [hop.status for hop in page.hops] == [500]
    assert "Set-Cookie" not in page.headers


# Definitely over


@pytest.mark.parametrize("code", OVER)
def test_a_definite_no_ends_the_login(site: CheckedSite, code: ErrorCode) -> None:
    before = site.browser.cookies.get("session")
    assert before is not None
    site.expire()
    site.fail(error_code=code, times=1)
    with ended_sessions() as ended:
        assert site.fetch().status == 401
        assert site.fetch().status == 401
        assert site.fetch("/api/auth/user").json() is None
    ((told),) = ended
    assert (told["error"].error_code, told["user"].email) == (code, "alice@example.com")
    assert site.asked == 1
    # The old cookie is worth nothing, wherever it turns up.
    thief = Browser()
    thief.cookies.store(site.url, f"session={before.value}; Path=/")
    assert thief.fetch(f"{site.url}/who").status == 401


@pytest.mark.parametrize("code", OVER)
def test_a_page_visit_after_a_definite_no_goes_to_login_and_comes_back(
    site: CheckedSite, code: ErrorCode
) -> None:
    site.expire()
    site.fail(error_code=code, times=1)
    # A login of only seconds ago would get a page: not to go round for ever.
    site.clock.advance(60)
    page = site.browser.get(f"{site.url}/private")
    assert page.url == f"{site.url}/private"
    assert page.text == "alice@example.com"
    assert site.emulator.requests.count("login") == 1


def test_the_listeners_hear_of_an_end_once(site: CheckedSite) -> None:
    """AT-11.4, AT-29.1: twenty parallel requests at the moment a login expires."""
    site.who()
    site.clock.advance(361)
    held = site.fail(error_code="sessionExpired", hang=True)
    with ended_sessions() as ended:
        asking = Running(site.fetcher())
        held.wait()
        waiting = [Running(site.fetcher()) for _ in range(19)]
        site.recover()
        answers = [running.result() for running in (asking, *waiting)]
    assert [answer.status for answer in answers] == [401] * 20
    assert len(ended) == 1
    assert site.asked == 1
    # Whatever a login has set meanwhile, they leave it alone.
    assert [answer for answer in answers if "Set-Cookie" in answer.headers] == []


def test_late_answers_do_not_touch_a_new_login(site: CheckedSite) -> None:
    """A request that learns of the end after the person has signed in again."""
    site.who()
    site.clock.advance(361)
    old = Browser(cookies=site.browser.cookies.copy())
    held = site.fail(error_code="sessionExpired", hang=True, times=1)
    late = Running(lambda: old.fetch(f"{site.url}/who"))
    held.wait()
    site.browser.get(f"{site.url}/api/auth/login?return_to=/private")
    assert site.who() == ALICE
    site.recover()
    answer = late.result()
    assert answer.status == 401
    assert "Set-Cookie" not in answer.headers
    assert site.who() == ALICE


def test_a_logout_is_not_reported_as_an_end_by_centralauth(site: CheckedSite) -> None:
    thief = Browser(cookies=site.browser.cookies.copy())
    with ended_sessions() as ended:
        site.browser.get(f"{site.url}/")
        site.browser.submit("/api/auth/logout")
        assert thief.fetch(f"{site.url}/who").status == 401
    assert ended == []


def test_a_token_that_suddenly_names_somebody_else(site: CheckedSite) -> None:
    site.expire()
    site.fail(json={"id": "somebody-else", "email": "mallory@example.com", "blocked": False}, times=1)
    with ended_sessions() as ended:
        assert site.fetch().status == 401
    assert [told["error"].error_code for told in ended] == [ErrorCode.SESSION_INVALID]


def test_roaming_costs_one_silent_pass(site: CheckedSite) -> None:
    """AT-26.2: another network, CentralAuth says no, and is asked to log in once: no loop."""
    site.clock.advance(60)
    site.browser.user_agent = "Mozilla/5.0 (Phone) on another network"
    page = site.browser.get(f"{site.url}/private")
    assert page.text == "alice@example.com"
    assert site.emulator.requests.count("login") == 1
    assert site.who() == ALICE


def test_roaming_where_centralauth_goes_on_refusing_is_no_loop(site: CheckedSite) -> None:
    site.clock.advance(60)
    site.fail(error_code="sessionInvalid")
    page = site.browser.get(f"{site.url}/private")
    assert page.status in (401, 403, 400)
    assert len(page.hops) < 10
    site.recover()


def test_two_people_at_once_get_their_own_outcome(site: CheckedSite) -> None:
    bob = Browser(site.emulator, user="bob@example.com")
    bob.get(f"{site.url}/private")
    site.clock.advance(361)
    site.fail(error_code="sessionExpired", match={"email": "bob@example.com"})
    answers = at_once([site.fetcher(), site.fetcher(browser=bob)] * 5)
    assert [answer.status for answer in answers] == [200, 401] * 5
    site.recover()


def test_slow_request_does_not_bring_the_answer_of_before_back(
    site: CheckedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read the record when another one asks CentralAuth, and goes on when that is done."""
    live, has_read, go_on = LoginStore.live, threading.Event(), threading.Event()

    def live_slowly(store: LoginStore, login: Login) -> Record | None:
        found = live(store, login)
        if not has_read.is_set():
            has_read.set()
            assert go_on.wait(20)
        return found

    site.expire()
    site.fail(action="patch", patch={"email": "renamed@example.com"})
    monkeypatch.setattr(LoginStore, "live", live_slowly)
    slow = Running(site.fetcher())
    assert has_read.wait(20)
    assert site.who() == ("renamed@example.com", False)
    go_on.set()
    assert slow.result().json()["email"] == "renamed@example.com"
    assert site.who() == ("renamed@example.com", False)
    assert site.asked == 1
