"""Signing out everywhere: here at once, at CentralAuth as far as it answers."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from flask import Flask, get_flashed_messages, redirect
from flask.typing import ResponseReturnValue

from flask_centralauth import CentralAuth
from flask_centralauth.emulator import Emulator
from flask_centralauth.signals import user_logged_out

from .browser_client import Browser
from .conftest import LiveServer, MakeApp, RunServer

ELSEWHERE = (
    "You are signed out here. CentralAuth could not be reached, so you may still be signed in elsewhere."
)
#: For a call that may take 2 seconds: more than it needs on a busy machine, less than a hanging one.
PROMPTLY = 10.0


def serve(make_app: MakeApp, live_server: RunServer, **config: Any) -> LiveServer:
    app = make_app(CENTRALAUTH_TIMEOUT=2, **config)
    add_views(app)
    return live_server(app)


def add_views(app: Flask) -> None:
    centralauth = CentralAuth()

    @app.get("/messages")
    def messages() -> list[str]:
        return [str(message) for message in get_flashed_messages()]

    @app.post("/leave/<how>")
    def leave(how: str) -> ResponseReturnValue:
        centralauth.logout(everywhere={"everywhere": True, "here": False}.get(how))
        return redirect("/messages", 303)


def signed_in(emulator: Emulator, server: LiveServer) -> Browser:
    browser = Browser(emulator)
    assert browser.get(f"{server.url}/private").text == "alice@example.com"
    return browser


def asked(emulator: Emulator) -> int:
    return sum(entry.endpoint == "logout" for entry in emulator.requests)


@pytest.mark.parametrize(
    ("setting", "how", "everywhere"),
    [
        (False, "as-set", False),
        (True, "as-set", True),
        (False, "everywhere", True),
        (True, "here", False),
    ],
)
def test_setting_and_call_decide(
    make_app: MakeApp,
    live_server: RunServer,
    emulator: Emulator,
    setting: bool,
    how: str,
    everywhere: bool,
) -> None:
    server = serve(make_app, live_server, CENTRALAUTH_LOGOUT_EVERYWHERE=setting)
    browser = signed_in(emulator, server)

    assert browser.submit(f"/leave/{how}").json() == []

    assert asked(emulator) == everywhere
    assert [session.active for session in emulator.sessions] == [not everywhere]
    assert browser.fetch("/private").status == 401


def test_route_follows_the_setting_and_ends_other_applications_too(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator
) -> None:
    server = serve(make_app, live_server, CENTRALAUTH_LOGOUT_EVERYWHERE=True)
    browser = signed_in(emulator, server)
    browser.submit(f"{server.url}/api/auth/logout", follow=False)
    (session,) = emulator.sessions
    assert not session.active


class TestServiceUnreachable:
    @pytest.fixture
    def server(self, make_app: MakeApp, live_server: RunServer) -> LiveServer:
        return serve(make_app, live_server, CENTRALAUTH_LOGOUT_EVERYWHERE=True)

    @pytest.mark.parametrize(
        "how",
        [
            {"status": 503},
            {"error_code": "genericError", "status": 500},
            {"error_code": "tooManyRequests", "status": 429},
            {"action": "reset"},
            {"hang": True},
        ],
        ids=["503", "error", "rate limit", "reset", "hangs"],
    )
    def test_signed_out_here_and_told(
        self, emulator: Emulator, server: LiveServer, how: dict[str, Any]
    ) -> None:
        browser = signed_in(emulator, server)
        stolen = browser.cookies.copy()
        emulator.fail("logout", **how)

        began = time.monotonic()
        page = browser.submit("/leave/as-set")

        assert time.monotonic() - began < PROMPTLY
        assert page.json() == [ELSEWHERE]
        assert asked(emulator) == 1
        assert browser.fetch("/private").status == 401
        assert Browser(emulator, cookies=stolen, user=None).fetch(f"{server.url}/private").status == 401
        assert browser.get(f"{server.url}/messages").json() == [], "told once"

    def test_nobody_waits_for_it(self, emulator: Emulator, server: LiveServer) -> None:
        browser = signed_in(emulator, server)
        tab, statuses = browser.tab(), []
        fault = emulator.fail("logout", hang=True)
        leaving = threading.Thread(target=lambda: statuses.append(browser.submit("/leave/as-set").status))
        leaving.start()
        fault.wait()

        # CentralAuth holds the call: here the login is over already, for whoever asks.
        assert tab.fetch(f"{server.url}/private").status == 401
        leaving.join(PROMPTLY)
        assert statuses == [200]

    def test_dead_service_is_not_asked_again_and_again(self, emulator: Emulator, server: LiveServer) -> None:
        browsers = [signed_in(emulator, server) for _ in range(5)]
        emulator.fail("logout", status=503, times=None)
        for browser in browsers:
            assert browser.submit("/leave/as-set").json() == [ELSEWHERE]
        assert asked(emulator) <= 3

    def test_signal_is_sent_once(self, emulator: Emulator, server: LiveServer) -> None:
        browser = signed_in(emulator, server)
        emulator.fail("logout", status=503)
        told: list[str] = []
        with user_logged_out.connected_to(lambda _app, user, **_: told.append(user.email)):
            browser.submit("/leave/as-set")
            browser.submit("/leave/as-set")
        assert told == ["alice@example.com"]

    def test_next_login_says_nothing_of_it(self, emulator: Emulator, server: LiveServer) -> None:
        browser = signed_in(emulator, server)
        emulator.fail("logout", status=503)
        browser.submit("/leave/as-set", follow=False)
        browser.get(f"{server.url}/private")
        assert browser.get(f"{server.url}/messages").json() == []


@pytest.mark.parametrize("code", ["sessionMissing", "sessionInactive", "sessionExpired", "tokenInvalid"])
def test_session_that_was_over_already_needs_no_warning(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator, code: str
) -> None:
    server = serve(make_app, live_server)
    browser = signed_in(emulator, server)
    emulator.fail("logout", error_code=code)
    assert browser.submit("/leave/everywhere").json() == []
    assert browser.fetch("/private").status == 401


def test_guest_is_signed_out_without_asking(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator
) -> None:
    server = serve(make_app, live_server)
    browser = Browser(emulator)
    browser.get(server.url)
    assert browser.submit("/leave/everywhere").json() == []
    assert asked(emulator) == 0
