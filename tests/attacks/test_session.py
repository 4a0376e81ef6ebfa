"""Attacks 22 to 34: the session and its cookie."""

from __future__ import annotations

import json
import logging
import pickle
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import pytest
from flask import Flask, session

from flask_centralauth import CentralAuth, ConfigurationError, ErrorCode, ServiceUnavailable, User
from flask_centralauth.emulator import Emulator
from flask_centralauth.session_cookie import MAX_SESSIONS
from flask_centralauth.session_guard import EMBEDDED_FILE, SessionGuard

from ..browser_client import Browser
from ..conftest import MakeApp, RunServer
from ..raw_http import ask
from .conftest import MakeTarget
from .marks import attack
from .target import ALICE, BOB, Target, query_of


def _with_views(target: Target) -> Target:
    @target.app.get("/put/<name>/<value>")
    def put(name: str, value: str) -> str:
        session[name] = value
        return "put"

    @target.app.get("/keys")
    def keys() -> dict[str, str]:
        return {key: value for key, value in session.items() if isinstance(value, str)}

    return target


def _fail(*_args: object) -> None:
    raise ServiceUnavailable(ErrorCode.STORE_UNAVAILABLE, "down")


def _rows(app: Flask) -> list[tuple[str, bytes, float]]:
    file = Path(app.instance_path) / EMBEDDED_FILE
    if not file.exists():
        return []
    connection = sqlite3.connect(file)
    try:
        return connection.execute("SELECT key, value, expires FROM entries").fetchall()
    finally:
        connection.close()


@attack(22, "A login gets a new session id, in the store before the answer; the old one is dead.")
def test_session_fixation(make_target: MakeTarget) -> None:
    target = _with_views(make_target())
    attacker = target.person(BOB)
    attacker.get(f"{target.url}/put/cart/book")
    fixed = target.cookie(attacker)
    victim = Browser(target.emulator, cookies=attacker.cookies.copy())
    target.log_in(victim)
    assert target.cookie(victim) != fixed
    assert target.who(attacker) is None
    assert not [key for key, _value, _expires in _rows(target.app) if fixed in key]


@attack(16)
@pytest.mark.parametrize("first", ["attacker", "victim"])
def test_cookie_tossing_of_the_attackers_session(target: Target, first: str) -> None:
    """A sibling domain sets it for a longer path, so that browsers send it before the victim's own."""
    attacker = target.log_in(target.person(BOB))
    victim = target.log_in()
    both = [target.cookie(attacker), target.cookie(victim)]
    cookie = "; ".join(f"session={sid}" for sid in (both if first == "attacker" else both[::-1]))
    headers = {"Cookie": cookie, "User-Agent": victim.user_agent}
    assert ask(f"{target.url}/api/data", headers=headers).status == 401, "neither counts"
    assert target.who(attacker) is None
    assert target.who(victim) is None
    target.log_in(victim)
    again = {**headers, "Cookie": f"session={both[0]}; session={target.cookie(victim)}"}
    assert ask(f"{target.url}/api/data", headers=again).json() == {"email": ALICE}, "a new login does"


@attack(16)
def test_cookie_tossing_of_other_sessions(target: Target) -> None:
    """What nobody is logged in with, and what is not known at all, does not stand before a login."""

    @target.app.get("/cart")
    def cart() -> str:
        session["cart"] = "of the attacker"
        return "in the cart"

    victim = target.log_in()
    started = ask(f"{target.url}/cart")
    anonymous = str(started.headers["Set-Cookie"]).partition(";")[0]
    own = f"session={target.cookie(victim)}"
    for planted in (anonymous, "session=unknown", f"session={'x' * 43}", "session=", *["session=a"] * 2):
        for cookie in (f"{planted}; {own}", f"{own}; {planted}"):
            headers = {"Cookie": cookie, "User-Agent": victim.user_agent}
            assert ask(f"{target.url}/api/data", headers=headers).json() == {"email": ALICE}, cookie


@attack(16)
@pytest.mark.parametrize("first", ["attacker", "victim"])
def test_cookie_tossing_of_more_sessions_than_are_looked_at(target: Target, first: str) -> None:
    """So that the attacker's is among those looked at, and the victim's is not."""
    attacker = target.log_in(target.person(BOB))
    victim = target.log_in()
    own, junk = [target.cookie(victim)], [f"junk{number}" for number in range(MAX_SESSIONS)]
    planted = [*junk[1:], target.cookie(attacker)]
    cookie = "; ".join(f"session={sid}" for sid in (planted + own if first == "attacker" else own + planted))
    headers = {"Cookie": cookie, "User-Agent": victim.user_agent}
    assert ask(f"{target.url}/api/data", headers=headers).status == 401
    assert target.who(victim) == ALICE, "without what was planted, the login goes on"


