"""Setting up: factories, several applications, prefixes, mounts, blueprints, handlers of one's own."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, Response, g, jsonify, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from flask_centralauth import (
    CentralAuth,
    CentralAuthError,
    ConfigurationError,
    SessionError,
    auth_required,
    current_user,
)
from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .conftest import RunServer
from .raw_http import PAGE_VISIT, ask

KEY: Final = "a secret key of the tests, long enough"


@pytest.fixture
def new_app(tmp_path: Path, emulator: Emulator) -> Callable[..., Flask]:
    """`new_app(**config)`: an application with settings and a guarded view, without the extension."""
    numbers = iter(range(1000))

    def make(**config: Any) -> Flask:
        app = Flask("application_under_test", instance_path=str(tmp_path / str(next(numbers))))
        app.config.update(emulator.config, SECRET_KEY=KEY, TESTING=True)
        app.config.update(config)
        app.add_url_rule("/private", "private", auth_required(lambda: f"{current_user.email}"))
        app.add_url_rule("/", "index", lambda: "public")
        return app

    return make


def test_in_one_line_and_in_a_factory(
    new_app: Callable[..., Flask], live_server: RunServer, browser: Browser, emulator: Emulator
) -> None:
    one_line, factory = new_app(), new_app()
    CentralAuth(one_line)
    CentralAuth().init_app(factory)
    for app in (one_line, factory):
        assert "centralauth" in app.extensions
        assert "centralauth" in app.blueprints
        assert "centralauth" in app.cli.commands
        with app.test_request_context():
            assert url_for("centralauth.login") == "/api/auth/login"
            assert url_for("centralauth.callback") == "/api/auth/callback"
            assert url_for("centralauth.user") == "/api/auth/user"
            assert url_for("centralauth.logout") == "/api/auth/logout"
            assert url_for("centralauth.affirm") == "/api/auth/affirm"
    assert emulator.requests.none(), "no call while setting up"
    assert browser.get(f"{live_server(factory).url}/private").text == "alice@example.com"


def test_twice_on_one_application(new_app: Callable[..., Flask]) -> None:
    app = new_app()
    centralauth = CentralAuth(app)
    hooks = len(app.before_request_funcs[None]), len(app.after_request_funcs[None])
    for again in (centralauth.init_app, CentralAuth):
        with pytest.raises(RuntimeError, match="already set up for this application"):
            again(app)
    assert (len(app.before_request_funcs[None]), len(app.after_request_funcs[None])) == hooks


def test_wrong_settings_can_be_corrected(new_app: Callable[..., Flask]) -> None:
    app = new_app(CENTRALAUTH_TIMEOUT="soon")
    with pytest.raises(ConfigurationError):
        CentralAuth(app)
    app.config["CENTRALAUTH_TIMEOUT"] = 2
    CentralAuth(app)
    assert app.test_client().get("/api/auth/user").json is None


def test_without_it_the_words_help(new_app: Callable[..., Flask]) -> None:
    app = new_app()
    with app.test_request_context(), pytest.raises(RuntimeError, match=r"Call CentralAuth\(app\)"):
        current_user.email  # noqa: B018 - reading it is the point


def test_one_object_two_applications_interleaved(tmp_path: Path, live_server: RunServer) -> None:
    """Each has its own organization, secret, sessions and users."""
    centralauth = CentralAuth()
    with (
        Emulator(client_id="first", users=["alice@example.com"]) as one,
        Emulator(client_id="second", users=["bob@example.com"]) as two,
    ):
        people: list[tuple[str, Browser, str]] = []
        for emulator, email in ((one, "alice@example.com"), (two, "bob@example.com")):
            app = Flask(emulator.client_id, instance_path=str(tmp_path / emulator.client_id))
            app.config.update(emulator.config, SECRET_KEY=KEY, TESTING=True)
            centralauth.init_app(app)
            app.add_url_rule("/private", "private", auth_required(lambda: f"{current_user.email}"))
            server = live_server(app)
            people += [(server.url, Browser(emulator, user=email), email) for _ in range(4)]
        ready = threading.Barrier(len(people))

        def use(person: tuple[str, Browser, str]) -> set[str]:
            url, browser, _ = person
            ready.wait(10)
            return {browser.get(f"{url}/private").text for _ in range(10)}

        with ThreadPoolExecutor(len(people)) as threads:
            seen = list(threads.map(use, people))
        assert seen == [{email} for _, _, email in people]
        for emulator in (one, two):
            calls = emulator.requests.of("verify")
            assert len(calls) == 4
            assert all(call.verdict == "ok" for call in calls)
            assert {entry.query["client_id"] for entry in emulator.requests.of("login")} == {
                emulator.client_id
            }


def test_a_hundred_applications_leave_nothing_behind(new_app: Callable[..., Flask]) -> None:
    centralauth = CentralAuth()
    untouched = dict(vars(centralauth))

    def create_app() -> weakref.ref[Flask]:
        app = new_app()
        centralauth.init_app(app)
        assert app.test_client().get("/private").status_code == 401
        return weakref.ref(app)

    apps = [create_app() for _ in range(100)]
    gc.collect()
    assert sum(app() is not None for app in apps) == 0
    assert vars(centralauth) == untouched


# Where it is mounted.


@pytest.mark.parametrize("prefix", ["/auth", "/deep/er/auth"])
def test_another_prefix(
    new_app: Callable[..., Flask], live_server: RunServer, browser: Browser, emulator: Emulator, prefix: str
) -> None:
    app = new_app(CENTRALAUTH_URL_PREFIX=prefix)
    CentralAuth(app)
    server = live_server(app)
    page = browser.get(f"{server.url}/private")
    assert page.text == "alice@example.com"
    assert emulator.requests.one("login").query["redirect_uri"] == f"{server.url}{prefix}/callback"
    assert browser.get(f"{server.url}/api/auth/user").status == 404
    assert browser.get(f"{server.url}{prefix}/login?return_to={prefix}/logout").url == f"{server.url}/"


@pytest.mark.parametrize("apart_by", ["name", "path"])
def test_two_applications_mounted_side_by_side(
    new_app: Callable[..., Flask], live_server: RunServer, browser: Browser, emulator: Emulator, apart_by: str
) -> None:
    mounts: dict[str, Any] = {}
    for mount in ("/a", "/b/c"):
        own = {"name": f"session{len(mounts)}", "path": mount}[apart_by]
        app = new_app(CENTRALAUTH_AFTER_LOGIN="/?welcome", **{f"SESSION_COOKIE_{apart_by.upper()}": own})
        CentralAuth(app)
        mounts[mount] = app
    server = live_server(DispatcherMiddleware(Flask("root"), mounts))
    for number, mount in enumerate(mounts):
        base = f"{server.url}{mount}"
        page = browser.get(f"{base}/private?x=1")
        assert (page.url, page.text) == (f"{base}/private?x=1", "alice@example.com")
        assert page.hops[1].url.startswith(f"{base}/api/auth/login?")
        assert emulator.requests.of("login")[number].query["redirect_uri"] == f"{base}/api/auth/callback"
        assert emulator.requests.of("userinfo")[number].query["domain"] == server.url
    # Logged in at both, and every address on every page has its mount.
    for mount in mounts:
        base = f"{server.url}{mount}"
        assert browser.fetch(f"{base}/api/auth/user").json()["email"] == "alice@example.com"
        assert browser.get(f"{base}/api/auth/login").url == f"{base}/?welcome"
        assert (
            browser.get(f"{base}/api/auth/login?return_to={mount}/api/auth/logout").url == f"{base}/?welcome"
        )
        refused = browser.get(f"{base}/api/auth/callback")
        assert f'href="{mount}/api/auth/login"' in refused.text
    base = f"{server.url}/a"
    page = browser.get(f"{base}/api/auth/logout")
    assert page.forms[0].action == f"{base}/api/auth/logout"
    assert browser.submit(page.forms[0]).url == f"{base}/"
    assert browser.fetch(f"{base}/api/auth/user").json() is None
    assert browser.fetch(f"{server.url}/b/c/api/auth/user").json()["email"] == "alice@example.com"
    assert 'href="/a/api/auth/login"' in browser.get(f"{base}/api/auth/logout").text


def test_signing_out_of_a_mounted_application_whose_pages_are_guarded(
    new_app: Callable[..., Flask], live_server: RunServer, browser: Browser
) -> None:
    app = new_app(CENTRALAUTH_AFTER_LOGOUT="/private")
    CentralAuth(app)
    server = live_server(DispatcherMiddleware(Flask("root"), {"/a": app}))
    browser.get(f"{server.url}/a/private")
    page = browser.get(f"{server.url}/a/api/auth/logout")
    done = browser.submit(page.forms[0])
    assert (done.url, "You are signed out" in done.text) == (f"{server.url}/a/api/auth/logout", True)


def test_an_application_that_matches_hosts(
    emulator: Emulator, live_server: RunServer, browser: Browser, tmp_path: Path
) -> None:
    app = Flask("app", host_matching=True, static_host="app.example", instance_path=str(tmp_path))
    app.config.update(emulator.config, SECRET_KEY=KEY, TESTING=True)
    CentralAuth(app)
    for host in ("app.example", "admin.example"):
        view = auth_required(lambda host=host: f"{host} {current_user.email}")
        app.add_url_rule("/private", host, view, host=host)
    app.add_url_rule("/", "index", lambda: f"public {url_for('index')}", host="app.example")
    server = live_server(app)
    for host in ("app.example", "admin.example"):
        browser.routes[f"http://{host}"] = server.url
        page = browser.get(f"http://{host}/private?x=1")
        assert (page.url, page.text) == (f"http://{host}/private?x=1", f"{host} alice@example.com")
        redirect_uri = emulator.requests.of("login")[-1].query["redirect_uri"]
        assert redirect_uri == f"http://{host}/api/auth/callback"
        assert browser.fetch("/api/auth/user").json()["email"] == "alice@example.com"
    page = browser.get("http://app.example/api/auth/logout")
    home = browser.submit(page.forms[0])
    assert (home.url, home.text) == ("http://app.example/", "public /")
    assert len(browser.get("http://admin.example/private").hops) == 1, "cookies are a host's own"


# What the application brings itself.


def test_handlers_of_one_family(new_app: Callable[..., Flask], live_server: RunServer) -> None:
    for before in (True, False):
        app = new_app()
        if not before:
            CentralAuth(app)
        app.register_error_handler(SessionError, lambda error: (f"ours {error.error_code}", 418))
        if before:
            CentralAuth(app)
        server = live_server(app)
        assert ask(f"{server.url}/private", headers=PAGE_VISIT).text == "ours tokenMissing"
        assert ask(f"{server.url}/api/auth/callback", headers=PAGE_VISIT).status == 400, "others stay"


def test_handlers_of_everything_do_not_take_ours(
    new_app: Callable[..., Flask], live_server: RunServer
) -> None:
    for kind in (Exception, HTTPException):
        app = new_app()
        CentralAuth(app)
        app.register_error_handler(kind, lambda error: (f"general {type(error).__name__}", 500))
        server = live_server(app)
        assert ask(f"{server.url}/private", headers=PAGE_VISIT).status == 302
        assert ask(f"{server.url}/missing", headers=PAGE_VISIT).text == "general NotFound"


def test_a_handler_of_a_blueprint(new_app: Callable[..., Flask], live_server: RunServer) -> None:
    from flask import Blueprint

    app = new_app()
    CentralAuth(app)
    api = Blueprint("api", __name__, url_prefix="/v1")
    api.register_error_handler(
        CentralAuthError, lambda error: (jsonify(problem=error.error_code), error.code)
    )
    api.add_url_rule("/thing", "thing", auth_required(lambda: "thing"))
    app.register_blueprint(api)
    server = live_server(app)
    answer = ask(f"{server.url}/v1/thing", headers=PAGE_VISIT)
    assert (answer.status, answer.json()) == (401, {"problem": "tokenMissing"})
    assert ask(f"{server.url}/private", headers=PAGE_VISIT).status == 302


def test_another_json_provider_keeps_working(new_app: Callable[..., Flask]) -> None:
    from flask.json.provider import JSONProvider

    class Plain(JSONProvider):
        def dumps(self, obj: Any, **kwargs: Any) -> str:
            return repr(obj)

        def loads(self, s: str | bytes, **kwargs: Any) -> Any:
            return s

    app = new_app()
    app.json = Plain(app)
    CentralAuth(app)
    assert app.test_client().get("/api/auth/user").text.startswith("None")


def test_the_applications_own_authlib_clients_are_left_alone(
    new_app: Callable[..., Flask], live_server: RunServer, browser: Browser
) -> None:
    from authlib.integrations.flask_client import OAuth

    app = new_app(CENTRALAUTH_AUTHORIZE_URL="https://evil.example/authorize")
    oauth = OAuth(app)
    oauth.register("other", client_id="other-client", authorize_url="https://other.example/authorize")
    CentralAuth(app)

    @app.get("/other")
    def other() -> Any:
        return oauth.other.authorize_redirect("https://app.example/other/callback")

    server = live_server(app)
    login = browser.get(f"{server.url}/api/auth/login", follow=False)
    assert "evil" not in login.headers["Location"]
    answer = ask(f"{server.url}/other", headers=PAGE_VISIT)
    assert answer.headers["Location"].startswith("https://other.example/authorize?")
    assert parse_qs(urlsplit(answer.headers["Location"]).query)["client_id"] == ["other-client"]
    assert browser.get(f"{server.url}/private").text == "alice@example.com"


def test_nothing_of_a_login_is_left_on_g(
    new_app: Callable[..., Flask], live_server: RunServer, browser: Browser
) -> None:
    app = new_app()
    CentralAuth(app)
    seen: list[str] = []

    @app.after_request
    def look(response: Response) -> Response:
        seen.extend(name for name in g if "token" in name)
        return response

    browser.get(f"{live_server(app).url}/private")
    assert seen == []


def test_a_set_up_needs_no_network_and_little_time() -> None:
    """Nothing that a page without a login needs not: Authlib and requests come with the first one."""
    code = (
        "import socket, sys, tempfile\n"
        "def refuse(*_): raise AssertionError('a connection')\n"
        "socket.socket.connect = refuse\n"
        "from flask import Flask\n"
        "from flask_centralauth import CentralAuth\n"
        "app = Flask('x', instance_path=tempfile.mkdtemp())\n"
        "app.config.update(SECRET_KEY='k' * 32, CENTRALAUTH_CLIENT_ID='id')\n"
        "app.config['CENTRALAUTH_CLIENT_SECRET'] = 's' * 32\n"
        "CentralAuth(app)\n"
        "assert app.test_client().get('/api/auth/user').json is None\n"
        "print([name for name in ('authlib', 'requests', 'redis') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
