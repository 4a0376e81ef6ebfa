"""Attacks 69 to 75: caches between us and people, and our own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Final

import pytest
from flask import current_app, g, session

from flask_centralauth import current_user

from ..browser_client import Browser
from ..browser_page import Hop
from ..conftest import MakeApp, RunServer
from ..raw_http import PAGE_VISIT, ask
from .conftest import MakeTarget
from .marks import attack
from .target import ALICE, BOB, Target


class StoreEverything:
    """A shared cache that stores whatever is not forbidden, and tells requests apart as ``Vary`` says."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._stored: dict[str, list[tuple[dict[str, str], Hop]]] = {}

    def get(self, path: str, **headers: str) -> Hop:
        for varied, hop in self._stored.get(path, ()):
            if all(headers.get(name, "") == value for name, value in varied.items()):
                return hop
        hop = ask(self._target.url + path, headers={**PAGE_VISIT, **headers})
        control = hop.headers.get("Cache-Control", "")
        if "no-store" not in control and "private" not in control:
            names = [name.strip() for name in hop.headers.get("Vary", "").split(",") if name.strip()]
            self._stored.setdefault(path, []).append(({name: headers.get(name, "") for name in names}, hop))
        return hop


@attack(69, "no-store on our answers and on guarded pages, Vary: Cookie wherever the session was read.")
def test_a_cache_that_stores_logins(make_target: MakeTarget) -> None:
    target = make_target(PERMANENT_SESSION_LIFETIME=20)

    @target.app.get("/greeting")
    def greeting() -> str:
        return f"Hello {current_user.email}"

    @target.app.get("/visits")
    def visits() -> str:
        session["visits"] = session.get("visits", 0) + 1
        return str(session["visits"])

    target.log_in()
    bob = target.log_in(target.person(BOB))
    cache = StoreEverything(target)
    for path in ("/greeting", "/visits", "/private", "/api/data", "/api/auth/user", "/api/auth/login"):
        for browser, email in ((target.browser, ALICE), (bob, BOB)):
            hop = cache.get(path, **target.as_sent_by(browser))
            assert email in hop.text or path in ("/visits", "/api/auth/login"), path
        stranger = cache.get(path)
        assert "example.com" not in stranger.text
    logins = [cache.get("/api/auth/login").headers["Set-Cookie"] for _ in range(2)]
    assert logins[0] != logins[1]


@attack(69)
def test_no_answer_with_a_cookie_may_be_stored(target: Target) -> None:
    page = target.browser.get(f"{target.url}/private")
    for hop in page.hops:
        if "Set-Cookie" in hop.headers:
            assert hop.headers["Cache-Control"] == "no-store"


@attack(70, "The user is at one address exactly; a suffix is not found, a query is not stored.")
@pytest.mark.parametrize(
    "path", ["user/x.css", "user;.js", "user%2f.css", "user%00.css", "user.css", "user%0a.css", "user?.css"]
)
def test_web_cache_deception(target: Target, path: str) -> None:
    target.log_in()
    hop = ask(target.auth(path), headers=target.as_sent_by())
    assert hop.status == 404 or hop.headers["Cache-Control"] == "no-store"
    assert (ALICE in hop.text) == (path == "user?.css")


@attack(71, "What is kept of a user is for this address and browser; any other asks CentralAuth.")
@pytest.mark.parametrize("other", ["ip", "user agent", "both"])
def test_cache_and_stolen_cookie(target: Target, other: str) -> None:
    target.log_in()
    assert target.who() == ALICE
    assert target.calls() == []
    client = target.app.test_client(use_cookies=False)
    answer = client.get(
        "/api/data",
        headers={**target.as_sent_by(), **({} if other == "ip" else {"User-Agent": "Thief"})},
        environ_base={"REMOTE_ADDR": "203.0.113.66" if other != "user agent" else "127.0.0.1"},
    )
    assert answer.status_code == 401
    asked = target.emulator.requests.one("userinfo")
    assert asked.headers["auth-ip"] == ("203.0.113.66" if other != "user agent" else "127.0.0.1")
    assert asked.error_code == "sessionInvalid"
    assert target.who() is None, "the stolen session is ended"