@attack(23, "An id the store does not know is never taken over.")
@pytest.mark.parametrize("chosen", ["ATTACKERCHOSEN", "../../etc/passwd", "a:b:c", "x" * 160])
def test_unknown_session_id(make_target: MakeTarget, chosen: str) -> None:
    target = _with_views(make_target())
    answer = ask(f"{target.url}/put/a/b", headers={"Cookie": f"session={chosen}"})
    assert answer.status == 200
    assert f"session={chosen}" not in answer.headers["Set-Cookie"]
    assert not [key for key, _value, _expires in _rows(target.app) if chosen in key]


@attack(
    24, "Signing out removes the session and its login record; sessions in the cookie itself are refused."
)
def test_cookie_replay_after_logout(target: Target) -> None:
    target.log_in()
    stolen = Browser(target.emulator, cookies=target.browser.cookies.copy())
    page = target.browser.get(target.auth("logout"))
    target.browser.submit(page.forms[0])
    assert target.who(stolen) is None
    assert stolen.fetch(f"{target.url}/api/data").status == 401


@attack(24)
def test_sessions_in_the_cookie_are_refused(emulator: Emulator, tmp_path: Path) -> None:
    from flask.sessions import SecureCookieSessionInterface

    class Own(SecureCookieSessionInterface):
        pass

    app = Flask("cookies", instance_path=str(tmp_path))
    app.config.update(emulator.config, SECRET_KEY="a secret key, long enough")
    app.session_interface = Own()
    with pytest.raises(ConfigurationError, match="tokens do not go to the browser"):
        CentralAuth(app)


@attack(25, "A session is written back only where it still is, in one step with looking.")
def test_a_slow_request_does_not_undo_a_logout(make_target: MakeTarget) -> None:
    target = make_target()
    inside, finish = Event(), Event()

    @target.app.get("/slow")
    def slow() -> str:
        session["written"] = "late"
        inside.set()
        assert finish.wait(10)
        return "done"

    target.log_in()
    stolen = Browser(target.emulator, cookies=target.browser.cookies.copy())
    answers: list[int] = []
    slow_tab = target.browser.tab()
    thread = Thread(target=lambda: answers.append(slow_tab.get(f"{target.url}/slow").status))
    thread.start()
    assert inside.wait(10)
    page = target.browser.get(target.auth("logout"))
    target.browser.submit(page.forms[0])
    finish.set()
    thread.join(10)
    assert answers == [200]
    assert target.who(stolen) is None
    assert target.who(slow_tab) is None


