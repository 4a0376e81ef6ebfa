"""Attacks 90 to 104: who somebody is, who decides it, and what an application may hand over."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from functools import wraps
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
import requests
from flask import Flask
from flask.views import MethodView

from flask_centralauth import CentralAuth, User, auth_required, current_user
from flask_centralauth.bearer import MAX_REFUSALS
from flask_centralauth.emulator import Emulator
from flask_centralauth.emulator.tokens import issue_token, read_token
from flask_centralauth.signals import user_affirmed
from flask_centralauth.user import parse_user

from ..browser_client import Browser
from ..browser_page import Hop
from ..conftest import MakeApp, RunServer
from ..raw_http import PAGE_VISIT, ask
from .conftest import MakeTarget
from .mail import add_mail_form, mail_of
from .marks import attack
from .target import ALICE, BOB, Target, assert_refused, query_of
from .tls import certificate, tls_server

MADE_UP: Final = "eyJhbGciOiJkaXIifQ..AAAA.BBBB.CCCC"


@attack(90, "Refused at login with a page, and signed out while signed in, unless CENTRALAUTH_ALLOW_BLOCKED.")
@pytest.mark.parametrize("allowed", [False, True])
def test_blocked_user(make_target: MakeTarget, allowed: bool) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0, CENTRALAUTH_ALLOW_BLOCKED=allowed)
    target.log_in()
    target.emulator.add_user(email=ALICE, blocked=True)
    assert target.browser.get(f"{target.url}/private").status == (200 if allowed else 403)
    assert (target.who() is None) != allowed
    other = target.person()
    assert other.get(target.auth("login")).status == (200 if allowed else 403)
    assert (target.who(other) is None) != allowed


@attack(
    91,
    "CENTRALAUTH_REQUIRE_VERIFIED refuses everywhere, auth_required(verified=True) on one page.",
    decided="unverified users are let in unless the setting says otherwise",
)
@pytest.mark.parametrize("required", [False, True])
def test_unverified_user(make_target: MakeTarget, required: bool) -> None:
    target = make_target(CENTRALAUTH_REQUIRE_VERIFIED=required)

    @target.app.get("/verified")
    @auth_required(verified=True)
    def verified() -> str:
        return "only for the verified"

    target.emulator.add_user(email=ALICE, verified=False)
    page = target.browser.get(f"{target.url}/verified")
    assert page.status == 403
    assert "only for the verified" not in page.text
    assert (target.who() is None) == required


@attack(92, "A user is their organization and id; addresses are for display.")
def test_email_as_identity(make_target: MakeTarget) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0, CENTRALAUTH_STALE_GRACE=0)
    target.log_in()
    target.emulator.fail("userinfo", patch={"id": "somebody-else"})
    assert target.browser.fetch(f"{target.url}/api/data").status == 401
    assert target.who() is None
    users = [
        parse_user({"id": number, "email": email, "blocked": False})
        for number, email in (
            ("1", "Admin@x.example"),
            ("2", "admin@x.example"),
            ("2", "\uff41dmin@x.example"),
        )
    ]
    assert users[0] != users[1]
    assert users[1] == users[2]
    other = parse_user({"id": "1", "email": "Admin@x.example", "blocked": False, "organizationId": "b"})
    assert users[0] != other


def _affirm(target: Target, browser: Browser | None = None) -> str:
    browser = browser or target.browser
    started = browser.get(target.auth("affirm", {"return_to": "/private"}), follow=False)
    assert query_of(started.last.location)["affirm"] == ["1"]
    url = target.authorize(started.last, browser)
    assert query_of(url)["affirm"] == ["1"]
    return url


@pytest.fixture
def affirmed() -> Iterator[list[str | None]]:
    """Whose affirmations listeners are told of."""
    told: list[str | None] = []

    def listen(_app: Flask, *, user: User) -> None:
        told.append(user.email)

    with user_affirmed.connected_to(listen):
        yield told


MARKERS: Final[dict[str, Callable[[str], str]]] = {
    "kept": lambda url: url,
    "removed": lambda url: url.replace("&affirm=1", "").replace("affirm=1&", ""),
    "empty": lambda url: url.replace("affirm=1", "affirm="),
    "no": lambda url: url.replace("affirm=1", "affirm=0"),
    "twice": lambda url: f"{url}&affirm=0",
    "forged": lambda url: f"{url}&purpose=login&user_id=x&return_to=https://evil.example/",
}


@attack(93, "Purpose and expected user are in the signed attempt; whoever else confirms changes nothing.")
@pytest.mark.parametrize("marker", MARKERS)
def test_affirm_as_somebody_else(target: Target, affirmed: list[str | None], marker: str) -> None:
    target.log_in()
    target.browser.user = BOB
    page = target.browser.get(MARKERS[marker](_affirm(target)))
    assert page.status == 403
    assert target.who() == ALICE
    assert affirmed == []


@attack(93)
@pytest.mark.parametrize("marker", MARKERS)
def test_affirm_marker_changed(target: Target, affirmed: list[str | None], marker: str) -> None:
    target.log_in()
    page = target.browser.get(MARKERS[marker](_affirm(target)))
    assert (page.text, page.path) == (ALICE, "/private")
    assert affirmed == [ALICE], "what the attempt was for counts"


@attack(93)
def test_affirm_marker_added(target: Target, affirmed: list[str | None]) -> None:
    add_mail_form(target.app)
    target.emulator.configure(mail_wait=0)
    assert target.browser.get(f"{target.start()}&affirm=1").text == ALICE
    login = target.browser.get(target.auth("login", "affirm=1&purpose=affirm&user_id=x"), follow=False)
    assert "affirm" not in query_of(login.last.location)
    assert target.browser.get(f"{mail_of(target, target.browser)}&affirm=1").status == 200
    stranger = target.person()
    question = stranger.get(f"{mail_of(target, target.person())}&affirm=1")
    stranger.submit(question.forms[0], {"affirm": "1", "purpose": "affirm"})
    assert target.who(stranger) == ALICE
    assert affirmed == []


@attack(93)
@pytest.mark.parametrize("meanwhile", ["signed out", "somebody else signed in"])
def test_affirm_for_somebody_who_left(target: Target, affirmed: list[str | None], meanwhile: str) -> None:
    target.log_in()
    url = _affirm(target)
    target.browser.submit(target.browser.get(target.auth("logout")).forms[0], follow=False)
    expected = None
    if meanwhile == "somebody else signed in":
        target.browser.user = expected = BOB
        target.log_in()
    assert target.browser.get(url).status == 403
    assert target.who() == expected
    assert affirmed == []


def _now(**ago: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(**ago)).isoformat()


def _add_payout(target: Target) -> None:
    @target.app.get("/payout")
    @auth_required(affirmed_within=300)
    def payout() -> str:
        return "paid"


DATES: Final[dict[str, Callable[[], Any]]] = {
    "none": lambda: None,
    "old": lambda: _now(hours=1),
    "before it was asked for": lambda: _now(minutes=2),
    "future": lambda: _now(hours=-1),
    "near future": lambda: _now(minutes=-2),
    "no date": lambda: "now",
    "a number": lambda: 1,
    "far": lambda: "9999-12-31T23:59:59-14:00",
    "before time": lambda: "0001-01-01T00:00:00+14:00",
}


@attack(94, "CentralAuth is asked afresh; no date, an old one or one from the future is no affirmation.")
@pytest.mark.parametrize("date", DATES.values(), ids=list(DATES))
def test_affirmation_date(target: Target, affirmed: list[str | None], date: Callable[[], Any]) -> None:
    target.log_in()
    url = _affirm(target)
    target.emulator.fail("userinfo", patch={"affirmationDate": date()})
    page = target.browser.get(url)
    assert page.status in (403, 503)
    assert target.who() == ALICE
    assert affirmed == []


@attack(94)
def test_affirmation_without_affirming(target: Target, affirmed: list[str | None]) -> None:
    """Soon after the last one the address of CentralAuth's page is edited: no ``affirm`` in it."""
    target.emulator.fail("userinfo", patch={"affirmationDate": _now(seconds=20)}, times=None)
    target.log_in()
    login = target.browser.get(target.auth("affirm"), follow=False).last.location
    assert login is not None
    page = target.browser.get(login.replace("affirm=1", "affirm=0"))
    assert page.status == 403
    assert target.who() == ALICE
    assert affirmed == []


