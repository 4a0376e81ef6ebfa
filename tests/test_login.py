"""Starting a login, and what travels to CentralAuth during one."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from flask import Flask, Response, request
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_centralauth import CentralAuth
from flask_centralauth.emulator import Emulator

from .browser_client import USER_AGENT, Browser
from .browser_page import Hop
from .conftest import LiveServer, MakeApp, RunServer
from .raw_http import PAGE_VISIT, ask

LOGIN: Final = "/api/auth/login"


@pytest.fixture
def server(make_app: MakeApp, live_server: RunServer) -> LiveServer:
    return live_server(make_app())


def _query(url: str) -> dict[str, str]:
    """The parameters of a URL, each of which occurs once."""
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


# The wire.


def test_the_browser_takes_what_centralauth_requires(
    server: LiveServer, browser: Browser, emulator: Emulator
) -> None:
    answer = browser.get(f"{server.url}{LOGIN}", follow=False)
    assert answer.status == 302
    address = answer.last.location or ""
    assert address.startswith(f"{emulator.url}/login?")
    sent = _query(address)
    assert set(sent) == {
        "client_id", "response_type", "redirect_uri", "state", "code_challenge", "code_challenge_method",
    }  # fmt: skip
    assert sent["client_id"] == emulator.client_id
    assert sent["response_type"] == "code"
    assert sent["redirect_uri"] == f"{server.url}/api/auth/callback"
    assert sent["code_challenge_method"] == "S256"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", sent["code_challenge"])
    assert re.fullmatch(r"[\x21-\x7e]{32,512}", sent["state"])


def test_a_code_is_exchanged_by_one_documented_request(
    server: LiveServer, browser: Browser, emulator: Emulator
) -> None:
    browser.get(f"{server.url}/private?x=1")
    login = emulator.requests.one("login")
    verify = emulator.requests.one("verify")
    assert (verify.method, verify.path, verify.query_string) == ("POST", "/api/v1/verify", "")
    assert verify.headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    credentials = f"{emulator.client_id}:{emulator.client_secret}".encode()
    assert verify.headers["Authorization"] == f"Basic {base64.b64encode(credentials).decode()}"
    assert set(verify.form) == {"grant_type", "code", "redirect_uri", "code_verifier"}
    assert verify.form["grant_type"] == "authorization_code"
    verifier = verify.form["code_verifier"]
    assert re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier)
    digest = hashlib.sha256(verifier.encode()).digest()
    assert login.query["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert verify.form["redirect_uri"] == login.query["redirect_uri"] == f"{server.url}/api/auth/callback"
    assert verifier not in (login.query["state"], verify.form["code"])


def test_the_user_is_asked_for_as_documented(
    server: LiveServer, browser: Browser, emulator: Emulator
) -> None:
    browser.get(f"{server.url}/private")
    userinfo = emulator.requests.one("userinfo")
    assert (userinfo.method, userinfo.path) == ("POST", "/api/v1/userinfo")
    assert userinfo.query.to_dict(flat=False) == {"domain": [server.url]}
    assert userinfo.headers["Content-Type"] == "text/plain"
    assert userinfo.text == json.loads(emulator.requests.one("verify").reply)["access_token"]
    assert userinfo.headers["auth-ip"] == "127.0.0.1"
    assert userinfo.headers["user-agent"] == USER_AGENT
    assert "device-id" not in userinfo.headers
    assert userinfo.authorization == "basic"


def test_two_calls_on_one_connection_and_none_after(
    server: LiveServer, browser: Browser, emulator: Emulator
) -> None:
    browser.get(f"{server.url}/private")
    assert [entry.endpoint for entry in emulator.requests.api] == ["verify", "userinfo"]
    assert emulator.requests.connections == 1
    for _ in range(3):
        assert browser.get(f"{server.url}/private").status == 200
    other = Browser(emulator, user="bob@example.com")
    other.get(f"{server.url}/private")
    # Another login of another person: two calls more, the connection is still the first.
    assert [entry.endpoint for entry in emulator.requests.api] == ["verify", "userinfo"] * 2
    assert emulator.requests.connections == 1


def test_every_login_has_its_own_secrets(server: LiveServer, browser: Browser, emulator: Emulator) -> None:
    for _ in range(20):
        browser.get(f"{server.url}{LOGIN}")
    logins, exchanges = emulator.requests.of("login"), emulator.requests.of("verify")
    assert len({entry.query["state"] for entry in logins}) == 20
    assert len({entry.query["state"][:16] for entry in logins}) == 20
    assert len({entry.form["code_verifier"] for entry in exchanges}) == 20
    assert len({entry.form["code_verifier"][:8] for entry in exchanges}) == 20


# What /login takes from its own address.


def test_only_three_parameters_count(server: LiveServer, browser: Browser) -> None:
    """Attacks: state fixation by parameter, phishing text on CentralAuth's page."""
    hostile = (
        "state=AAAA&code_challenge=AAAA&code_challenge_method=plain&client_id=evil&nonce=1&response_type=token"
        "&redirect_uri=https://evil.example/&error_message=phish&error_description=phish&translations=e30"
        "&theme_settings=e30&affirm=1&app_id=x&scope=openid"
    )
    plain = _query(browser.get(f"{server.url}{LOGIN}", follow=False).last.location or "")
    address = browser.get(f"{server.url}{LOGIN}?{hostile}", follow=False).last.location or ""
    sent = _query(address)
    assert set(sent) == set(plain)
    assert "phish" not in address
    assert "evil" not in address
    assert sent["code_challenge_method"] == "S256"
    assert sent["state"] not in ("AAAA", plain["state"])


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("alice@example.com", "alice@example.com"),
        ("a%2Bb@example.com", "a+b@example.com"),
        ("nobody", None),
        ("a@b%0d%0aSet-Cookie:x=1", None),
        ("a@b%26redirect_uri=https://evil.example", "a@b&redirect_uri=https://evil.example"),
        ("%00@example.com", None),
        ("a" * 250 + "@example.com", None),
        ("", None),
    ],
)
def test_an_email_is_prefilled(server: LiveServer, browser: Browser, given: str, sent: str | None) -> None:
    address = browser.get(f"{server.url}{LOGIN}?email={given}", follow=False).last.location or ""
    assert _query(address).get("email") == sent
    assert _query(address)["redirect_uri"] == f"{server.url}/api/auth/callback"