@attack(25)
@pytest.mark.parametrize("how", ["logout", "logout before the store fails", "logout_user"])
def test_an_affirmation_does_not_undo_a_logout(
    make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It began before, as the same person; its answer would have been a login."""
    target = make_target()
    inside, finish = Event(), Event()
    target.log_in()
    user_id = target.browser.fetch(target.auth("user")).json()["id"]

    # Afterwards, so that the login itself does not wait.
    def wait(_user: User) -> None:
        inside.set()
        assert finish.wait(10)

    target.app.extensions["centralauth"].login_hooks.append(wait)
    asked = target.browser.get(target.auth("affirm", "return_to=/private"), follow=False)
    url = target.authorize(asked.last, target.browser)
    slow_tab = target.browser.tab()
    thread = Thread(target=lambda: slow_tab.get(url, follow=False))
    thread.start()
    assert inside.wait(10)
    if how != "logout_user":
        target.browser.submit(target.browser.get(target.auth("logout")).forms[0])
    else:
        state = target.app.extensions["centralauth"]
        with target.app.app_context():
            state.logins.end_all(user_id)
            state.users.expect_news()
    with monkeypatch.context() as store:
        if how == "logout before the store fails":
            store.setattr(SessionGuard, "discard", _fail)
        finish.set()
        thread.join(10)
    assert target.who() is None
    assert target.who(slow_tab) is None


@attack(
    26,
    "HttpOnly and Lax always, Secure with an https callback; `flask centralauth check` looks at the rest.",
    decided="the session cookie has the name the application gives it; attempts are in __Host- cookies",
)
def test_cookie_attributes(make_target: MakeTarget) -> None:
    target = make_target(CENTRALAUTH_CALLBACK_URL="https://app.example/api/auth/callback")
    answers = [target.app.test_client().get("/api/auth/login", base_url="https://app.example")]
    for cookie in answers[0].headers.getlist("Set-Cookie"):
        assert cookie.startswith("__Host-")
        for attribute in ("; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"):
            assert attribute in cookie
        assert "Domain" not in cookie
    assert target.app.config["SESSION_COOKIE_SECURE"] is True
    assert target.app.config["SESSION_COOKIE_SAMESITE"] == "Lax"
    assert target.app.config["SESSION_COOKIE_HTTPONLY"] is True


@attack(26)
def test_session_cookie_attributes_in_development(target: Target) -> None:
    target.browser.get(target.start(), follow=False)
    cookie = target.browser.cookies.get("session")
    assert cookie is not None
    assert (cookie.http_only, cookie.same_site, cookie.path, cookie.host_only) == (True, "lax", "/", True)


LIFETIMES: Final[list[dict[str, Any]]] = [
    {"expires_in": "3600"},
    {"expires_in": -1},
    {"expires_in": 0},
    {"expires_in": 1e308},
    {"expires_in": True},
    {"expires_in": [1]},
    {"expires_in": 10**400},
    {"expires_in": None, "expires_at": "garbage"},
    {"expires_in": None, "expires_at": "2001-01-01T00:00:00Z"},
    {"expires_in": None, "expires_at": 7},
]


@attack(27, "A lifetime is a positive whole number, or null, which means the session's own.")
@pytest.mark.parametrize("lifetime", LIFETIMES, ids=[str(sorted(one.items()))[:40] for one in LIFETIMES])
def test_lifetime_confusion(target: Target, lifetime: dict[str, Any]) -> None:
    url = target.start()
    target.emulator.fail("verify", patch=lifetime)
    page = target.browser.get(url)
    assert page.status == 503
    assert target.who() is None


@attack(27)
def test_the_shorter_lifetime_counts(target: Target, later: Callable[[float], None]) -> None:
    url = target.start()
    target.emulator.fail("verify", patch={"expires_in": 100})
    target.browser.get(url)
    assert target.who() == ALICE
    later(101)
    assert target.who() is None


@attack(27)
def test_no_lifetime_is_the_sessions_own(make_target: MakeTarget, later: Callable[[float], None]) -> None:
    target = make_target(PERMANENT_SESSION_LIFETIME=600)
    url = target.start()
    target.emulator.fail("verify", patch={"expires_in": None, "expires_at": None})
    target.browser.get(url)
    assert target.who() == ALICE
    later(601)
    assert target.who() is None


@attack(28, "Another user in the same browser starts with an empty session.")
def test_bleed_between_users(make_target: MakeTarget) -> None:
    target = _with_views(make_target())
    target.log_in()
    target.browser.get(f"{target.url}/put/is_admin/yes")
    target.browser.user = BOB
    target.browser.get(target.auth("login"))
    assert target.who() == BOB
    assert target.browser.fetch(f"{target.url}/keys").json() == {}


@attack(28)
def test_bleed_after_a_login_that_ended(make_target: MakeTarget) -> None:
    target = _with_views(make_target(CENTRALAUTH_USER_TTL=0, CENTRALAUTH_STALE_GRACE=0))
    target.log_in()
    target.browser.get(f"{target.url}/put/is_admin/yes")
    target.emulator.fail("userinfo", error_code="sessionExpired")
    target.browser.user = BOB
    target.browser.get(target.auth("login"))
    assert target.who() == BOB
    assert target.browser.fetch(f"{target.url}/keys").json() == {}


@attack(29, "A login names its application; another one that reads the same session sees nobody.")
@pytest.mark.parametrize(
    "other",
    [
        {"CENTRALAUTH_URL_PREFIX": "/auth"},
        {"CENTRALAUTH_CLIENT_ID": "another-organization"},
        {"CENTRALAUTH_CALLBACK_URL": "http://127.0.0.1:9/b/api/auth/callback"},
    ],
)
def test_two_applications_one_cookie(
    make_target: MakeTarget, make_app: MakeApp, live_server: RunServer, other: dict[str, str]
) -> None:
    target = make_target(SESSION_KEY_PREFIX="session:")
    target.log_in()
    second = make_app(instance_path=Path(target.app.instance_path), SESSION_KEY_PREFIX="session:", **other)
    server = live_server(second)
    answer = ask(f"{server.url}/api/data", headers={"Cookie": f"session={target.cookie()}"})
    assert answer.status == 401
    assert target.who() == ALICE


@attack(30, "A user of another organization is refused, at login, while signed in and by token.",
        decided="a user without an organization is let in")  # fmt: skip
def test_organization_confusion(make_target: MakeTarget) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0, CENTRALAUTH_STALE_GRACE=0)
    url = target.start()
    target.emulator.fail("userinfo", patch={"organizationId": "another"})
    assert target.browser.get(url).status == 403
    assert target.who() is None
    target.log_in(target.person())
    target.browser.get(target.start())
    target.emulator.fail("userinfo", patch={"organizationId": "another"}, times=None)
    assert target.browser.get(f"{target.url}/private").status == 403
    token = target.emulator.tokens(user=ALICE, domain=target.url)["access_token"]
    answer = ask(f"{target.url}/api/data", headers={"Authorization": f"Bearer {token}"})
    assert answer.status == 403


@attack(31, "Whatever a Cookie header holds is at most no session.")
@pytest.mark.parametrize(
    "cookie",
    [
        "foo",
        "x=%E0%A4%A",
        "session=a=b=c",
        "session=" + "x" * 60_000,
        "; ".join(f"c{number}=v" for number in range(300)),
        "session=\xff\xfe; =; ;;;",
        "session; session=; session=\x7f",
        'session="\\000\\001"',
    ],
    ids=range(8),
)
def test_cookies_that_break_parsers(target: Target, cookie: str) -> None:
    answer = ask(target.auth("user"), headers={"Cookie": cookie})
    assert (answer.status, answer.json()) == (200, None)
    assert ask(f"{target.url}/api/data", headers={"Cookie": cookie}).status == 401


@attack(32, "A started login costs the store nothing; a browser keeps six.")
def test_session_flood(target: Target) -> None:
    client = target.app.test_client(use_cookies=False)
    for _ in range(300):
        assert client.get("/api/auth/login").status_code == 302
    assert _rows(target.app) == []
    for _ in range(30):
        target.browser.get(target.auth("login"), follow=False)
    assert len([cookie for cookie in target.browser.cookies if cookie.name.startswith("centralauth_")]) <= 6


@attack(32)
def test_failed_logins_leave_nothing_that_lasts(target: Target) -> None:
    for _ in range(5):
        client = target.app.test_client()
        started = client.get("/api/auth/login", headers={"Accept": "text/html"})
        state = query_of(started.headers["Location"])["state"][0]
        client.get(f"/api/auth/callback?error=genericError&state={state}", headers={"Accept": "text/html"})
    lasting = [key for key, _value, expires in _rows(target.app) if expires > time.time() + 3600]
    assert lasting == []


class Exploit:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploited"),)


@attack(
    33, "Session records are MessagePack or JSON and are never unpickled; cachelib's caches are warned of."
)
def test_pickle_in_the_store(
    make_target: MakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    target = _with_views(make_target())
    target.browser.get(f"{target.url}/put/a/b")
    connection = sqlite3.connect(Path(target.app.instance_path) / EMBEDDED_FILE)
    connection.execute("UPDATE entries SET value = ?", (pickle.dumps(Exploit()),))
    connection.commit()
    connection.close()
    assert target.who() is None
    assert not (tmp_path / "exploited").exists()


@attack(33)
def test_cachelib_is_warned_of(make_app: MakeApp, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from cachelib import FileSystemCache

    with caplog.at_level(logging.WARNING, logger="flask_centralauth"):
        make_app(SESSION_TYPE="cachelib", SESSION_CACHELIB=FileSystemCache(str(tmp_path / "cache")))
    assert "cachelib unpickles what it reads" in caplog.text


@attack(
    34,
    "Encryption at rest is not offered: whoever reads the session store has the tokens. The embedded "
    "store's file "
    "is its owner's alone, and no cookie holds a token.",
    state="not offered",
)
def test_tokens_at_rest(target: Target) -> None:
    target.browser.get(f"{target.url}/private")
    token = json.loads(target.emulator.requests.one("verify").reply)["access_token"]
    file = Path(target.app.instance_path) / EMBEDDED_FILE
    assert file.stat().st_mode & 0o077 == 0
    for cookie in target.browser.cookies:
        assert token[:40] not in cookie.value