@attack(94)
def test_affirmation_held_back(
    target: Target, affirmed: list[str | None], later: Callable[[float], None]
) -> None:
    """Somebody affirms and leaves; whoever comes after loads the callback ten minutes later."""
    _add_payout(target)
    target.log_in()
    url = _affirm(target)
    target.emulator.configure(code_lifetime=3600)
    target.emulator.fail("userinfo", patch={"affirmationDate": _now()}, times=None)
    later(600)
    assert target.browser.get(url).text == ALICE
    assert target.browser.fetch(f"{target.url}/payout").status == 401


@attack(94)
def test_affirmation_with_what_was_known_before(make_target: MakeTarget, affirmed: list[str | None]) -> None:
    """A user who is kept for long, and a service that cannot be asked: neither is an affirmation."""
    target = make_target(CENTRALAUTH_USER_TTL=3600, CENTRALAUTH_STALE_GRACE=3600)
    _add_payout(target)
    target.emulator.fail("userinfo", patch={"affirmationDate": _now(hours=1)})
    target.log_in()
    assert target.browser.fetch(f"{target.url}/payout").status == 401
    url = _affirm(target)
    target.emulator.fail("userinfo", status=503)
    assert target.browser.get(url).status == 503
    assert target.browser.fetch(f"{target.url}/payout").status == 401
    assert affirmed == []
    assert target.browser.get(_affirm(target)).text == ALICE
    assert affirmed == [ALICE]
    assert target.browser.fetch(f"{target.url}/payout").text == "paid"