def test_texts_and_looks_of_the_login_page(
    make_app: MakeApp, live_server: RunServer, browser: Browser
) -> None:
    class Lazy:
        """As a translation library returns it."""

        def __str__(self) -> str:
            return "Bonjour \u2713"

    app = make_app(
        CENTRALAUTH_THEME={"primaryColor": "#123456"},
        CENTRALAUTH_TRANSLATIONS=lambda: {"loginPageIntro": Lazy()},
    )
    sent = _query(browser.get(f"{live_server(app).url}{LOGIN}", follow=False).last.location or "")
    assert json.loads(base64.b64decode(sent["theme_settings"])) == {"primaryColor": "#123456"}
    assert json.loads(base64.b64decode(sent["translations"])) == {"loginPageIntro": "Bonjour \u2713"}


@pytest.mark.parametrize("returned", [{"loginPageIntr": "x"}, "text", None, {}])
def test_wrong_texts_do_not_stop_logins(
    make_app: MakeApp,
    live_server: RunServer,
    browser: Browser,
    caplog: pytest.LogCaptureFixture,
    returned: object,
) -> None:
    server = live_server(make_app(CENTRALAUTH_TRANSLATIONS=lambda: returned))
    assert browser.get(f"{server.url}/private").text == "alice@example.com"
    assert ("translations returned" in caplog.text) == bool(returned)


# What starts no login.

