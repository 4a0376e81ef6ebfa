"""A started login's cookie: sealed, bound to one state and application, bounded in number and age."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from flask import Flask
from werkzeug import Request, Response
from werkzeug.http import parse_cookie
from werkzeug.test import EnvironBuilder

from flask_centralauth.attempts import AFFIRM, MAX_ATTEMPTS, MAX_COOKIE_BYTES, Attempt, AttemptCookies
from flask_centralauth.config import load

KEY: Final = "a secret key of the tests, long enough"


class Jar:
    """The cookies of one browser, without a server."""

    def __init__(self) -> None:
        self.cookies: dict[str, str] = {}

    def request(self) -> Request:
        header = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        environ = EnvironBuilder().get_environ()
        return Request({**environ, "HTTP_COOKIE": header} if header else environ)

    def store(self, response: Response) -> None:
        for header in response.headers.getlist("Set-Cookie"):
            pair, _, attributes = header.partition(";")
            (name, value), *_ = parse_cookie(pair).items()
            if "Max-Age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value

    def save(self, attempts: AttemptCookies, state: str, attempt: Attempt) -> None:
        response = Response()
        attempts.save(response, self.request(), state, attempt)
        self.store(response)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., AttemptCookies]:
    def cookies(*, beside: list[AttemptCookies] | None = None, **config: Any) -> AttemptCookies:
        app = Flask("application_under_test", instance_path=str(tmp_path))
        app.config.update(
            SECRET_KEY=KEY,
            CENTRALAUTH_CLIENT_ID="organization",
            CENTRALAUTH_CLIENT_SECRET="s" * 32,
            TESTING=True,
        )
        app.config.update(config)
        return AttemptCookies(load(app), beside=beside)

    return cookies


@pytest.fixture
def attempts(make: Callable[..., AttemptCookies]) -> AttemptCookies:
    return make()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """`now(seconds)` sets the clock."""

    def set_clock(seconds: float) -> None:
        monkeypatch.setattr("time.time", lambda: seconds)

    set_clock(1_000_000)
    return set_clock


CALLBACK: Final = "https://app.example/api/auth/callback"


def _find(
    attempts: AttemptCookies, request: Request, state: str, *, redirect_uri: str = CALLBACK
) -> Attempt | None:
    return attempts.find(request, state, redirect_uri=redirect_uri)


def _attempt(started: int = 1_000_000, **changes: Any) -> Attempt:
    parts: dict[str, Any] = {
        "code_verifier": "v" * 48,
        "redirect_uri": CALLBACK,
        "return_to": "/private?x=1",
        "started": started,
    }
    return Attempt(**(parts | changes))


def test_what_was_sealed_is_found(attempts: AttemptCookies, now: Callable[[float], None]) -> None:
    jar, state = Jar(), attempts.new_state()
    sealed = _attempt(purpose=AFFIRM, user_id="user-1")
    jar.save(attempts, state, sealed)
    assert _find(attempts, jar.request(), state) == sealed
    assert _find(attempts, jar.request(), attempts.new_state()) is None
    assert _find(attempts, Jar().request(), state) is None


def test_an_attempt_counts_at_its_own_callback_only(
    attempts: AttemptCookies, now: Callable[[float], None]
) -> None:
    jar, state = Jar(), "state"
    jar.save(attempts, state, _attempt())
    assert _find(attempts, jar.request(), state, redirect_uri="https://app.example/two/callback") is None
    assert _find(attempts, jar.request(), state) is not None


def test_on_https_only_the_name_no_other_host_can_set_counts(
    attempts: AttemptCookies, now: Callable[[float], None]
) -> None:
    jar, state = Jar(), "state"
    jar.save(attempts, state, _attempt())
    jar.cookies = {name.removeprefix("__Host-"): value for name, value in jar.cookies.items()}
    assert _find(attempts, jar.request(), state) is None


@pytest.mark.parametrize(
    ("age", "found"), [(-121, False), (-120, True), (0, True), (1800, True), (1801, False)]
)
def test_its_age(attempts: AttemptCookies, now: Callable[[float], None], age: int, found: bool) -> None:
    """A clock of another server may be behind; too old is too old."""
    jar, state = Jar(), "state"
    jar.save(attempts, state, _attempt())
    now(1_000_000 + age)
    assert (_find(attempts, jar.request(), state) is not None) is found


def test_the_lifetime_is_a_setting(make: Callable[..., AttemptCookies], now: Callable[[float], None]) -> None:
    attempts, jar = make(CENTRALAUTH_LOGIN_LIFETIME=60), Jar()
    jar.save(attempts, "state", _attempt())
    now(1_000_061)
    assert _find(attempts, jar.request(), "state") is None


def test_a_changed_cookie_is_none(attempts: AttemptCookies, now: Callable[[float], None]) -> None:
    jar = Jar()
    jar.save(attempts, "state", _attempt())
    ((name, value),) = jar.cookies.items()
    for position in (0, len(value) // 2, len(value) - 2):
        other = "A" if value[position] != "A" else "B"
        jar.cookies[name] = value[:position] + other + value[position + 1 :]
        assert _find(attempts, jar.request(), "state") is None
        assert attempts.has_unreadable(jar.request(), "state")
    for junk in ("", "x", ".", "..", "e30.x", "\x80", "a" * 5000):
        jar.cookies[name] = junk
        assert _find(attempts, jar.request(), "state") is None


def test_a_cookie_of_one_state_is_not_anothers(
    attempts: AttemptCookies, now: Callable[[float], None]
) -> None:
    """Attack: the attacker's cookie under the name that belongs to the victim's state."""
    jar, other = Jar(), Jar()
    jar.save(attempts, "one", _attempt())
    other.save(attempts, "two", _attempt())
    ((one, _),), ((_, value),) = jar.cookies.items(), other.cookies.items()
    jar.cookies[one] = value
    assert _find(attempts, jar.request(), "one") is None


@pytest.mark.parametrize(
    "config",
    [
        {"SECRET_KEY": "another secret key, long enough too"},
        {"CENTRALAUTH_CLIENT_ID": "other"},
        {"CENTRALAUTH_BASE_URL": "https://other.example"},
        {"CENTRALAUTH_URL_PREFIX": "/other"},
    ],
    ids=lambda config: next(iter(config)),
)
def test_another_application_cannot_read_it(
    make: Callable[..., AttemptCookies], now: Callable[[float], None], config: dict[str, str]
) -> None:
    """Attacks: mix-up, cross-client transaction."""
    mine, other, jar = make(), make(**config), Jar()
    state = mine.new_state()
    jar.save(mine, state, _attempt())
    assert _find(other, jar.request(), state) is None
    assert not other.is_own_recent_state(state)
    # Even under the name the other one would look for.
    theirs = Jar()
    theirs.save(other, state, _attempt())
    ((name, _),), ((_, value),) = theirs.cookies.items(), jar.cookies.items()
    theirs.cookies[name] = value
    assert _find(other, theirs.request(), state) is None


def test_a_replaced_key_still_opens(
    make: Callable[..., AttemptCookies], now: Callable[[float], None]
) -> None:
    old, new = make(), make(SECRET_KEY="the next secret key, long enough", SECRET_KEY_FALLBACKS=[KEY])
    jar, state = Jar(), old.new_state()
    jar.save(old, state, _attempt())
    assert _find(new, jar.request(), state) is not None
    assert new.is_own_recent_state(state)
    jar.save(new, "next", _attempt())
    assert _find(old, jar.request(), "next") is None, "the newest key signs"


def test_the_newest_are_kept(attempts: AttemptCookies, now: Callable[[float], None]) -> None:
    jar = Jar()
    for number in range(20):
        jar.save(attempts, f"state {number}", _attempt(1_000_000 + number))
        assert len(jar.cookies) <= MAX_ATTEMPTS
    kept = [number for number in range(20) if _find(attempts, jar.request(), f"state {number}")]
    assert kept == list(range(14, 20))


def test_cookies_of_others_are_left_alone(
    attempts: AttemptCookies, make: Callable[..., AttemptCookies], now: Callable[[float], None]
) -> None:
    other, jar = make(CENTRALAUTH_URL_PREFIX="/other"), Jar()
    jar.cookies["session"] = "x" * 43
    jar.save(other, "theirs", _attempt(1))
    for number in range(10):
        jar.save(attempts, f"state {number}", _attempt(1_000_000 + number))
    assert jar.cookies["session"]
    now(1)
    assert _find(other, jar.request(), "theirs") is not None


def test_those_of_several_organizations_stay_small_together(
    make: Callable[..., AttemptCookies], now: Callable[[float], None]
) -> None:
    """Attack: tabs opened by a page until the application's own cookies are too long to be read."""
    beside: list[AttemptCookies] = []
    several = [make(CENTRALAUTH_URL_PREFIX=f"/{name}", beside=beside) for name in ("shop", "office", "press")]
    jar = Jar()
    for number in range(30):
        long = "".join(random.Random(number).choices(string.ascii_letters, k=300))
        jar.save(several[number % 3], f"state {number}", _attempt(1_000_000 + number, return_to=f"/{long}"))
        assert len(jar.cookies) <= MAX_ATTEMPTS
        assert sum(map(len, jar.cookies.values())) <= MAX_COOKIE_BYTES
    for number in (27, 28, 29):
        assert _find(several[number % 3], jar.request(), f"state {number}") is not None


