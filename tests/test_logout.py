"""Signing out: only by a person who wants it, at once, and for good."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from flask import Blueprint, Flask, Response, get_flashed_messages, redirect

from flask_centralauth import CentralAuth, User, auth_required, current_user, public
from flask_centralauth.emulator import Emulator
from flask_centralauth.login_record import Record
from flask_centralauth.login_session import Login
from flask_centralauth.login_store import LoginStore
from flask_centralauth.signals import user_logged_out

from .browser_client import Browser
from .browser_page import Page
from .conftest import LiveServer, MakeApp, RunServer
from .raw_http import PAGE_VISIT, ask

LOGOUT: Final = "/api/auth/logout"


@pytest.fixture
def server(make_app: MakeApp, live_server: RunServer) -> LiveServer:
    return live_server(make_app())


def _is_in(browser: Browser, server: LiveServer) -> bool:
    return browser.fetch(f"{server.url}/api/data").status == 200


def _sign_out(browser: Browser, server: LiveServer, **options: Any) -> Page:
    page = browser.get(f"{server.url}{LOGOUT}")
    return browser.submit(page.forms[0], **options)


def test_a_person_signs_out(server: LiveServer, browser: Browser, emulator: Emulator) -> None:
    browser.get(f"{server.url}/private")
    page = browser.get(f"{server.url}{LOGOUT}")
    assert page.status == 200
    assert "Sign out?" in page.text
    (form,) = page.forms
    assert (form.method, form.action) == ("POST", f"{server.url}{LOGOUT}")
    done = browser.submit(form)
    assert [hop.status for hop in done.hops] == [303, 200]
    assert done.url == f"{server.url}/"
    assert not _is_in(browser, server)
    assert emulator.requests.none("logout"), "other applications stay signed in"


def test_asking_changes_nothing(server: LiveServer, browser: Browser) -> None:
    browser.get(f"{server.url}/private")
    url = f"{server.url}{LOGOUT}"
    assert browser.get(url).status == 200
    browser.get(f"{server.url}/")
    assert browser.fetch(url).status == 200
    assert browser.get(url, headers={"Sec-Purpose": "prefetch"}).status == 204
    image = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image", "Sec-Fetch-Site": "cross-site"}
    assert browser.get(url, headers=image).status == 200
    cookie = {"Cookie": browser.cookies.header(server.url), "User-Agent": browser.user_agent}
    for method, status in {"HEAD": 405, "PUT": 405, "DELETE": 405, "OPTIONS": 200}.items():
        assert ask(url, method=method, headers={"Content-Length": "0", **cookie}).status == status
    override = {**PAGE_VISIT, **cookie, "X-HTTP-Method-Override": "POST"}
    assert ask(f"{url}?_method=POST", headers=override).status == 200
    assert _is_in(browser, server)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "https://sub.app.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Referer": "https://evil.example/page"},
        {"Origin": "http://127.0.0.1:1"},
        {"Referer": "http://127.0.0.1.evil.example/"},
        {"Origin": "garbage"},
    ],
    ids=str,
)
def test_another_site_cannot_sign_out(server: LiveServer, browser: Browser, headers: dict[str, str]) -> None:
    browser.get(f"{server.url}/private")
    sent = {
        "Cookie": browser.cookies.header(server.url),
        "User-Agent": browser.user_agent,
        "Content-Length": "0",
        **headers,
    }
    answer = ask(f"{server.url}{LOGOUT}", method="POST", headers={**PAGE_VISIT, **sent})
    assert answer.status == 403
    assert "Location" not in answer.headers
    assert f'href="{LOGOUT}"' in answer.text, "the person may have wanted it"
    answer = ask(f"{server.url}{LOGOUT}", method="POST", headers=sent)
    assert answer.status == 403
    assert answer.json()["errorCode"] == "crossSiteRequest"
    assert _is_in(browser, server)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin", "Origin": "{server}"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "{server}"},
        {"Referer": "{server}/private?x"},
        {},
    ],
    ids=str,
)
def test_ones_own_site_can(server: LiveServer, browser: Browser, headers: dict[str, str]) -> None:
    browser.get(f"{server.url}/private")
    sent = {name: value.format(server=server.url) for name, value in headers.items()}
    answer = ask(
        f"{server.url}{LOGOUT}",
        method="POST",
        headers={"Cookie": browser.cookies.header(server.url), "Content-Length": "0", **sent},
    )
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert not _is_in(browser, server)


def test_behind_a_proxy_that_flask_does_not_know(
    make_app: MakeApp, live_server: RunServer, browser: Browser
) -> None:
    """Older browsers send Origin alone, and it is https where the application sees http."""
    server = live_server(make_app(CENTRALAUTH_CALLBACK_URL="https://app.example/api/auth/callback"))
    for origin, status in {"https://app.example": 303, "https://evil.example": 403}.items():
        headers = {"Host": "app.example", "Origin": origin, "Content-Length": "0"}
        assert ask(f"{server.url}{LOGOUT}", method="POST", headers=headers).status == status


def test_the_cookie_is_worth_nothing_afterwards(
    server: LiveServer, browser: Browser, emulator: Emulator
) -> None:
    browser.get(f"{server.url}/private")
    thief = Browser(emulator, user=None, cookies=browser.cookies.copy())
    assert _is_in(thief, server)
    _sign_out(browser, server)
    assert not _is_in(thief, server)
    assert thief.fetch(f"{server.url}/api/auth/user").json() is None


def test_signing_out_twice(server: LiveServer, browser: Browser) -> None:
    browser.get(f"{server.url}/private")
    page = browser.get(f"{server.url}{LOGOUT}")
    for _ in range(2):
        done = browser.submit(page.forms[0], follow=False)
        assert (done.status, done.headers["Location"]) == (303, "/")
        browser.page = page
    guest = browser.get(f"{server.url}{LOGOUT}")
    assert guest.status == 200
    assert "You are signed out" in guest.text
    assert guest.forms == []
    assert 'href="/api/auth/login"' in guest.text


def test_the_return_path(server: LiveServer, browser: Browser) -> None:
    browser.get(f"{server.url}/private")
    page = browser.get(f"{server.url}{LOGOUT}?return_to=/?bye=1")
    assert page.forms[0].fields == {"return_to": "/?bye=1"}
    assert browser.submit(page.forms[0]).url == f"{server.url}/?bye=1"


def test_where_signing_out_ends(make_app: MakeApp, live_server: RunServer, browser: Browser) -> None:
    for target in ("/?bye=1", "index"):
        server = live_server(make_app(CENTRALAUTH_AFTER_LOGOUT=target))
        browser.get(f"{server.url}/private")
        assert _sign_out(browser, server).url.startswith(f"{server.url}/")
    server = live_server(make_app(CENTRALAUTH_AFTER_LOGOUT="centralauth.logout"))
    browser.get(f"{server.url}/private")
    assert "You are signed out" in _sign_out(browser, server).text


# Out is out, although CentralAuth would let the person in again without a question.


@pytest.mark.parametrize(
    "guard", ["protect", "auth_required", "class", "blueprint", "before_request", "slash"]
)
@pytest.mark.parametrize("return_to", [None, "/?x=1"])
def test_signing_out_never_signs_in_again(
    emulator: Emulator,
    live_server: RunServer,
    browser: Browser,
    tmp_path: Path,
    guard: str,
    return_to: str | None,
) -> None:
    app = Flask("application_under_test", instance_path=str(tmp_path))
    app.config.update(emulator.config, SECRET_KEY="a secret key, long enough", TESTING=True)
    if guard == "slash":
        app.config["CENTRALAUTH_AFTER_LOGOUT"] = "/folder"
    centralauth = CentralAuth(app)

    def home() -> str:
        return f"home of {current_user.email}"

    pages = Blueprint("pages", __name__)
    if guard in ("auth_required", "class", "slash"):
        pages.add_url_rule("/", "home", auth_required(home))
        pages.add_url_rule("/folder/", "folder", auth_required(home))
    else:
        pages.add_url_rule("/", "home", home)
    if guard == "protect":
        centralauth.protect(app)
    elif guard == "blueprint":
        centralauth.protect(pages)
    elif guard == "before_request":
        pages.before_request(auth_required(lambda: None))
    app.register_blueprint(pages)
    server = live_server(app)
    if guard == "slash" and return_to:
        return_to = "/folder"
    browser.get(f"{server.url}/")
    page = browser.get(f"{server.url}{LOGOUT}" + (f"?return_to={return_to}" if return_to else ""))
    visits = emulator.requests.count("login")
    done = browser.submit(page.forms[0])
    assert done.status == 200
    assert "You are signed out" in done.text
    assert "You may still be signed in at other sites" in done.text
    assert emulator.requests.count("login") == visits
    assert browser.fetch("/api/auth/user").json() is None
    # The way in again is a click, and leads to where the person wanted to go.
    link = f"/api/auth/login?return_to={return_to}" if return_to else "/api/auth/login"
    assert f'href="{link}"'.replace("/?x=1", "/?x%3D1") in done.text
    assert browser.click(link).text == "home of alice@example.com"


def test_a_public_page_of_a_protected_application(
    emulator: Emulator, live_server: RunServer, browser: Browser, tmp_path: Path
) -> None:
    app = Flask("application_under_test", instance_path=str(tmp_path))
    app.config.update(emulator.config, SECRET_KEY="a secret key, long enough", TESTING=True)
    app.config["CENTRALAUTH_AFTER_LOGOUT"] = "bye"
    centralauth = CentralAuth(app)
    centralauth.protect(app)
    app.add_url_rule("/", "home", lambda: "home")
    app.add_url_rule("/bye", "bye", public(lambda: "bye"))
    server = live_server(app)
    browser.get(f"{server.url}/")
    done = _sign_out(browser, server)
    assert (done.url, done.text) == (f"{server.url}/bye", "bye")


# At CentralAuth, too.


def test_signing_out_everywhere(
    make_app: MakeApp, live_server: RunServer, browser: Browser, emulator: Emulator
) -> None:
    server = live_server(make_app(CENTRALAUTH_LOGOUT_EVERYWHERE=True))
    browser.get(f"{server.url}/private")
    token = emulator.requests.one("userinfo").text
    _sign_out(browser, server)
    call = emulator.requests.one("logout")
    assert (call.method, call.path, call.text) == ("POST", "/api/v1/logout", token)
    assert call.headers["Content-Type"] == "text/plain"
    assert call.authorization == "basic"
    assert call.verdict == "ok"


@pytest.mark.parametrize(
    "how", [{"status": 500}, {"hang": True}, {"error_code": "genericError"}, {"action": "reset"}], ids=str
)
def test_centralauth_cannot_keep_anybody_in(
    emulator: Emulator, live_server: RunServer, browser: Browser, tmp_path: Path, how: dict[str, Any]
) -> None:
    app = Flask("application_under_test", instance_path=str(tmp_path))
    app.config.update(emulator.config, SECRET_KEY="a secret key, long enough", TESTING=True)
    app.config.update(CENTRALAUTH_LOGOUT_EVERYWHERE=True, CENTRALAUTH_TIMEOUT=0.5)
    CentralAuth(app)
    app.add_url_rule("/", "home", lambda: "; ".join(map(str, get_flashed_messages())))
    app.add_url_rule("/api/data", "data", auth_required(lambda: "data"))
    server = live_server(app)
    browser.get(f"{server.url}/api/data")
    fault = emulator.fail("logout", **how)
    begun = time.monotonic()
    done = _sign_out(browser, server)
    assert time.monotonic() - begun < 3, "bounded by the timeout"
    fault.release()
    assert done.status == 200
    assert not _is_in(browser, server)
    assert "you may still be signed in elsewhere" in done.text


# For views of the application's own.


def test_views_of_ones_own(
    emulator: Emulator, live_server: RunServer, browser: Browser, tmp_path: Path
) -> None:
    app = Flask("application_under_test", instance_path=str(tmp_path))
    app.config.update(emulator.config, SECRET_KEY="a secret key, long enough", TESTING=True)
    centralauth = CentralAuth(app)

    @app.post("/bye")
    def bye() -> Any:
        centralauth.logout(everywhere=True)
        assert not current_user.is_authenticated
        return redirect("/gone")

    app.add_url_rule("/gone", "gone", lambda: "gone")
    app.add_url_rule("/api/data", "data", auth_required(lambda: "data"))
    server = live_server(app)
    browser.get(f"{server.url}/api/data")
    assert browser.submit("/bye").text == "gone"
    assert not _is_in(browser, server)
    assert emulator.requests.one("logout").verdict == "ok"


def test_ending_all_logins_of_a_user(emulator: Emulator, live_server: RunServer, tmp_path: Path) -> None:
    app = Flask("application_under_test", instance_path=str(tmp_path))
    app.config.update(emulator.config, SECRET_KEY="a secret key, long enough", TESTING=True)
    centralauth = CentralAuth(app)
    app.add_url_rule("/api/data", "data", auth_required(lambda: "data"))

    @app.post("/end")
    @auth_required
    def end() -> str:
        centralauth.logout_user(current_user.id)
        return "ended"

    server = live_server(app)
    alices = [Browser(emulator) for _ in range(3)]
    bob = Browser(emulator, user="bob@example.com")
    for browser in (*alices, bob):
        assert browser.get(f"{server.url}/api/data").text == "data"
    assert alices[0].submit("/end").text == "ended"
    until = time.monotonic() + 2
    while any(_is_in(alice, server) for alice in alices) and time.monotonic() < until:
        threading.Event().wait(0.05)
    assert not any(_is_in(alice, server) for alice in alices)
    assert _is_in(bob, server)
    assert alices[1].get(f"{server.url}/api/data").text == "data", "a new login works"


def test_the_signal_tells_who_left_once(server: LiveServer, browser: Browser) -> None:
    told: list[tuple[str | None, str]] = []

    def left(_app: Flask, *, user: User, login_id: str) -> None:
        told.append((user.email, login_id))

    browser.get(f"{server.url}/private")
    page = browser.get(f"{server.url}{LOGOUT}")
    with user_logged_out.connected_to(left):
        for _ in range(2):
            browser.submit(page.forms[0])
            browser.page = page
    assert len(told) == 1
    assert told[0][0] == "alice@example.com"
    assert told[0][1]


def test_the_signal_comes_once_of_two_logouts_at_once(
    server: LiveServer, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[User] = []

    def left(_app: Flask, *, user: User, login_id: str) -> None:
        told.append(user)

    both, live = threading.Barrier(2, timeout=10), LoginStore.live

    def live_for_both(store: LoginStore, login: Login) -> Record | None:
        found = live(store, login)
        both.wait()
        return found

    browser.get(f"{server.url}/private")
    tabs = [browser.tab(), browser.tab()]
    forms = [tab.get(f"{server.url}{LOGOUT}").forms[0] for tab in tabs]
    monkeypatch.setattr(LoginStore, "live", live_for_both)
    with user_logged_out.connected_to(left), ThreadPoolExecutor(2) as clicks:
        pages = clicks.map(lambda tab, form: tab.submit(form, follow=False), tabs, forms)
        assert [page.status for page in pages] == [303, 303]
    assert [user.email for user in told] == ["alice@example.com"]


def test_a_login_that_was_over_already_is_not_told_again(
    make_app: MakeApp, live_server: RunServer, browser: Browser, emulator: Emulator
) -> None:
    app = make_app()
    server = live_server(app)
    told: list[User] = []

    def left(_app: Flask, *, user: User, login_id: str) -> None:
        told.append(user)

    browser.get(f"{server.url}/private")
    user_id = browser.fetch("/api/auth/user").json()["id"]
    with app.test_request_context():
        app.extensions["centralauth"].logins.end_all(user_id)
    with user_logged_out.connected_to(left):
        browser.get(f"{server.url}{LOGOUT}")
        assert browser.submit(LOGOUT, follow=False).status == 303
    assert told == []
    assert not _is_in(browser, server)


def test_a_browsers_next_user_starts_from_nothing(
    make_app: MakeApp, live_server: RunServer, browser: Browser
) -> None:
    from flask import session

    app = make_app()

    @app.get("/basket")
    def basket() -> Response:
        before = session.get("basket", "empty")
        session["basket"] = "full"
        return Response(before)

    server = live_server(app)
    browser.get(f"{server.url}/private")
    assert [browser.get(f"{server.url}/basket").text for _ in range(2)] == ["empty", "full"]
    _sign_out(browser, server)
    browser.user = "bob@example.com"
    browser.get(f"{server.url}/private")
    assert browser.get(f"{server.url}/basket").text == "empty"