@attack(94)
def test_affirmation_counts_for_one_login(make_target: MakeTarget) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=3600)
    _add_payout(target)
    other = target.person()
    for browser in (target.browser, other):
        target.emulator.fail("userinfo", patch={"affirmationDate": _now(hours=1)})
        target.log_in(browser)
    url = _affirm(target)
    assert target.browser.get(url).text == ALICE
    assert target.browser.fetch(f"{target.url}/payout").text == "paid"
    assert other.fetch(f"{target.url}/payout").status == 401
    target.emulator.requests.clear()
    assert target.browser.get(url, follow=False).headers["Location"] == "/", "it counts once"
    assert "verify" not in target.calls()


@attack(94)
@pytest.mark.parametrize(
    "date", [DATES[name] for name in ("none", "old", "future")], ids=["none", "old", "future"]
)
def test_a_guard_that_wants_an_affirmation(make_target: MakeTarget, date: Callable[[], Any]) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0)
    _add_payout(target)
    target.log_in()
    target.emulator.fail("userinfo", patch={"affirmationDate": date()}, times=None)
    answer = target.browser.fetch(f"{target.url}/payout")
    assert answer.status == 401
    assert "/affirm" in answer.json()["loginUrl"]


HEADERS: Final = {
    "basic": ([("Authorization", "Basic eDp5")], 200),
    "digest": ([("Authorization", "Digest x")], 200),
    "empty bearer": ([("Authorization", "Bearer")], 401),
    "bearer and blank": ([("Authorization", "Bearer ")], 401),
    "made up": ([("Authorization", f"bearer {MADE_UP}")], 401),
    "two words": ([("Authorization", "Bearer a b")], 401),
    "two headers": ([("Authorization", f"Bearer {MADE_UP}"), ("Authorization", "Basic eDp5")], 401),
    "in the query": ([("X-Authorization", "Bearer x")], 200),
}


@attack(
    95,
    "Whoever brings a bearer token is judged by it alone, whatever cookie comes along; other schemes "
    "are not ours.",
    decided="bearer tokens are always understood",
)
@pytest.mark.parametrize(("sent", "status"), HEADERS.values(), ids=list(HEADERS))
def test_authorization_header_confusion(target: Target, sent: list[tuple[str, str]], status: int) -> None:
    target.log_in()
    hop = ask(f"{target.url}/api/data", headers=[*target.as_sent_by().items(), *sent])
    assert hop.status == status
    assert target.who() == ALICE


@attack(95)
def test_cookie_of_one_and_token_of_another(target: Target) -> None:
    target.log_in()
    token = target.emulator.tokens(user=BOB, domain=target.url)["access_token"]
    hop = ask(f"{target.url}/api/data", headers={**target.as_sent_by(), "Authorization": f"BEARER {token}"})
    assert hop.json() == {"email": BOB}
    assert "Set-Cookie" not in hop.headers
    assert target.who() == ALICE
    for query in ("access_token", "token"):
        assert ask(f"{target.url}/api/data?{query}={token}").status == 401