def test_large_ones_make_room(attempts: AttemptCookies, now: Callable[[float], None]) -> None:
    jar = Jar()
    for number in range(6):
        # Random: nothing that compresses well.
        long = "".join(random.Random(number).choices(string.ascii_letters, k=800))
        jar.save(attempts, f"state {number}", _attempt(1_000_000 + number, return_to=f"/{long}"))
        assert sum(map(len, jar.cookies.values())) <= MAX_COOKIE_BYTES
    assert _find(attempts, jar.request(), "state 5") is not None


def test_forgetting_one(attempts: AttemptCookies, now: Callable[[float], None]) -> None:
    jar = Jar()
    for state in ("one", "two"):
        jar.save(attempts, state, _attempt())
    response = Response()
    attempts.forget(response, jar.request(), "one")
    jar.store(response)
    assert _find(attempts, jar.request(), "one") is None
    assert _find(attempts, jar.request(), "two") is not None


def test_states_are_ones_own(attempts: AttemptCookies, now: Callable[[float], None]) -> None:
    states = {attempts.new_state() for _ in range(100)}
    assert len(states) == 100
    state = states.pop()
    assert attempts.is_own_recent_state(state)
    for foreign in ("", "x", state[:-1], state + "x", "e30.x", "\ud800"):
        assert not attempts.is_own_recent_state(foreign)
    now(1_000_000 + 1801)
    assert not attempts.is_own_recent_state(state)


