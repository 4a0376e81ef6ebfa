"""The way back: tabs, back button, bookmarks, other browsers, and callbacks that are not right."""

from __future__ import annotations

import logging
import random
import string
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import pytest
from flask import Flask, Response, abort, redirect, session

from flask_centralauth import CentralAuth, PermissionDenied, User, auth_required, current_user
from flask_centralauth.emulator import Emulator
from flask_centralauth.signals import login_failed, user_logged_in

from .browser_client import Browser
from .browser_page import Hop, Page
from .conftest import LiveServer, MakeApp, RunServer
from .raw_http import PAGE_VISIT, ask

CALLBACK: Final = "/api/auth/callback"


@pytest.fixture
def server(make_app: MakeApp, live_server: RunServer) -> LiveServer:
    return live_server(make_app())


@pytest.fixture
def started(server: LiveServer, browser: Browser, emulator: Emulator) -> Callable[..., str]:
    """`started()` begins a login in the browser and returns the callback URL it will come back by."""

    def start(page: str = "/private", *, by: Browser = browser) -> str:
        login = by.get(f"{server.url}/api/auth/login?{urlencode({'return_to': page})}", follow=False)
        return _callback_of(login.last, by, emulator)

    return start


def _callback_of(login: Hop, browser: Browser, emulator: Emulator) -> str:
    assert login.location is not None
    return emulator.authorize(
        login.location, user=browser.user or "", ip=browser.ip, user_agent=browser.user_agent
    )


def _is_nobody(browser: Browser, server: LiveServer) -> bool:
    return browser.fetch(f"{server.url}/api/auth/user").json() is None


def _check_page(page: Page | Hop) -> None:
    """A page that says what happened, with a way to sign in and no automatic redirect."""
    assert page.status == 400
    assert page.headers["Content-Type"].startswith("text/html")
    assert "Location" not in page.headers
    assert "http-equiv" not in page.text
    assert 'href="/api/auth/login"' in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


# Many tabs, one browser.


def test_tabs_restored_together_all_finish(server: LiveServer, browser: Browser, emulator: Emulator) -> None:
    pages = [f"/private?tab={number}" for number in range(5)]
    together = threading.Barrier(5)

    def restore(page: str) -> Hop:
        # A jar of its own: every answer leaves before any cookie of another is stored.
        tab = Browser(emulator)
        together.wait(10)
        guard = tab.get(server.url + page, follow=False).last
        login = tab.get(guard.location or "", follow=False).last
        for header in login.headers.getlist("Set-Cookie"):
            browser.cookies.store(server.url, header)
        return login

    with ThreadPoolExecutor(5) as threads:
        logins = list(threads.map(restore, pages))
    for number in (3, 0, 4, 1, 2):
        ended = browser.get(_callback_of(logins[number], browser, emulator), follow=False)
        assert (ended.status, ended.headers["Location"]) == (303, pages[number])
        assert browser.get(server.url + pages[number]).text == "alice@example.com"
    assert emulator.requests.count("verify") == 5


def test_logins_begun_and_ended_at_the_same_moment(
    make_app: MakeApp, live_server: RunServer, browser: Browser, emulator: Emulator
) -> None:
    """Three requests are inside the view together, with one session cookie."""
    inside = threading.Barrier(3)

    def texts() -> None:
        inside.wait(10)

    app = make_app(CENTRALAUTH_TRANSLATIONS=texts)

    @app.get("/cart")
    def cart() -> str:
        session["cart"] = ["book"]
        return "kept"

    server = live_server(app)
    browser.get(f"{server.url}/cart")
    tabs = [browser.tab() for _ in range(3)]
    with ThreadPoolExecutor(3) as threads:
        logins = list(
            threads.map(
                lambda tab: tab.get(f"{server.url}/api/auth/login?return_to=/private", follow=False), tabs
            )
        )
        callbacks = [_callback_of(login.last, browser, emulator) for login in logins]
        ended = list(
            threads.map(lambda pair: pair[0].get(pair[1], follow=False), zip(tabs, callbacks, strict=True))
        )
    assert [page.status for page in ended] == [303, 303, 303]
    assert browser.get(f"{server.url}/private").text == "alice@example.com"


