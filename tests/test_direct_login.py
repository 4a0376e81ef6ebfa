"""Login by a mail that a form of the application asks for."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, request

from flask_centralauth import CentralAuth
from flask_centralauth.emulator import Emulator
from flask_centralauth.session_guard import EMBEDDED_FILE

from .browser_client import Browser
from .conftest import LiveServer, MakeApp, RunServer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ELSEWHERE = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    app = make_app()
    add_form(app)
    return app


def add_form(app: Flask) -> None:
    centralauth = CentralAuth()

    @app.get("/sign-in")
    def form() -> str:
        return '<form method="post"><input name="email"><button>Mail me a link</button></form>'

    @app.route("/sign-in", methods=["POST"])
    def send() -> str:
        centralauth.authenticate_direct(request.form["email"], return_to=request.args.get("return_to"))
        return "Look into your mailbox."

    @app.get("/by-link")
    def by_link() -> str:
        centralauth.authenticate_direct("alice@example.com")
        return "never"


@pytest.fixture
def server(app: Flask, live_server: RunServer) -> LiveServer:
    return live_server(app)


def ask(browser: Browser, server: LiveServer, address: str = "alice@example.com", query: str = "") -> str:
    browser.get(f"{server.url}/sign-in{query}")
    page = browser.submit(browser.page.forms[0], {"email": address})  # type: ignore[union-attr]
    assert page.status == 200, page.text
    return page.text


def calls(emulator: Emulator, endpoint: str) -> int:
    return sum(1 for entry in emulator.requests if entry.endpoint == endpoint)


def test_link_in_the_same_browser_logs_in(browser: Browser, server: LiveServer, emulator: Emulator) -> None:
    assert ask(browser, server, query="?return_to=/private") == "Look into your mailbox."
    assert browser.fetch("/private").status == 401

    page = browser.get(emulator.mailbox.latest("alice@example.com").link)

    assert page.text == "alice@example.com"
    assert page.path == "/private"
    verify = next(entry for entry in emulator.requests if entry.endpoint == "verify")
    assert "code_verifier" not in verify.form


def test_person_without_an_account_gets_the_same_answer(
    browser: Browser, server: LiveServer, emulator: Emulator
) -> None:
    emulator.configure(enable_user_creation=False)
    known = ask(browser, server, "alice@example.com")
    unknown = ask(browser, server, "nobody@example.com")
    assert unknown == known
    assert [mail.to for mail in emulator.mailbox] == ["alice@example.com"]


@pytest.mark.parametrize("code", ["entityMissing", "entityInvalid", "noPermission"])
def test_refused_person_gets_the_same_answer(
    browser: Browser, server: LiveServer, emulator: Emulator, code: str
) -> None:
    emulator.fail("authenticate_direct", error_code=code)
    assert ask(browser, server) == "Look into your mailbox."


def test_outage_is_told(browser: Browser, server: LiveServer, emulator: Emulator) -> None:
    emulator.fail("authenticate_direct", status=503)
    browser.get(f"{server.url}/sign-in")
    assert browser.submit("/sign-in", {"email": "alice@example.com"}).status == 503


def test_mistake_in_the_set_up_is_told(browser: Browser, server: LiveServer, emulator: Emulator) -> None:
    emulator.fail("authenticate_direct", error_code="organizationIdMissing")
    browser.get(f"{server.url}/sign-in")
    assert browser.submit("/sign-in", {"email": "alice@example.com"}).status == 500


@pytest.mark.parametrize(
    ("allowed", "asked"),
    [
        ("2999-01-01T00:00:00Z", 1),
        ("2999-01-01T00:00:00.5z", 1),
        ("2999-01-01T00:00:00", 1),
        ("2001-01-01T00:00:00Z", 2),
        ("2001-01-01T00:00:00", 2),
        ("soon", 2),
        (5, 2),
        (None, 2),
    ],
)
def test_nobody_waits_for_a_date_that_is_over_or_none(
    browser: Browser, server: LiveServer, emulator: Emulator, allowed: object, asked: int
) -> None:
    emulator.fail("authenticate_direct", patch={"allowedDate": allowed})
    ask(browser, server)
    emulator.clock.advance(60)
    assert ask(browser, server) == "Look into your mailbox."
    assert calls(emulator, "authenticate_direct") == asked


def test_visitor_without_an_address_can_ask(
    app: Flask, browser: Browser, live_server: RunServer, emulator: Emulator
) -> None:
    """Behind a Unix socket there is none."""

    def behind_a_socket(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        return app({**environ, "REMOTE_ADDR": ""}, start)

    assert ask(browser, live_server(behind_a_socket)) == "Look into your mailbox."
    assert emulator.mailbox.latest().to == "alice@example.com"


@pytest.mark.parametrize("record", [b"rubbish", b'{"address": "a@example.com"}'])
def test_damaged_record_of_a_waiting_login_logs_nobody_in(
    app: Flask, browser: Browser, server: LiveServer, emulator: Emulator, record: bytes
) -> None:
    ask(browser, server)
    with closing(sqlite3.connect(Path(app.instance_path) / EMBEDDED_FILE)) as store, store:
        damaged = "UPDATE entries SET value = ? WHERE key LIKE '%:mail_waiting:%'"
        assert store.execute(damaged, (record,)).rowcount == 1
    elsewhere = Browser(emulator, user=None)
    page = elsewhere.get(emulator.mailbox.latest().link)
    assert (page.status, "Your browser did not keep our cookie" in page.text) == (400, True)
    assert calls(emulator, "verify") == 0


@pytest.mark.parametrize("address", ["", "alice", "a@b@c", "alice@example.com\n", "x" * 250 + "@example.com"])
def test_what_is_no_address_is_not_sent(
    browser: Browser, server: LiveServer, emulator: Emulator, address: str
) -> None:
    browser.get(f"{server.url}/sign-in")
    page = browser.submit("/sign-in", {"email": address})
    if address.strip() == "alice@example.com":
        assert page.status == 200
    else:
        assert page.status == 400
        assert "Please enter a valid e-mail address." in page.text
        assert calls(emulator, "authenticate_direct") == 0


def test_return_path_is_checked(browser: Browser, server: LiveServer, emulator: Emulator) -> None:
    ask(browser, server, query="?return_to=https://evil.example/")
    assert browser.get(emulator.mailbox.latest().link).url == f"{server.url}/"


class TestAnotherBrowser:
    """A mail opened on the telephone; or a link that an attacker had sent to himself."""

    @pytest.fixture
    def callback(self, browser: Browser, server: LiveServer, emulator: Emulator) -> str:
        ask(browser, server, query="?return_to=/private")
        telephone = Browser(emulator, user=None)
        answer = telephone.get(emulator.mailbox.latest().link, follow=False)
        assert answer.last.location is not None
        return answer.last.location

    @pytest.fixture
    def telephone(self, emulator: Emulator) -> Browser:
        return Browser(emulator, user=None)

    def test_asks_before_it_logs_in(
        self, telephone: Browser, server: LiveServer, emulator: Emulator, callback: str
    ) -> None:
        page = telephone.get(callback)

        assert page.status == 200
        assert "Sign in here?" in page.text
        assert "a***@example.com" in page.text
        assert "alice@example.com" not in page.text
        assert calls(emulator, "verify") == 0
        assert telephone.cookies.get("session") is None
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-store"

        page = telephone.submit(page.forms[0])
        assert page.text == "alice@example.com"
        assert page.path == "/private"

    def test_first_browser_is_not_in(self, telephone: Browser, browser: Browser, callback: str) -> None:
        page = telephone.get(callback)
        telephone.submit(page.forms[0])
        assert browser.fetch("/private").status == 401

    def test_mail_scanner_uses_nothing_up(
        self, browser: Browser, telephone: Browser, emulator: Emulator, callback: str
    ) -> None:
        for _ in range(3):
            Browser(emulator, user=None).get(callback)
        assert calls(emulator, "verify") == calls(emulator, "userinfo") == 0

        assert browser.get(callback).text == "alice@example.com"

    def test_page_left_open_makes_the_link_no_younger(
        self, telephone: Browser, emulator: Emulator, callback: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + 800)
        page = telephone.get(callback)
        monkeypatch.setattr(time, "time", lambda: now() + 1000)
        assert telephone.submit(page.forms[0]).status == 400
        assert calls(emulator, "verify") == 0

    def test_asks_again_when_it_is_opened_again(self, telephone: Browser, callback: str) -> None:
        telephone.get(callback)
        page = telephone.get(callback)
        assert "Sign in here?" in page.text
        assert telephone.submit(page.forms[0]).text == "alice@example.com"

    def test_works_once(
        self, browser: Browser, telephone: Browser, emulator: Emulator, callback: str
    ) -> None:
        page = telephone.get(callback)
        form = page.forms[0]
        telephone.submit(form)

        stranger = Browser(emulator, user=None)
        again = stranger.get(callback)
        assert again.status == 400
        assert "Sign in here?" not in again.text
        assert telephone.get(callback).url.endswith("/"), "whoever is in stays in"
        browser.get(callback, follow=False)
        assert browser.fetch("/private").status == 401
        assert calls(emulator, "verify") == 1

    def test_other_site_cannot_press_the_button(
        self, telephone: Browser, emulator: Emulator, callback: str
    ) -> None:
        page = telephone.get(callback)
        refused = telephone.submit(page.forms[0], headers=ELSEWHERE)
        assert refused.status == 403
        assert calls(emulator, "verify") == 0

    @pytest.mark.parametrize("token", ["", "x", None], ids=["empty", "wrong", "of another browser"])
    def test_button_needs_the_token_of_the_page(
        self, telephone: Browser, emulator: Emulator, callback: str, token: str | None
    ) -> None:
        other = Browser(emulator, user=None).get(callback).forms[0].fields["form_token"]
        page = telephone.get(callback)
        assert page.forms[0].fields["form_token"] != other
        refused = telephone.submit(page.forms[0], {"form_token": other if token is None else token})
        assert refused.status == 400
        assert calls(emulator, "verify") == 0

    def test_button_without_the_page_does_nothing(
        self, telephone: Browser, server: LiveServer, emulator: Emulator, callback: str
    ) -> None:
        fields = {name: values[0] for name, values in parse_qs(urlsplit(callback).query).items()}
        telephone.get(server.url)
        refused = telephone.submit("/api/auth/confirm", {**fields, "form_token": ""})
        assert refused.status == 400
        assert calls(emulator, "verify") == 0

    def test_made_up_state_gets_no_question(self, telephone: Browser, callback: str) -> None:
        page = telephone.get(callback.replace("state=", "state=x"))
        assert page.status == 400
        assert "Sign in here?" not in page.text

    def test_started_login_of_the_page_gets_no_question(
        self, browser: Browser, telephone: Browser, server: LiveServer, emulator: Emulator
    ) -> None:
        # The way over CentralAuth's page stays bound to its browser.
        login = browser.get(f"{server.url}/api/auth/login", follow=False).last.location
        assert login is not None
        callback = emulator.authorize(login)
        page = telephone.get(callback)
        assert page.status == 400
        assert not page.forms or "code" not in page.forms[0].fields
        assert calls(emulator, "verify") == 0

    def test_form_of_the_button_is_a_form(self, telephone: Browser, server: LiveServer) -> None:
        assert telephone.get(f"{server.url}/api/auth/confirm").status == 405


def test_mail_has_the_texts_of_the_settings(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator, browser: Browser
) -> None:
    app = make_app(CENTRALAUTH_TRANSLATIONS={"emailLinkSubject": "Come in"})
    add_form(app)
    ask(browser, live_server(app))
    (asked,) = [entry for entry in emulator.requests if entry.endpoint == "authenticate_direct"]
    assert json.loads(asked.text)["translations"] == {"emailLinkSubject": "Come in"}


@pytest.mark.parametrize(("age", "good"), [(890, True), (1030, False)])
def test_link_lives_fifteen_minutes(
    browser: Browser,
    server: LiveServer,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    age: int,
    good: bool,
) -> None:
    ask(browser, server, query="?return_to=/private")
    callback = Browser(emulator, user=None).get(emulator.mailbox.latest().link, follow=False).last.location
    assert callback is not None
    # The emulator tells the time by the same clock.
    emulator.configure(code_lifetime=3600)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + age)

    assert ("Sign in here?" in Browser(emulator, user=None).get(callback).text) is good
    browser.get(callback, follow=False)
    assert (browser.fetch("/private").status == 200) is good


def test_mail_is_asked_for_by_a_form_of_our_own(
    browser: Browser, server: LiveServer, emulator: Emulator, app: Flask
) -> None:
    browser.get(f"{server.url}/sign-in")
    page = browser.submit("/sign-in", {"email": "alice@example.com"}, headers=ELSEWHERE)
    assert page.status == 403
    with pytest.raises(RuntimeError, match="a view that a form posts to"):
        app.test_client().get("/by-link")
    assert calls(emulator, "authenticate_direct") == 0


class TestTooMany:
    def test_one_address_from_everywhere(self, server: LiveServer, emulator: Emulator) -> None:
        emulator.configure(mail_wait=0)
        for _ in range(5):
            ask(Browser(emulator), server)
        last = Browser(emulator)
        last.get(f"{server.url}/sign-in")
        page = last.submit("/sign-in", {"email": "ALICE@example.com"})
        assert page.status == 429
        assert int(page.headers["Retry-After"]) > 0
        assert calls(emulator, "authenticate_direct") <= 5

    def test_many_addresses_for_one_client(self, server: LiveServer, emulator: Emulator) -> None:
        browser = Browser(emulator)
        browser.get(f"{server.url}/sign-in")
        answers = [
            browser.submit("/sign-in", {"email": f"person{number}@example.com"}).status
            for number in range(21)
        ]
        assert answers == [200] * 20 + [429]

    def test_known_and_unknown_addresses_count_the_same(self, server: LiveServer, emulator: Emulator) -> None:
        emulator.configure(enable_user_creation=False)
        statuses: dict[str, list[int]] = {}
        for address in ("alice@example.com", "nobody@example.com"):
            browser = Browser(emulator)
            browser.get(f"{server.url}/sign-in")
            statuses[address] = [browser.submit("/sign-in", {"email": address}).status for _ in range(6)]
        assert statuses["alice@example.com"] == statuses["nobody@example.com"] == [200] * 5 + [429]

    def test_date_of_centralauth_is_kept(
        self, browser: Browser, server: LiveServer, emulator: Emulator
    ) -> None:
        assert ask(browser, server) == ask(browser, server)
        assert calls(emulator, "authenticate_direct") == 1
        assert len(emulator.mailbox) == 1

    def test_wait_for_one_address_is_none_for_everybody(self, server: LiveServer, emulator: Emulator) -> None:
        for _ in range(4):
            emulator.fail(
                "authenticate_direct",
                action="error",
                code="tooManyRequests",
                status=429,
                header={"Retry-After": "600"},
                facts={"allowedDate": "2999-01-01T00:00:00.000Z"},
            )
        for number in range(4):
            ask(Browser(emulator), server, f"person{number}@example.com")
        assert Browser(emulator).get(f"{server.url}/private").text == "alice@example.com"


def test_other_logins_need_their_verifier(
    app: Flask, browser: Browser, server: LiveServer, emulator: Emulator
) -> None:
    login = browser.get(f"{server.url}/api/auth/login", follow=False).last.location
    assert login is not None
    state = parse_qs(urlsplit(login).query)["state"][0]
    attempts = app.extensions["centralauth"].attempts
    with app.test_request_context(
        base_url=server.url, headers={"Cookie": browser.cookies.header(server.url)}
    ):
        attempt = attempts.find(request, state, redirect_uri=f"{server.url}/api/auth/callback")
        response = app.response_class()
        attempts.save(response, request, state, replace(attempt, code_verifier=""))
    for header in response.headers.getlist("Set-Cookie"):
        browser.cookies.store(server.url, header)
    browser.get(emulator.authorize(login), follow=False)
    assert browser.fetch("/private").status == 401
    assert calls(emulator, "verify") == 0