@attack(
    96,
    "The session cookie is SameSite=Lax, so a form of another site comes without a login; sites of "
    "the same domain "
    "are for the application's own CSRF protection.",
    decided="auth_required checks no origin",
)
def test_csrf_on_views(target: Target) -> None:
    target.log_in()
    target.browser.page = target.browser.get(f"{target.emulator.url}/")
    target.browser.page = type(target.browser.page)(
        (
            Hop(
                "GET",
                "http://evil.example/",
                target.browser.page.last.sent,
                200,
                target.browser.page.headers,
                b"",
            ),
        )
    )
    answer = target.browser.submit(f"{target.url}/save", {"text": "x"}, follow=False)
    assert "Cookie" not in answer.last.sent
    assert answer.status == 303
    assert "saves" not in target.app.extensions


@attack(
    97,
    "A token is five parts of base64url and at most 8 KiB, or nobody is asked; refusals are kept for 5 s, "
    "and an address that brings 20 bad ones within 10 s has to wait.",
)
@pytest.mark.parametrize(
    "token",
    [
        "x",
        "x" * 1_000,
        "a.b.c.d.e.f",
        "a.b.c",
        "a b.c.d.e.f",
        "....",
        "a..b.c.d" + "e" * 9_000,
        "ä.b.c.d.e",
        "a..b.c.d\x00",
    ],
    ids=range(9),
)
def test_malformed_tokens(target: Target, token: str) -> None:
    for _ in range(5):
        sent = {"Authorization": b"Bearer ".decode() + token.encode().decode("latin-1")}
        try:
            assert ask(f"{target.url}/api/data", headers=sent).status == 401
        except ValueError:
            return  # no HTTP client sends it
    assert target.calls() == []


@attack(97)
def test_a_refused_token_is_asked_about_once(target: Target) -> None:
    for _ in range(5):
        assert ask(f"{target.url}/api/data", headers={"Authorization": f"Bearer {MADE_UP}"}).status == 401
    assert target.calls() == ["userinfo"]


@attack(97)
def test_invented_tokens_cost_few_calls(target: Target) -> None:
    answers = [
        ask(f"{target.url}/api/data", headers={"Authorization": f"Bearer {MADE_UP}{number}"})
        for number in range(60)
    ]
    assert target.calls() == ["userinfo"] * MAX_REFUSALS
    assert [answer.status for answer in answers] == [401] * MAX_REFUSALS + [429] * (60 - MAX_REFUSALS)
    assert answers[-1].headers["Retry-After"] == "10"


@attack(
    98,
    "CENTRALAUTH_CALLBACK_URL, or Flask's TRUSTED_HOSTS; without both a warning at start says so.",
    decided="without either, the callback is built by url_for from the request's host",
)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"X-Forwarded-Host": "evil.example"},
        {"X-Host": "evil.example"},
        {"Forwarded": "host=evil.example"},
    ],
    ids=str,
)
def test_host_header(make_target: MakeTarget, headers: dict[str, str]) -> None:
    fixed = make_target(CENTRALAUTH_CALLBACK_URL="https://app.example/api/auth/callback")
    answer = fixed.get("/api/auth/login", headers)
    assert query_of(answer.location)["redirect_uri"] == ["https://app.example/api/auth/callback"]
    trusting = make_target(TRUSTED_HOSTS=["127.0.0.1", "localhost"])
    answer = trusting.get("/api/auth/login", headers)
    assert answer.status == (400 if "Host" in headers else 302)
    assert "evil" not in str(answer.headers)


@attack(98)
def test_an_untrusted_host_is_warned_of(make_target: MakeTarget, caplog: pytest.LogCaptureFixture) -> None:
    make_target(TESTING=False)
    assert "The Host header, which anybody can choose" in caplog.text