def test_unfinished_logins_do_not_pile_up(
    server: LiveServer, browser: Browser, started: Callable[..., str]
) -> None:
    for number in range(50):
        newest = started(f"/private?{number}")
        assert len(browser.cookies) <= 6
        assert len(browser.cookies.header(server.url)) < 4096
    page = browser.get(newest)
    assert (page.url, page.text) == (f"{server.url}/private?49", "alice@example.com")


def test_long_return_paths_do_not_pile_up_either(
    server: LiveServer, browser: Browser, started: Callable[..., str]
) -> None:
    for number in range(6):
        page = f"/private?{number}" + "".join(random.Random(number).choices(string.ascii_letters, k=1500))
        newest = started(page)
        assert len(browser.cookies.header(server.url)) < 4096
    assert browser.get(newest).url == server.url + page


# The same callback again, and callbacks of others.


def test_the_back_button(
    server: LiveServer,
    browser: Browser,
    emulator: Emulator,
    started: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    callback = started()
    browser.get(callback)
    with caplog.at_level(logging.INFO):
        again = browser.get(callback, follow=False)
    assert (again.status, again.headers["Location"]) == (303, "/")
    assert emulator.requests.count("verify") == 1
    assert browser.fetch("/api/data").json() == {"email": "alice@example.com"}
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_a_bookmarked_callback(
    server: LiveServer, browser: Browser, emulator: Emulator, started: Callable[..., str]
) -> None:
    callback = started()
    browser.get(callback)
    browser.cookies.clear()
    for url in (callback, f"{server.url}{CALLBACK}?code=x&state=y"):
        page = browser.get(url)
        _check_page(page)
        assert "used before" in page.text
    assert emulator.requests.count("verify") == 1
    assert _is_nobody(browser, server)


def test_a_callback_in_a_browser_that_never_started(
    server: LiveServer, browser: Browser, emulator: Emulator, started: Callable[..., str]
) -> None:
    """Attacks: login CSRF, fixation of the flow across users, cross-session state."""
    callback = started()
    other = Browser(emulator, user="mallory@example.com")
    _check_page(other.get(callback))
    assert _is_nobody(other, server)
    assert emulator.requests.none("verify")
    assert len(other.cookies) == 0
    # The other's attempt used nothing up.
    assert browser.get(callback).text == "alice@example.com"


def test_a_foreign_callback_does_not_touch_the_login_there_is(
    server: LiveServer, browser: Browser, emulator: Emulator, started: Callable[..., str]
) -> None:
    browser.get(f"{server.url}/private")
    mallory = Browser(emulator, user="mallory@example.com")
    forged = started(by=mallory)
    page = browser.get(forged, follow=False)
    assert (page.status, page.headers["Location"]) == (303, "/")
    assert browser.fetch("/api/data").json() == {"email": "alice@example.com"}
    assert emulator.requests.count("verify") == 1


def test_a_stolen_code_in_ones_own_login(
    server: LiveServer, browser: Browser, emulator: Emulator, started: Callable[..., str]
) -> None:
    """Attack: code injection. The verifier is the thief's, so CentralAuth refuses the code."""
    victim = dict(pair.split("=") for pair in urlsplit(started()).query.split("&"))
    mallory = Browser(emulator, user=None)
    login = mallory.get(f"{server.url}/api/auth/login", follow=False)
    state = emulator.authorize(login.last.location or "").partition("state=")[2]
    page = mallory.get(f"{server.url}{CALLBACK}?code={victim['code']}&state={state}", follow=False)
    assert page.status == 302, "back to login"
    assert emulator.requests.one("verify").error_code == "codeChallengeInvalid"
    assert _is_nobody(mallory, server)


def test_a_callback_that_comes_twice_leads_to_its_page(
    server: LiveServer, browser: Browser, emulator: Emulator, started: Callable[..., str]
) -> None:
    """A second click, with the attempt's cookie still there."""
    callback = started("/private?tab=1")
    attempts = [cookie for cookie in browser.cookies if "centralauth_" in cookie.name]
    browser.get(callback)
    for cookie in attempts:
        browser.cookies.store(server.url, f"{cookie.name}={cookie.value}; Path=/")
    page = browser.get(callback)
    assert (page.path, page.text) == ("/private?tab=1", "alice@example.com")
    assert emulator.requests.count("verify") == 1


def test_a_slow_mail(
    server: LiveServer, browser: Browser, emulator: Emulator, later: Callable[[float], None]
) -> None:
    first = browser.get(f"{server.url}/api/auth/login?return_to=/private", follow=False).last
    second = browser.get(f"{server.url}/api/auth/login?return_to=/private", follow=False).last
    later(16 * 60)
    assert browser.get(_callback_of(first, browser, emulator)).text == "alice@example.com"
    emulator.configure(attempt_lifetime=7200)
    later(45 * 60)
    browser.cookies.store(server.url, "session=; Max-Age=0; Path=/")
    _check_page(browser.get(_callback_of(second, browser, emulator)))
    assert emulator.requests.count("verify") == 1


def test_two_cookies_of_one_name(server: LiveServer, browser: Browser, started: Callable[..., str]) -> None:
    """A sibling domain planted one of them."""
    for order in (0, 1):
        browser.cookies.clear()
        callback = started()
        (cookie,) = browser.cookies
        pair = [f"{cookie.name}=planted", f"{cookie.name}={cookie.value}"]
        answer = ask(
            callback,
            headers={
                **PAGE_VISIT,
                "User-Agent": browser.user_agent,
                "Cookie": "; ".join(pair if order else reversed(pair)),
            },
        )
        assert (answer.status, answer.headers["Location"]) == (303, "/private")


def test_a_double_click(
    server: LiveServer, browser: Browser, emulator: Emulator, started: Callable[..., str]
) -> None:
    """Two requests of one callback at once: CentralAuth is asked once."""
    callback = started()
    held = emulator.fail("verify", hang=True)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(browser.tab().get, callback, follow=False)
        held.wait()
        second = browser.tab().get(callback, follow=False)
        held.release()
        assert first.result().status == 303
    assert second.status in (302, 303)
    assert emulator.requests.count("verify") == 1
    assert browser.get(f"{server.url}/private").text == "alice@example.com"


def test_cookies_of_a_started_login(make_app: MakeApp, live_server: RunServer, browser: Browser) -> None:
    server = live_server(make_app(CENTRALAUTH_CALLBACK_URL="https://app.example/api/auth/callback"))
    browser.routes["https://app.example"] = server.url
    browser.get("https://app.example/api/auth/login", follow=False)
    (cookie,) = browser.cookies
    assert cookie.name.startswith("__Host-")
    assert (cookie.secure, cookie.http_only, cookie.same_site, cookie.path) == (True, True, "lax", "/")
    assert cookie.host_only


def test_started_logins_cost_the_store_nothing(
    make_app: MakeApp, live_server: RunServer, browser: Browser, tmp_path: Path
) -> None:
    server = live_server(make_app(instance_path=tmp_path / "instance"))
    for _ in range(20):
        answer = ask(f"{server.url}/api/auth/login", headers=PAGE_VISIT)
        assert not [
            header for header in answer.headers.getlist("Set-Cookie") if header.startswith("session=")
        ]
    assert not (tmp_path / "instance").exists()


# Callbacks that are not right.

MALFORMED: Final = {
    "nothing": "",
    "no state": "code=a",
    "no code": "state={state}",
    "empty code": "code=&state={state}",
    "empty state": "code={code}&state=",
    "empty error": "error=&state={state}",
    "two states": "code={code}&state={state}&state=bad",
    "two states the other way": "code={code}&state=bad&state={state}",
    "two codes": "code={code}&code=b&state={state}",
    "code and error": "code={code}&error=genericError&state={state}",
    "two errors": "error=a&error=b&state={state}",
    "two descriptions": "error=a&error_description=b&error_description=c&state={state}",
    "an array": "code[]={code}&state={state}",
    "a long state": "code={code}&state={long}",
    "a long code": "code={long}&state={state}",
    "many parameters": "code={code}&state={state}&{many}",
    "a null byte": "code=%00&state={state}",
    "no UTF-8": "code=%ff&state={state}",
    "a blank": "code=a%20b&state={state}",
    "a line end": "code=a%0d%0aSet-Cookie:x=1&state={state}",
    "another issuer": "code={code}&state={state}&iss=https://evil.example",
    "two issuers": "code={code}&state={state}&iss={issuer}&iss=https://evil.example",
    "another issuer of an error": "error=genericError&state={state}&iss=https://evil.example",
    "an error name with markup": "error=%3Cscript%3E&state={state}",
    "a long error name": "error={long}&state={state}",
    "percent": "%",
    "brackets": "[]=%5B&&&===",
}


@pytest.mark.parametrize("template", MALFORMED.values(), ids=list(MALFORMED))
@pytest.mark.parametrize("attempted", [True, False], ids=["with a login", "without"])
def test_malformed_callbacks(
    server: LiveServer,
    browser: Browser,
    emulator: Emulator,
    started: Callable[..., str],
    template: str,
    attempted: bool,
) -> None:
    callback = started()
    right = dict(pair.split("=", 1) for pair in urlsplit(callback).query.split("&"))
    query = template.format(
        code=right["code"],
        state=right["state"],
        long="x" * 20_000,
        many="&".join(f"p{number}=1" for number in range(1_000)),
        issuer=emulator.url,
    )
    visitor = browser if attempted else Browser(emulator)
    page = visitor.get(f"{server.url}{CALLBACK}?{query}")
    _check_page(page)
    assert "evil" not in page.text
    assert len(page.text) < 20_000, "nothing of the address is repeated"
    answer = visitor.fetch(f"{server.url}{CALLBACK}?{query}")
    assert answer.status == 400
    assert set(answer.json()) == {"errorCode", "message", "loginUrl", "incidentId"}
    assert emulator.requests.none("verify")
    assert _is_nobody(visitor, server)
    # Whoever tampers with an address cannot spoil the login that goes on.
    assert browser.get(callback).text == "alice@example.com"


def test_malformed_callbacks_while_logged_in(server: LiveServer, browser: Browser) -> None:
    browser.get(f"{server.url}/private")
    for query in ("", "code=a&code=b&state=c", "state=x"):
        assert browser.get(f"{server.url}{CALLBACK}?{query}").status == 400
    assert browser.fetch("/api/data").status == 200


def test_the_right_issuer_is_welcome(
    server: LiveServer, browser: Browser, emulator: Emulator, started: Callable[..., str]
) -> None:
    assert browser.get(f"{started()}&iss={emulator.url}").text == "alice@example.com"


def test_a_post_is_no_callback(server: LiveServer, emulator: Emulator, started: Callable[..., str]) -> None:
    callback = started()
    assert ask(callback, method="POST", headers={"Content-Length": "0"}).status == 405
    assert emulator.requests.none()


def test_without_any_word_of_the_address(server: LiveServer, browser: Browser) -> None:
    """Attack: phishing text on our page."""
    for dialect in ("error={0}&error_description={0}", "error_code={0}&error_message={0}"):
        query = dialect.format("Call.our.number") + "&state=unknown"
        page = browser.get(f"{server.url}{CALLBACK}?{query}")
        _check_page(page)
        assert "our.number" not in page.text
    assert len(browser.cookies) == 0, "nothing is flashed"


# Why it did not work, for the operator.


def test_another_secret_key_is_named(
    make_app: MakeApp,
    live_server: RunServer,
    browser: Browser,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = live_server(make_app(SECRET_KEY="the key of one worker, long enough"))
    other = live_server(make_app(SECRET_KEY="the key of another worker, alas"))
    login = browser.get(f"{one.url}/api/auth/login", follow=False).last
    callback = _callback_of(login, browser, emulator).replace(one.url, other.url)
    _check_page(browser.get(callback))
    assert "made with another SECRET_KEY; do all workers share it?" in caplog.text


def test_a_key_that_was_replaced_meanwhile(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    old, new = "the old secret key, long enough", "the new secret key, long enough"
    # Two workers behind one address, which is the one CentralAuth knows.
    address = "http://workers.localhost"
    config: dict[str, Any] = {"CENTRALAUTH_CALLBACK_URL": f"{address}/api/auth/callback"}
    before = live_server(make_app(instance_path=folder, SECRET_KEY=old, **config))
    config["SECRET_KEY_FALLBACKS"] = [old]
    after = live_server(make_app(instance_path=folder, SECRET_KEY=new, **config))
    browser = Browser(emulator, routes={address: before.url})
    browser.get(f"{address}/private")
    login = browser.get(f"{address}/api/auth/login?return_to=/private", follow=False).last
    browser.routes[address] = after.url
    assert browser.get(f"{address}/private").text == "alice@example.com"
    callback = _callback_of(login, browser, emulator)
    page = browser.get(callback, follow=False)
    assert (page.status, page.headers["Location"]) == (303, "/private")


def test_clocks_that_differ(
    server: LiveServer, browser: Browser, emulator: Emulator, later: Callable[[float], None]
) -> None:
    login = browser.get(f"{server.url}/api/auth/login?return_to=/private", follow=False).last
    callback = _callback_of(login, browser, emulator)
    later(-90)
    assert browser.get(callback).text == "alice@example.com"


# What an application adds to a login.


@pytest.fixture
def hooked(emulator: Emulator, tmp_path: Path) -> tuple[Flask, CentralAuth]:
    app = Flask("application_under_test", instance_path=str(tmp_path))
    app.config.update(emulator.config, SECRET_KEY="a secret key, long enough", TESTING=True)
    centralauth = CentralAuth(app)

    @app.get("/private")
    @auth_required
    def private() -> str:
        return current_user.email or ""

    return app, centralauth


def test_a_hook_sees_the_user_and_may_answer(
    hooked: tuple[Flask, CentralAuth], live_server: RunServer, browser: Browser
) -> None:
    app, centralauth = hooked
    seen: list[User] = []

    @centralauth.on_login
    def remember(user: User) -> None:
        seen.append(user)

    @centralauth.on_login
    def welcome(user: User) -> Any:
        return redirect("/private?welcome=1")

    page = browser.get(f"{live_server(app).url}/private")
    assert page.path == "/private?welcome=1"
    assert page.text == "alice@example.com"
    assert [user.email for user in seen] == ["alice@example.com"]
    assert browser.fetch("/api/auth/user").json()["email"] == "alice@example.com"


def test_a_page_of_a_hook_keeps_its_styles(
    hooked: tuple[Flask, CentralAuth], live_server: RunServer, browser: Browser
) -> None:
    app, centralauth = hooked
    centralauth.on_login(lambda user: f"<style>body {{}}</style>Welcome {user.email}")
    page = browser.get(f"{live_server(app).url}/private")
    assert page.text.endswith("Welcome alice@example.com")
    assert "Content-Security-Policy" not in page.headers
    assert page.headers["Cache-Control"] == "no-store"
    assert browser.click("/private").text == "alice@example.com"


@pytest.mark.parametrize(
    ("refuse", "words"),
    [
        (lambda: abort(403), "This account has no access here."),
        (lambda: abort(403, "Only for members <of> the choir."), "Only for members &lt;of&gt; the choir."),
        (lambda: _raise(PermissionDenied(public_message="Not you.")), "Not you."),
    ],
    ids=["forbidden", "with words", "own error"],
)
def test_a_hook_may_refuse(
    hooked: tuple[Flask, CentralAuth],
    live_server: RunServer,
    browser: Browser,
    refuse: Callable[[], None],
    words: str,
) -> None:
    app, centralauth = hooked
    centralauth.on_login(lambda _user: refuse())
    server = live_server(app)
    page = browser.get(f"{server.url}/private")
    assert page.status == 403
    assert "Location" not in page.headers
    assert words in page.text
    assert _is_nobody(browser, server)


def _raise(error: Exception) -> None:
    raise error


def test_a_hook_may_answer_with_any_other_http_error(
    hooked: tuple[Flask, CentralAuth], live_server: RunServer, browser: Browser
) -> None:
    app, centralauth = hooked
    centralauth.on_login(lambda _user: abort(451))
    server = live_server(app)
    assert browser.get(f"{server.url}/private").status == 451
    assert _is_nobody(browser, server)


def test_a_hook_that_breaks_logs_nobody_in(
    hooked: tuple[Flask, CentralAuth], live_server: RunServer, browser: Browser
) -> None:
    app, centralauth = hooked
    app.config["PROPAGATE_EXCEPTIONS"] = False

    @centralauth.on_login
    def broken(user: User) -> None:
        raise KeyError(user.id)

    server = live_server(app)
    assert browser.get(f"{server.url}/private").status == 500
    assert _is_nobody(browser, server)


def test_signals(server: LiveServer, browser: Browser, emulator: Emulator) -> None:
    told: list[tuple[str, Any]] = []

    def came(_app: Flask, *, user: User, previous: User | None) -> None:
        told.append((user.email or "", previous and previous.email))

    def failed(_app: Flask, *, error: Exception, **_more: Any) -> None:
        told.append(("failed", getattr(error, "error_code", None)))

    with user_logged_in.connected_to(came), login_failed.connected_to(failed):
        browser.get(f"{server.url}/private")
        browser.user = "bob@example.com"
        browser.get(f"{server.url}/api/auth/login")
        browser.get(f"{server.url}{CALLBACK}?code=a&code=b&state=c")
    assert told == [
        ("alice@example.com", None),
        ("bob@example.com", "alice@example.com"),
        ("failed", "stateInvalid"),
    ]


# Errors are answered as the application wants.


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_error_page_of_ones_own(
    emulator: Emulator, live_server: RunServer, browser: Browser, tmp_path: Path, when: str
) -> None:
    from flask_centralauth import CentralAuthError, LoginError

    app = Flask("application_under_test", instance_path=str(tmp_path))
    app.config.update(emulator.config, SECRET_KEY="a secret key, long enough", TESTING=True)

    def answer(error: CentralAuthError) -> Response:
        return Response(f"<style></style>ours: {error.error_code}", status=418, mimetype="text/html")

    handled = {"before": LoginError, "after": CentralAuthError}[when]
    if when == "before":
        app.register_error_handler(handled, answer)
    CentralAuth(app)
    if when == "after":
        app.register_error_handler(handled, answer)
    server = live_server(app)
    page = browser.get(f"{server.url}{CALLBACK}")
    assert (page.status, page.text) == (418, "<style></style>ours: stateMissing")
    assert "Content-Security-Policy" not in page.headers, "it has styles of its own"
    assert page.headers["Cache-Control"] == "no-store"


def test_a_handler_of_the_whole_family_before_the_extension(
    emulator: Emulator, live_server: RunServer, browser: Browser, tmp_path: Path
) -> None:
    from flask_centralauth import CentralAuthError

    app = Flask("application_under_test", instance_path=str(tmp_path))
    app.config.update(emulator.config, SECRET_KEY="a secret key, long enough", TESTING=True)
    app.register_error_handler(CentralAuthError, lambda error: ("ours", error.code))
    CentralAuth(app)
    page = browser.get(f"{live_server(app).url}{CALLBACK}")
    assert (page.status, page.text) == (400, "ours")
