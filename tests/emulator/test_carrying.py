"""More than one callback for one login: autologin over several domains, and a browser that comes twice."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest
import requests

from flask_centralauth.emulator import Emulator

from .application import ORIGIN, Application, error_of, query_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.conftest import MakeApp, RunServer

OTHER = "https://other.example"


def frames(page: requests.Response) -> list[str]:
    return [html.unescape(src) for src in re.findall(r'<iframe src="([^"]*)"', page.text)]


@pytest.fixture
def carrying(emulator: Emulator) -> Emulator:
    emulator.configure(
        autologin=True, autologin_carry=True, whitelist=[ORIGIN, OTHER, "https://*.wild.example"]
    )
    return emulator


def test_a_login_is_carried_to_the_callback_of_the_other_domain(
    application: Application, carrying: Emulator
) -> None:
    page = application.choose(application.visit(application.login_url(state="s" * 43)), email="a@example.com")
    (frame,) = frames(page)
    assert frame.startswith(f"{OTHER}/api/auth/callback?")
    assert page.headers["Location"].startswith(f"{ORIGIN}/api/auth/callback?")
    own, other = query_of(page.headers["Location"]), query_of(frame)
    assert own["state"] == other["state"] == "s" * 43
    assert own["code"] != other["code"]
    assert f"frame-src 'self' {OTHER};" in page.headers["Content-Security-Policy"]


def test_its_domains_share_one_session_until_one_signs_out(
    application: Application, carrying: Emulator
) -> None:
    page = application.choose(application.visit(application.login_url()), email="a@example.com")
    own, other = query_of(page.headers["Location"])["code"], query_of(frames(page)[0])["code"]
    elsewhere = application.verify(other, redirect_uri=f"{OTHER}/api/auth/callback").json()["access_token"]
    here = application.verify(own).json()["access_token"]
    assert len(carrying.sessions) == 1
    assert carrying.sessions.last.domains >= {ORIGIN, OTHER}
    application.logout(here)
    assert error_of(application.userinfo(elsewhere, domain=OTHER)) == "sessionInactive"


def test_each_code_is_for_its_own_callback_and_once(application: Application, carrying: Emulator) -> None:
    page = application.choose(application.visit(application.login_url()), email="a@example.com")
    other = query_of(frames(page)[0])["code"]
    assert error_of(application.verify(other)) == "callbackUrlInvalid"
    assert application.verify(other, redirect_uri=f"{OTHER}/api/auth/callback").status_code == 200
    reply = application.verify(other, redirect_uri=f"{OTHER}/api/auth/callback")
    assert error_of(reply) == "sessionInvalid"
    assert not carrying.sessions.active


@pytest.mark.parametrize(
    "settings",
    [{"autologin_carry": False}, {"autologin": False}, {"whitelist": [ORIGIN]}],
    ids=["not carried", "no autologin", "one domain"],
)
def test_otherwise_a_login_has_one_callback(
    application: Application, carrying: Emulator, settings: dict[str, object]
) -> None:
    carrying.configure(**settings)
    page = application.choose(application.visit(application.login_url()), email="a@example.com")
    assert (page.status_code, page.content) == (302, b"")


def test_a_denial_is_not_carried(application: Application, carrying: Emulator) -> None:
    assert application.choose(application.visit(application.login_url()), deny="1").status_code == 302


def test_twice_is_the_same_callback_in_a_frame_and_after_it(
    application: Application, emulator: Emulator
) -> None:
    emulator.fail("callback", action="twice")
    page = application.choose(application.visit(application.login_url()), email="a@example.com")
    assert frames(page) == [page.headers["Location"]]
    assert "'none'" not in re.findall(r"frame-src [^;]*", page.headers["Content-Security-Policy"])[0]
    emulator.fail("callback", action="twice")
    assert application.verify(application.code()).status_code == 200


def test_a_browser_that_comes_twice_is_logged_in_once(
    emulator: Emulator, make_app: MakeApp, live_server: RunServer, chromium_page: Page
) -> None:
    emulator.configure(allow_localhost=True)
    server = live_server(make_app())
    emulator.fail("callback", action="twice")
    callbacks: list[str] = []
    chromium_page.on(
        "request",
        lambda request: callbacks.append(request.url) if "/callback?" in request.url else None,
    )
    chromium_page.goto(f"{server.url}/private")
    chromium_page.get_by_role("button", name="alice@example.com").click()
    chromium_page.wait_for_url(f"{server.url}/**")
    assert len(callbacks) == 2
    assert len(set(callbacks)) == 1
    chromium_page.goto(f"{server.url}/private")
    assert chromium_page.text_content("body") == "alice@example.com"
    assert emulator.requests.count("verify") == 1


def test_login_csrf_is_somebody_elses_callback(application: Application, emulator: Emulator) -> None:
    emulator.scenario("login_csrf")
    for _ in range(2):
        callback = query_of(emulator.authorize(application.login_url(state="mine" * 11)))
        assert set(callback) == {"code", "state"}
        assert callback["state"] != "mine" * 11
        assert error_of(application.verify(callback["code"])) == "codeChallengeInvalid"


def test_nobody_is_logged_in_by_an_attackers_callback(
    emulator: Emulator, make_app: MakeApp, live_server: RunServer
) -> None:
    emulator.configure(allow_localhost=True)
    server = live_server(make_app())
    emulator.scenario("login_csrf")
    with requests.Session() as http:
        start = http.get(f"{server.url}/api/auth/login", allow_redirects=False, timeout=20)
        callback = http.get(emulator.authorize(start.headers["Location"]), timeout=20)
        assert callback.status_code == 400
        assert http.get(f"{server.url}/api/auth/user", timeout=20).json() is None
    assert emulator.requests.none("verify")