def test_an_outcome_is_remembered(attempts: AttemptCookies, now: Callable[[float], None]) -> None:
    jar, response = Jar(), Response()
    assert attempts.last_outcome(jar.request(), secure=True) is None
    attempts.save_outcome(response, 2, secure=True)
    jar.store(response)
    now(1_000_007)
    assert attempts.last_outcome(jar.request(), secure=True) == (2, 7)
    ((name, value),) = jar.cookies.items()
    jar.cookies[name] = value[:-1] + ("A" if value[-1] != "A" else "B")
    assert attempts.last_outcome(jar.request(), secure=True) is None
    jar.cookies[name] = value
    response = Response()
    attempts.forget_outcome(response, jar.request())
    jar.store(response)
    assert jar.cookies == {}


@pytest.mark.parametrize("secure", [True, False])
def test_the_attributes(attempts: AttemptCookies, now: Callable[[float], None], secure: bool) -> None:
    response = Response()
    scheme = "https" if secure else "http"
    attempts.save(response, Jar().request(), "state", _attempt(redirect_uri=f"{scheme}://app.example/cb"))
    attempts.save_outcome(response, 0, secure=secure)
    for header in response.headers.getlist("Set-Cookie"):
        name, *attributes = [part.strip() for part in header.split(";")]
        assert name.startswith("__Host-") is secure
        assert ("Secure" in attributes) is secure
        assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=1800"} <= set(attributes)
        assert not [attribute for attribute in attributes if attribute.startswith("Domain")]


def test_nothing_of_it_is_printed() -> None:
    text = repr(_attempt(return_to="/secret-page", user_id="user-1"))
    assert "v" * 10 not in text
    assert "secret" not in text
    assert "user-1" not in text