BACKGROUND: Final = {
    "fetch": {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    "no-cors": {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"},
    "image": {"Sec-Fetch-Dest": "image"},
    "iframe": {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"},
    "script": {"Sec-Fetch-Dest": "script"},
    "xhr": {"X-Requested-With": "XMLHttpRequest"},
    "htmx": {"HX-Request": "true"},
}
PREFETCH: Final = {
    "sec-purpose": {"Sec-Purpose": "prefetch"},
    "prerender": {"Sec-Purpose": "prefetch;prerender"},
    "purpose": {"Purpose": "prefetch"},
    "x-purpose": {"X-Purpose": "preview"},
    "x-moz": {"X-Moz": "prefetch"},
}


@pytest.mark.parametrize("headers", BACKGROUND.values(), ids=list(BACKGROUND))
@pytest.mark.parametrize("accept", ["text/html", "*/*", "application/json"])
def test_a_background_request_starts_nothing(
    server: LiveServer, emulator: Emulator, headers: dict[str, str], accept: str
) -> None:
    answer = ask(f"{server.url}{LOGIN}", headers={"Accept": accept, **headers})
    assert answer.status == 401
    assert answer.json()["errorCode"] == "tokenMissing"
    assert answer.json()["loginUrl"] == LOGIN
    assert "Location" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    assert emulator.requests.none("login")


@pytest.mark.parametrize("headers", PREFETCH.values(), ids=list(PREFETCH))
@pytest.mark.parametrize(
    "route", ["login?return_to=/", "callback?code=a&state=b", "user", "logout", "affirm"]
)
def test_a_prefetch_has_no_effect(server: LiveServer, headers: dict[str, str], route: str) -> None:
    answer = ask(f"{server.url}/api/auth/{route}", headers={**PAGE_VISIT, **headers})
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    assert "Location" not in answer.headers


def test_a_prefetched_callback_still_works(server: LiveServer, browser: Browser, emulator: Emulator) -> None:
    login = browser.get(f"{server.url}/api/auth/login?return_to=/private", follow=False)
    callback = emulator.authorize(login.last.location or "", ip=browser.ip, user_agent=browser.user_agent)
    prefetched = browser.get(callback, headers={"Sec-Purpose": "prefetch"})
    assert prefetched.status == 204
    assert emulator.requests.none()
    assert browser.get(callback).text == "alice@example.com"


@pytest.mark.parametrize("route", ["login", "callback?code=a&state=b", "logout", "affirm"])
def test_head_is_refused(server: LiveServer, route: str) -> None:
    answer = ask(f"{server.url}/api/auth/{route}", method="HEAD", headers=PAGE_VISIT)
    assert answer.status == 405
    assert "HEAD" not in answer.headers["Allow"]
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("route", ["login", "callback?code=a&state=b", "user", "affirm"])
def test_other_methods_are_refused(server: LiveServer, emulator: Emulator, method: str, route: str) -> None:
    answer = ask(
        f"{server.url}/api/auth/{route}", method=method, headers={"Content-Length": "0", **PAGE_VISIT}
    )
    assert answer.status == 405
    assert emulator.requests.none()


def test_a_cross_site_link_may_start_a_login(server: LiveServer) -> None:
    """Links in mails and on other sites have to work."""
    headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"}
    assert ask(f"{server.url}{LOGIN}", headers=headers).status == 302


# Headers.


def _check_headers(hop: Hop) -> None:
    assert hop.headers["Cache-Control"] == "no-store"
    assert "Cookie" in hop.headers["Vary"]
    assert hop.headers["Referrer-Policy"] == "strict-origin"
    assert hop.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in hop.headers["Content-Security-Policy"]
    assert hop.headers["X-Content-Type-Options"] == "nosniff"
    assert hop.headers["X-Robots-Tag"] == "noindex"
    assert hop.headers.getlist("Cache-Control") == ["no-store"]


def test_the_headers_of_every_route(server: LiveServer, browser: Browser) -> None:
    page = browser.get(f"{server.url}/private")
    login, callback = page.hops[1], page.hops[3]
    assert [(hop.status, urlsplit(hop.url).path) for hop in (login, callback)] == [
        (302, "/api/auth/login"),
        (303, "/api/auth/callback"),
    ]
    for hop in (login, callback):
        _check_headers(hop)
    for route in ("user", "logout", "callback", "callback?code=a&code=b&state=c", "affirm", "user/x.css"):
        hop = browser.get(f"{server.url}/api/auth/{route}", follow=False).last
        if hop.status != 404:
            _check_headers(hop)
    user = browser.fetch("/api/auth/user")
    assert "Authorization" in user.headers["Vary"]
    assert user.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert (
        "Access-Control-Allow-Origin"
        not in browser.fetch("/api/auth/user", headers={"Origin": "https://evil.example"}).headers
    )


def test_an_applications_own_headers_do_not_break_logins(
    make_app: MakeApp, live_server: RunServer, browser: Browser, emulator: Emulator
) -> None:
    """A cache must not store a login; CentralAuth may refuse one without a referrer."""
    app = make_app()

    @app.after_request
    def harden(response: Response) -> Response:
        if request.endpoint == "index":
            return response
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "public, max-age=600"
        response.headers["X-Own"] = "yes"
        return response

    server = live_server(app)
    emulator.configure(check_referrer=True, whitelist=(server.url,))
    browser.get(f"{server.url}/")
    page = browser.click("/private")
    assert page.text == "alice@example.com"
    for hop in (page.hops[1], page.hops[3]):
        _check_headers(hop)
        assert hop.headers["X-Own"] == "yes"
    assert page.headers["Cache-Control"] == "no-store", "nor a page that only one person may see"
    assert browser.get(f"{server.url}/nowhere").headers["Cache-Control"] == "public, max-age=600"


# The address of the callback.


def test_the_configured_callback_wins_over_the_host(make_app: MakeApp, live_server: RunServer) -> None:
    server = live_server(make_app(CENTRALAUTH_CALLBACK_URL="https://app.example/api/auth/callback"))
    for headers in (
        {"Host": "evil.example"},
        {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"},
        {"Forwarded": "host=evil.example"},
    ):
        answer = ask(
            f"{server.url}{LOGIN}?return_to=https://evil.example/", headers={**PAGE_VISIT, **headers}
        )
        assert _query(answer.headers["Location"])["redirect_uri"] == "https://app.example/api/auth/callback"
        assert "evil" not in str(answer.headers)


def test_a_forged_host_never_reaches_a_location(
    make_app: MakeApp, live_server: RunServer, browser: Browser
) -> None:
    server = live_server(make_app(CENTRALAUTH_CALLBACK_URL="https://app.example/api/auth/callback"))
    browser.routes["https://app.example"] = server.url
    page = browser.get("https://app.example/private", headers={"Host": "evil.example"})
    assert page.text == "alice@example.com"
    assert not [hop.location for hop in page.hops if "evil" in (hop.headers.get("Location") or "")]


def test_forwarded_headers_are_believed_only_with_proxyfix(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator
) -> None:
    """Attack: IP spoofing against hijack protection. And a proxy with a prefix."""
    app = make_app()
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)  # type: ignore[method-assign]
    app.config["SESSION_COOKIE_SECURE"] = True

    def with_prefix(environ, start_response):  # type: ignore[no-untyped-def]
        environ["HTTP_X_FORWARDED_PREFIX"] = "/sub"
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/sub")
        return app(environ, start_response)

    browser = Browser(emulator, ip="203.0.113.9")
    browser.routes["https://app.example"] = live_server(with_prefix).url
    page = browser.get(
        "https://app.example/sub/private?x=1", headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.9"}
    )
    assert (page.url, page.text) == ("https://app.example/sub/private?x=1", "alice@example.com")
    redirect_uri = "https://app.example/sub/api/auth/callback"
    assert emulator.requests.one("login").query["redirect_uri"] == redirect_uri
    assert emulator.requests.one("verify").form["redirect_uri"] == redirect_uri
    userinfo = emulator.requests.one("userinfo")
    assert (userinfo.headers["auth-ip"], userinfo.query["domain"]) == ("203.0.113.9", "https://app.example")


def test_without_proxyfix_the_header_is_not_believed(
    server: LiveServer, browser: Browser, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Real-IP": "6.6.6.6"}
    with caplog.at_level(logging.WARNING, logger="flask_centralauth"):
        for _ in range(3):
            assert browser.get(f"{server.url}/private", headers=forged).status == 200
    assert emulator.requests.one("userinfo").headers["auth-ip"] == "127.0.0.1"
    assert emulator.requests.one("login").query["redirect_uri"].startswith("http://127.0.0.1")
    warned = [record.getMessage() for record in caplog.records if "ProxyFix" in record.getMessage()]
    assert len(warned) == 1, "once per process"
    assert "ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)" in warned[0]


def test_a_proxy_that_shows_itself_late(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Health checks come first, thousands of them; a login passes our routes."""
    monkeypatch.setattr("flask_centralauth.extension.REQUESTS_TO_WATCH", 3)
    client = make_app().test_client()
    forwarded = {"X-Forwarded-Proto": "https"}
    for _ in range(4):
        client.get("/")
    client.get("/", headers=forwarded)
    assert "ProxyFix" not in caplog.text
    client.get(LOGIN, headers=forwarded)
    client.get(LOGIN, headers=forwarded)
    assert caplog.text.count("ProxyFix(app.wsgi_app") == 1


def test_with_proxyfix_nothing_is_warned_of(
    make_app: MakeApp, live_server: RunServer, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(CENTRALAUTH_CALLBACK_URL="https://app.example/api/auth/callback")
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)  # type: ignore[method-assign]
    browser.routes["https://app.example"] = live_server(app).url
    assert browser.get("https://app.example/private").status == 200
    assert "ProxyFix" not in caplog.text


@pytest.mark.parametrize(
    ("debug", "address", "times"), [(False, "10.0.0.7", 1), (True, "10.0.0.7", 0), (False, "203.0.113.9", 0)]
)
def test_a_private_address_in_production(
    make_app: MakeApp,
    emulator: Emulator,
    caplog: pytest.LogCaptureFixture,
    debug: bool,
    address: str,
    times: int,
) -> None:
    app = make_app(DEBUG=debug)
    for _ in range(2):
        client = app.test_client()
        started = client.get(LOGIN, environ_base={"REMOTE_ADDR": address})
        callback = urlsplit(emulator.authorize(started.headers["Location"], ip=address, user_agent=None))
        ended = client.get(f"{callback.path}?{callback.query}", environ_base={"REMOTE_ADDR": address})
        assert ended.status_code == 303
    assert caplog.text.count("private or missing") == times
    assert ("ProxyFix" in caplog.text) == bool(times)


def test_two_names_of_one_machine(make_app: MakeApp, live_server: RunServer, browser: Browser) -> None:
    """Cookies of localhost are none of 127.0.0.1: a login has to start where it ends."""
    app = make_app()
    server = live_server(app)
    port = urlsplit(server.url).port
    moved = make_app(CENTRALAUTH_CALLBACK_URL=f"http://localhost:{port}/api/auth/callback")
    app.wsgi_app = moved.wsgi_app  # type: ignore[method-assign]
    page = browser.get(f"{server.url}/private?x=1")
    assert (page.url, page.text) == (f"http://localhost:{port}/private?x=1", "alice@example.com")
    assert page.hops[2].url.startswith(f"http://localhost:{port}/api/auth/login?")


def test_previews_on_many_hosts(
    make_app: MakeApp, live_server: RunServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = live_server(make_app(TRUSTED_HOSTS=[".preview.example.com"]))
    answer = ask(f"{server.url}{LOGIN}", headers={**PAGE_VISIT, "Host": "pr-7.preview.example.com"})
    redirect_uri = _query(answer.headers["Location"])["redirect_uri"]
    assert redirect_uri == "http://pr-7.preview.example.com/api/auth/callback"
    answer = ask(f"{server.url}{LOGIN}", headers={**PAGE_VISIT, "Host": "evil.example"})
    assert answer.status == 400
    assert "evil" not in str(answer.headers)


@pytest.mark.parametrize("host", ["a@b", "evil.example/x", "a b", "app.example:x"])
def test_a_host_header_that_is_no_host(server: LiveServer, emulator: Emulator, host: str) -> None:
    answer = ask(f"{server.url}{LOGIN}", headers={**PAGE_VISIT, "Host": host})
    assert answer.status == 400
    assert "Location" not in answer.headers


# A sign-in page of the application.


def test_a_login_page_of_ones_own(
    emulator: Emulator, live_server: RunServer, browser: Browser, tmp_path: Path
) -> None:
    from flask_centralauth import current_user

    app = Flask("application_under_test", instance_path=str(tmp_path))
    app.config.update(emulator.config, SECRET_KEY="a secret key, long enough", TESTING=True)
    app.config["CENTRALAUTH_LOGIN_VIEW"] = "sign_in"
    centralauth = CentralAuth(app)
    centralauth.protect(app)

    @app.get("/sign-in")
    def sign_in() -> Response | str:
        if "go" in request.args:
            return centralauth.login_redirect(
                return_to=request.args.get("return_to"), email="alice@example.com"
            )
        return f"our page, then {request.args.get('return_to')}"

    @app.get("/<path:rest>")
    def page(rest: str) -> str:
        return f"{rest} for {current_user.email}"

    server = live_server(app)
    shown = browser.get(f"{server.url}/a/b?x=1")
    assert urlsplit(shown.url).path == "/sign-in"
    assert shown.text == "our page, then /a/b?x=1"
    assert browser.fetch("/a/b").json()["loginUrl"] == "/sign-in"
    entered = browser.click(f"{shown.url}&go=1")
    assert (entered.url, entered.text) == (f"{server.url}/a/b?x=1", "a/b for alice@example.com")
    assert emulator.requests.one("login").query["email"] == "alice@example.com"
    _check_headers(entered.hops[0])
    # A hostile value is refused there, too.
    evil = browser.get(f"{server.url}/sign-in?go=1&return_to=https://evil.example/")
    assert urlsplit(evil.url).netloc == urlsplit(server.url).netloc


def test_where_a_login_without_a_return_path_ends(
    make_app: MakeApp, live_server: RunServer, browser: Browser
) -> None:
    path = live_server(make_app(CENTRALAUTH_AFTER_LOGIN="/private?welcome=1"))
    assert browser.get(f"{path.url}{LOGIN}").url == f"{path.url}/private?welcome=1"
    endpoint = live_server(make_app(CENTRALAUTH_AFTER_LOGIN="private"))
    assert browser.get(f"{endpoint.url}{LOGIN}").url == f"{endpoint.url}/private"


def test_a_login_while_logged_in_changes_nothing_until_it_ends(
    server: LiveServer, browser: Browser, emulator: Emulator
) -> None:
    """Attack: forced login."""
    browser.get(f"{server.url}/private")
    started = browser.get(f"{server.url}{LOGIN}", follow=False)
    assert parse_qs(urlsplit(started.last.location or "").query)["client_id"]
    assert browser.fetch("/api/data").json() == {"email": "alice@example.com"}
    browser.user = "bob@example.com"
    browser.get(f"{server.url}{LOGIN}")
    assert browser.fetch("/api/data").json() == {"email": "bob@example.com"}