def _logging(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def logged(*args: Any, **options: Any) -> Any:
        return view(*args, **options)

    return logged


@attack(
    99,
    "Exemptions are by endpoint, a guard that cannot work stops every request, and errors are never a pass.",
)
@pytest.mark.parametrize(
    "path",
    [
        "//api/auth/login",
        "/api/auth/callback/../admin",
        "/API/AUTH/LOGIN",
        "/static/../admin",
        "/admin?x=/static/",
        "/admin/%2e%2e/static/x",
        "/static%2f..%2fadmin",
        "/admin",
        "/admin/",
        "/./admin",
        "/admin;/static/",
        "/api/auth/login/../../../admin",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_paths_around_a_guard(make_target: MakeTarget, path: str, method: str) -> None:
    target = make_target()
    app = target.app
    CentralAuth().protect(app)

    @app.route("/admin", methods=["GET", "POST"])
    @app.route("/<path:rest>", methods=["GET", "POST"])
    def admin(rest: str = "") -> str:
        return "secret"

    hop = ask(target.url + path, method=method, headers={"Content-Length": "0"} if method == "POST" else {})
    assert hop.status in (302, 308, 400, 401, 404, 405)
    assert "secret" not in hop.text


@attack(99)
def test_every_kind_of_view(make_target: MakeTarget) -> None:
    target = make_target()
    app = target.app

    @app.get("/async")
    @auth_required
    async def with_async() -> str:
        return f"secret {current_user.id}"

    @app.get("/generator")
    @auth_required
    def generator() -> Iterator[str]:
        yield "secret"

    @app.get("/wrapped")
    @_logging
    @auth_required
    @_logging
    def wrapped() -> str:
        return "secret"

    class Item(MethodView):
        decorators = [auth_required]  # noqa: RUF012 - as Flask has it

        def get(self) -> str:
            return "secret"

        def delete(self) -> str:
            return "secret"

    class Method(MethodView):
        @auth_required
        def get(self) -> str:
            return "secret"

    app.add_url_rule("/item", view_func=Item.as_view("item"))
    app.add_url_rule("/method", view_func=Method.as_view("method"))
    for path in ("/async", "/generator", "/wrapped", "/item", "/method"):
        assert ask(target.url + path).status == 401
        assert "secret" not in ask(target.url + path, headers=PAGE_VISIT).text
    assert ask(f"{target.url}/item", method="DELETE").status == 401
    target.log_in()
    for path in ("/async", "/generator", "/wrapped", "/item", "/method"):
        assert "secret" in target.browser.get(target.url + path).text


def _open_view(app: Flask, between: Callable[[Any], Any]) -> None:
    @auth_required
    @between
    @app.get("/open")
    def open_view() -> str:
        return "secret"


@attack(99)
def test_a_guard_above_the_route(make_target: MakeTarget) -> None:
    target = make_target(PROPAGATE_EXCEPTIONS=False)
    _open_view(target.app, lambda view: view)
    for path in ("/open", "/"):
        hop = target.get(path)
        assert hop.status == 500
        assert "secret" not in hop.text


@attack(99)
def test_a_guard_above_the_route_and_another_decorator(make_target: MakeTarget) -> None:
    target = make_target(PROPAGATE_EXCEPTIONS=False)
    _open_view(target.app, _logging)
    assert "secret" not in target.get("/open").text


@attack(99)
@pytest.mark.parametrize("broken", ["admits", "recall", "user_of", "current"])
def test_a_check_that_breaks_is_no_pass(
    make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    target = make_target(PROPAGATE_EXCEPTIONS=False)
    target.log_in()
    state = target.app.extensions["centralauth"]

    def fails(*_args: Any, **_options: Any) -> Any:
        raise KeyError("a fault of ours")

    def visit() -> Hop:
        return ask(f"{target.url}/private", headers={**PAGE_VISIT, **target.as_sent_by()})

    # The guard keeps what let the last visitor in; when that does not know, it takes what there is then.
    monkeypatch.setattr(state, "admits", fails if broken == "admits" else lambda: False)
    state.users.expect_news()
    assert ALICE in visit().text
    # One after the other: each is asked when the one before it does not know.
    for name in ("recall", "user_of"):
        if name == broken:
            monkeypatch.setattr(state.users, name, fails)
            break
        monkeypatch.setattr(state.users, name, lambda *_args: None)
    else:
        if broken == "current":
            monkeypatch.setattr(state.logins, "current", fails)
    hop = visit()
    assert hop.status == 500
    assert ALICE not in hop.text


@attack(100)
def test_local_id_tokens(target: Target) -> None:
    target.browser.get(f"{target.url}/private")
    id_token = json.loads(target.emulator.requests.one("verify").reply)["id_token"]
    target.emulator.requests.clear()
    target.emulator.fail("userinfo", error_code="tokenInvalid", times=None)
    forged = [id_token, id_token[:-4] + "AAAA", MADE_UP]
    for algorithm in ("none", "A256KW", "dir"):
        header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm}).encode()).rstrip(b"=").decode()
        forged.append(header + id_token[id_token.index(".") :])
    for token in forged:
        for headers in (
            {"Authorization": f"Bearer {token}"},
            {"Cookie": f"idToken={token}; session={token}"},
        ):
            assert ask(f"{target.url}/api/data", headers=headers).status == 401
    assert target.app.extensions["centralauth"].settings.unsafe_local_id_token is False


@attack(
    100,
    "CentralAuth is asked about an id token that a request brings. The one of a login counts only with "
    "CENTRALAUTH_UNSAFE_LOCAL_ID_TOKEN, and only when it is sealed with our secret by an expected algorithm, "
    "has an end, and is of the same session and organization.",
)
@pytest.mark.parametrize(
    "forge",
    [
        lambda secret, claims: issue_token("a-secret-that-the-attacker-made!", claims),
        lambda secret, claims: issue_token(secret, claims).replace(".", "\n.", 1),
        lambda secret, claims: issue_token(secret, {**claims, "exp": 1}),
        lambda secret, claims: issue_token(secret, {k: v for k, v in claims.items() if k != "exp"}),
        lambda secret, claims: issue_token(
            secret, {**claims, "user": {**claims["user"], "organizationId": "organization-2"}}
        ),
        lambda secret, claims: issue_token(secret, claims),
    ],
    ids=[
        "another secret",
        "white space",
        "expired",
        "without an end",
        "another organization",
        "another session",
    ],
)
def test_id_token_of_somebody_else(make_target: MakeTarget, forge: Callable[[str, Any], str]) -> None:
    target = make_target(CENTRALAUTH_UNSAFE_LOCAL_ID_TOKEN=True)
    secret = target.emulator.client_secret
    bobs = read_token(secret, target.emulator.tokens(user=BOB, domain=target.url)["id_token"])
    target.emulator.fail("verify", action="patch", patch={"id_token": forge(secret, bobs)})
    target.browser.get(f"{target.url}/private")
    assert target.calls() == ["verify", "userinfo"]
    assert target.who() == ALICE


@attack(
    100,
    decided="with that setting on, who was blocked or signed out at CentralAuth stays in until the token "
    "expires; another address or browser, and a page that wants a fresh answer, ask",
)
def test_stolen_cookie_below_a_local_id_token(make_target: MakeTarget) -> None:
    target = make_target(CENTRALAUTH_UNSAFE_LOCAL_ID_TOKEN=True)
    target.log_in()
    headers = {**PAGE_VISIT, **target.as_sent_by(), "User-Agent": "Mozilla/5.0 (Thief)"}
    hop = ask(f"{target.url}/private", headers=headers)
    assert ALICE not in hop.text
    assert target.calls() == ["userinfo"]
    assert target.who() is None


@attack(101)
def test_autologin_across_domains_is_off(
    make_target: MakeTarget, make_app: MakeApp, live_server: RunServer, emulator: Emulator
) -> None:
    first = make_target()
    second = live_server(make_app(SECRET_KEY="another key of another domain, long enough"))
    url = first.start()
    emulator.requests.clear()
    page = first.browser.get(url.replace(first.url, second.url.replace("127.0.0.1", "localhost")))
    assert_refused(page)
    assert 'href="/api/auth/login"' in page.text
    assert not emulator.requests.api


@attack(102, "States are looked up by SHA-256 and compared in constant time; every refusal is the same page.")
def test_refusals_tell_nothing(target: Target) -> None:
    good = query_of(target.start())["state"][0]
    pages = set()
    for state in (good[:-1], good[: len(good) // 2], "x" * len(good), good + "x", good.swapcase()):
        page = target.browser.get(target.auth("callback", {"code": "x", "state": state}))
        assert_refused(page)
        for changing in ("nonce", "<code>"):
            start = page.text.find(changing)
            assert start > 0
        import re

        pages.add(re.sub(r'nonce="[^"]+"|<code>[0-9a-f]{10}</code>', "", page.text))
    assert len(pages) == 1


@attack(
    103,
    "A new client secret is the operator's error, nobody is signed out; old SECRET_KEYs go on as fallbacks.",
)
def test_client_secret_rotation(make_target: MakeTarget) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0, CENTRALAUTH_STALE_GRACE=0)
    target.log_in()
    url = target.start(other := target.person(BOB))
    target.emulator.service.rotate_secret()
    target.emulator.service.activate_secret()
    page = other.get(url)
    assert page.status == 500
    assert "Location" not in page.headers
    assert target.browser.get(f"{target.url}/private").status == 500
    target.emulator.reset()
    assert target.browser.cookies.get("session") is not None


@attack(103)
def test_secret_key_rotation(make_target: MakeTarget, make_app: MakeApp, live_server: RunServer) -> None:
    target = make_target(SECRET_KEY="the old key of the tests, long enough")
    url = target.start()
    rotated = make_app(
        instance_path=Path(target.app.instance_path),
        SECRET_KEY="the new key of the tests, long enough",
        SECRET_KEY_FALLBACKS=["the old key of the tests, long enough"],
    )
    target.server.app = rotated
    target.server._server.app = rotated
    assert target.browser.get(url).text == ALICE


CONTROL: Final = ("users", "faults", "reset", "next", "clock/advance", "settings")


@attack(
    104,
    "Emulator tokens are refused outside debug, tests and loopback; the emulator wants its own Host "
    "and a header.",
)
@pytest.mark.parametrize("path", CONTROL)
def test_the_emulator_takes_no_orders_from_pages(emulator: Emulator, path: str) -> None:
    url = f"{emulator.url}/_emulator/{path}"
    for headers in (
        {"Content-Type": "text/plain"},
        {"Origin": "https://evil.example", "Content-Type": "application/x-www-form-urlencoded"},
        {"Host": "evil.example", "X-Emulator-Control": "1"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example", "X-Emulator-Control": "1"},
    ):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            answer = requests.request(method, url, headers=headers, data="{}", timeout=5)
            assert answer.status_code >= 400, (method, headers)
            assert "Access-Control-Allow-Origin" not in answer.headers
    assert requests.get(url, headers={"Host": "evil.example"}, timeout=5).status_code >= 400
    assert socket.gethostbyname(emulator.url.split("/")[2].split(":")[0]) == "127.0.0.1"


@attack(104)
def test_emulator_tokens_in_production(make_app: MakeApp, live_server: RunServer, emulator: Emulator) -> None:
    server = live_server(make_app(CENTRALAUTH_BASE_URL="https://ca.example", TESTING=False))
    token = emulator.tokens(user=ALICE, domain=server.url)["access_token"]
    answer = ask(f"{server.url}/api/data", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status, answer.json()["errorCode"]) == (401, "tokenInvalid")


@attack(104)
def test_an_emulator_login_in_production(
    make_app: MakeApp,
    live_server: RunServer,
    emulator: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CentralAuth's name leads to an emulator, with a certificate that this machine trusts."""
    pem = certificate(tmp_path, "ca.example")
    behind = tls_server(emulator.app, pem)
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo",
        lambda host, *rest, **options: real("127.0.0.1" if host == "ca.example" else host, *rest, **options)
        if not (host == "ca.example" and options.get("flags")) else real(host, *rest, **options),
    )  # fmt: skip
    thread = Thread(target=behind.serve_forever, daemon=True)
    thread.start()
    try:
        app = make_app(CENTRALAUTH_BASE_URL=f"https://ca.example:{behind.port}", TESTING=False)
        app.extensions["centralauth"].client.transport.session().verify = str(pem)
        target = Target(app, live_server(app), emulator, Browser(emulator))
        url = target.start()
        page = target.browser.get(url)
        assert emulator.requests.count("verify") == 1
        assert page.status == 500
        assert target.who() is None
    finally:
        behind.shutdown()
        thread.join()
        behind.server_close()


def test_people_in_threads_do_not_mix(target: Target) -> None:
    with ThreadPoolExecutor(4) as threads:
        emails = [f"person{number}@example.com" for number in range(4)]
        found = threads.map(lambda email: target.who(target.log_in(target.person(email))), emails)
        assert list(found) == emails