@attack(71)
def test_the_grace_is_for_the_same_browser_only(target: Target) -> None:
    target.log_in()
    target.emulator.fail("userinfo", status=503, times=None)
    client = target.app.test_client(use_cookies=False)
    answer = client.get(
        "/api/data", headers=target.as_sent_by(), environ_base={"REMOTE_ADDR": "203.0.113.66"}
    )
    assert answer.status_code == 503
    assert target.who() == ALICE


@attack(72, "What is kept is found by a random login id, or by SHA-256 of a token and its browser.")
def test_cache_key_collision(target: Target) -> None:
    token = target.emulator.tokens(user=ALICE, domain=target.url)["access_token"]
    good = ask(
        f"{target.url}/api/data", headers={"Authorization": f"Bearer {token}", "User-Agent": "unknown"}
    )
    assert good.status == 200
    other = target.emulator.tokens(user=BOB, domain=target.url)["access_token"]
    answer = ask(
        f"{target.url}/api/data", headers={"Authorization": f"Bearer {other}", "User-Agent": "unknown"}
    )
    assert answer.json() == {"email": BOB}
    target.emulator.requests.clear()
    for spelled in (
        f"{token} ",
        f" {token}",
        token + "=",
        token.replace(".", "\n", 1),
        token.replace(".", ". ", 1),
        token[:-1],
    ):
        sent = {"Authorization": "Bearer " + spelled.replace("\n", "%0a")}
        assert ask(f"{target.url}/api/data", headers=sent).status in (200, 401)


@attack(
    73,
    "Signing out ends the login in every worker at once; what CentralAuth ends shows within "
    "CENTRALAUTH_USER_TTL.",
    decided="60 seconds by default; 0 asks on every request",
)
def test_stale_user_after_logout(make_target: MakeTarget, make_app: MakeApp, live_server: RunServer) -> None:
    target = make_target()
    second = live_server(make_app(instance_path=Path(target.app.instance_path)))
    target.log_in()
    cookie = target.as_sent_by()
    assert ask(f"{second.url}/api/data", headers=cookie).status == 200
    page = target.browser.get(target.auth("logout"))
    target.browser.submit(page.forms[0])
    assert ask(f"{second.url}/api/data", headers=cookie).status == 401


@attack(73)
@pytest.mark.parametrize("change", ["block", "revoke"])
def test_stale_user_after_revocation(make_target: MakeTarget, change: str) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0)
    target.log_in()
    if change == "block":
        target.emulator.add_user(email=ALICE, blocked=True)
    else:
        target.emulator.fail("userinfo", error_code="sessionInactive")
    assert target.browser.fetch(f"{target.url}/api/data").status == (403 if change == "block" else 401)
    assert target.who() is None


@attack(74, "Only answers are kept, never failures; a refused token five seconds, for its own browser.")
def test_cached_failures(make_target: MakeTarget) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0, CENTRALAUTH_STALE_GRACE=0)
    target.log_in()
    target.emulator.fail("userinfo", status=503)
    assert target.browser.fetch(f"{target.url}/api/data").status == 503
    assert target.browser.fetch(f"{target.url}/api/data").status == 200
    bob = target.log_in(target.person(BOB))
    target.emulator.fail("userinfo", error_code="sessionInvalid")
    assert target.browser.fetch(f"{target.url}/api/data").status == 401
    assert target.who(bob) == BOB


PEOPLE: Final = 8


@attack(
    75, "What belongs to a person is in their request's environment and session, never on a shared object."
)
def test_parallel_people(make_target: MakeTarget) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0)
    inside = Barrier(PEOPLE)

    @target.app.get("/together")
    def together() -> str:
        before = current_user.email
        inside.wait(20)
        assert current_app.extensions["centralauth"]
        assert "user" not in g
        return f"{before} {current_user.email}"

    def visit(number: int) -> tuple[str, str]:
        email = f"person{number}@example.com"
        browser = Browser(target.emulator, user=email if number else None)
        if number:
            target.log_in(browser)
        found = [browser.get(f"{target.url}/together").text for _ in range(3)]
        return email, "|".join(found)

    with ThreadPoolExecutor(PEOPLE) as threads:
        for number, (email, seen) in enumerate(threads.map(visit, range(PEOPLE))):
            assert set(seen.replace("|", " ").split()) == ({email} if number else {"None"})
