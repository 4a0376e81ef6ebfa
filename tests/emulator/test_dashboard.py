"""The dashboard: everything is shown, nothing is believed, buttons work without JavaScript."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import requests

from flask_centralauth.emulator import Emulator
from flask_centralauth.emulator.dashboard import PAGES

from .application import ORIGIN, Application, error_of, query_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

ATTACK = "<script>alert(1)</script>"


class Dashboard:
    """A browser without JavaScript on the dashboard."""

    def __init__(self, emulator: Emulator) -> None:
        self.url = f"{emulator.url}/_emulator/ui"

    def page(self, name: str, **query: str) -> str:
        reply = requests.get(f"{self.url}/{name}", params=query, timeout=20)
        assert reply.status_code == 200
        assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
        return reply.text

    def press(self, name: str, act: str, **fields: str) -> requests.Response:
        token = re.search(r'name="form_token" value="([^"]+)"', self.page("settings"))
        assert token
        data = {"form_token": token[1], "act": act, **fields}
        return requests.post(f"{self.url}/{name}", data=data, timeout=20)


@pytest.fixture
def dashboard(emulator: Emulator) -> Dashboard:
    return Dashboard(emulator)


def test_the_bare_address_leads_to_it(emulator: Emulator, dashboard: Dashboard) -> None:
    for url in (emulator.url, dashboard.url):
        assert "<h1>Requests</h1>" in requests.get(url, timeout=20).text
    assert requests.get(f"{dashboard.url}/nothing", timeout=20).status_code == 404
    assert len(emulator.requests) == 0


@pytest.mark.parametrize("name", PAGES)
def test_hostile_input_is_shown_as_text(
    application: Application, emulator: Emulator, dashboard: Dashboard, name: str
) -> None:
    emulator.add_user(email=f"{ATTACK}@example.com")
    application.visit(application.login_url(redirect_uri=f"https://evil.example/{ATTACK}", state=ATTACK))
    application.visit(
        application.login_url(client_id=ATTACK, error_message=ATTACK), Referer=f"https://x/{ATTACK}"
    )
    application.userinfo(ATTACK, user_agent=ATTACK, auth_ip=ATTACK, domain=ATTACK)
    application.userinfo(application.token(user=f"{ATTACK}@example.com"))
    emulator.fail("userinfo", error_code=ATTACK, message=ATTACK)
    application.userinfo("x")
    assert ATTACK not in dashboard.page(name)
    if name in ("requests", "users"):
        assert "&lt;script&gt;" in dashboard.page(name)


def test_requests_show_what_was_sent_and_why_it_failed(
    application: Application, dashboard: Dashboard
) -> None:
    code = application.code()
    application.verify(code, code_verifier="w" * 43)
    page = dashboard.page("requests")
    assert "codeChallengeInvalid" in page
    assert "code_verifier belongs to code_challenge" in page
    assert code not in page
    assert "/api/v1/verify" not in dashboard.page("requests", kind="browser")
    assert "/api/v1/verify" in dashboard.page("requests", kind="refused")
    dashboard.press("requests", "clear")
    assert "Nothing was sent yet" in dashboard.page("requests")


def test_users(application: Application, emulator: Emulator, dashboard: Dashboard) -> None:
    dashboard.press("users", "add", email="carol@example.com")
    carol = emulator.service.find_user("carol@example.com")
    assert carol is not None
    dashboard.press("users", "toggle", user=carol.id, field="blocked")
    dashboard.press("users", "toggle", user=carol.id, field="verified")
    assert (carol.blocked, carol.verified) == (True, False)
    dashboard.press("users", "autologin", user=carol.email)
    assert application.visit(application.login_url()).status_code == 302
    dashboard.press("users", "autologin", user="")
    dashboard.press("users", "next", outcome="deny")
    dashboard.press("users", "next", outcome="noPermission")
    ends = [
        query_of(application.visit(application.login_url()).headers["Location"])["error"] for _ in range(2)
    ]
    assert ends == ["access_denied", "noPermission"]
    for _ in range(2):  # the second from a page that is out of date
        assert dashboard.press("users", "remove", user=carol.id).status_code == 200
    assert emulator.service.find_user("carol@example.com") is None


def test_sessions(application: Application, emulator: Emulator, dashboard: Dashboard) -> None:
    token = application.token()
    dashboard.press("sessions", "end", session=emulator.sessions.last.id)
    assert error_of(application.userinfo(token)) == "sessionInactive"
    token = application.token()
    dashboard.press("sessions", "expire", session=emulator.sessions.last.id)
    assert error_of(application.userinfo(token)) == "sessionExpired"


def test_faults(application: Application, emulator: Emulator, dashboard: Dashboard) -> None:
    dashboard.press("faults", "add", endpoint="userinfo", what="status:502", times="1")
    dashboard.press("faults", "add", endpoint="userinfo", what="code:sessionInactive", times="1")
    dashboard.press("faults", "add", endpoint="userinfo", what="action:html", times="")
    assert application.userinfo("x").status_code == 502
    assert error_of(application.userinfo("x")) == "sessionInactive"
    for _ in range(2):
        assert "Bad gateway" in application.userinfo("x").text
    page = dashboard.page("faults")
    assert "any number of" in page
    for fault in emulator.service.faults:
        dashboard.press("faults", "remove", fault=str(fault.number))
    assert "Everything works" in dashboard.page("faults")
    dashboard.press("faults", "scenario", scenario="outage")
    assert application.userinfo("x").status_code == 503
    dashboard.press("faults", "clear")
    dashboard.press("faults", "add", endpoint="userinfo", what="hang:", times="1")
    assert next(iter(emulator.service.faults)).hang


def test_settings_and_clock(emulator: Emulator, dashboard: Dashboard) -> None:
    assert emulator.client_secret in dashboard.page("settings")
    dashboard.press(
        "settings",
        "save",
        mode="compat",
        whitelist=f"{ORIGIN}\nhttps://b.example",
        code_lifetime="5",
        hijack_ip="1",
    )
    settings = emulator.settings
    assert (settings.mode, settings.whitelist) == ("compat", (ORIGIN, "https://b.example"))
    assert (settings.code_lifetime, settings.hijack_ip, settings.hijack_user_agent) == (5, True, False)
    dashboard.press("settings", "clock", advance="3600")
    assert emulator.clock.offset == pytest.approx(3600, abs=5)
    dashboard.press("settings", "clock", freeze="1")
    assert emulator.clock.frozen
    dashboard.press("settings", "clock", freeze="1")
    dashboard.press("settings", "clock", real="1")
    assert emulator.clock.offset == pytest.approx(0, abs=1)
    dashboard.press("settings", "reset")
    assert emulator.settings.mode == "strict"


def test_the_mailbox_shows_links(emulator: Emulator, dashboard: Dashboard, application: Application) -> None:
    page = application.visit(application.login_url())
    application.choose(page, email="alice@example.com", mail="1")
    shown = dashboard.page("mailbox")
    assert emulator.mailbox.latest().link in shown
    assert "to alice@example.com" in shown


@pytest.mark.parametrize(
    ("name", "act", "fields"),
    [
        ("users", "add", {"email": "nobody"}),
        ("users", "toggle", {"user": "nobody"}),
        ("users", "toggle", {"user": "alice@example.com", "field": "email"}),
        ("users", "next", {"outcome": "sunshine"}),
        ("faults", "add", {"endpoint": "userinfo", "what": "action:sunshine"}),
        ("faults", "add", {"endpoint": "userinfo", "what": "status:many"}),
        ("faults", "add", {"endpoint": "callback", "what": "status:500"}),
        ("faults", "scenario", {"scenario": "sunshine"}),
        ("settings", "save", {"mode": "lax"}),
        ("settings", "save", {"mode": "strict", "code_lifetime": "-1"}),
        ("settings", "clock", {"advance": "soon"}),
        ("settings", "clock", {"advance": "1e300"}),
    ],
)
def test_nonsense_is_told_on_the_page(
    dashboard: Dashboard, name: str, act: str, fields: dict[str, str]
) -> None:
    reply = dashboard.press(name, act, **fields)
    assert reply.status_code == 400
    assert 'class="notice notice-bad" role="alert"' in reply.text


def test_buttons_need_their_page(dashboard: Dashboard, emulator: Emulator) -> None:
    assert requests.post(f"{dashboard.url}/settings", data={"act": "reset"}, timeout=20).status_code == 403
    assert dashboard.press("users", "reset").status_code == 404
    assert dashboard.press("sessions", "end", session="nobody").status_code == 404
    assert requests.post(f"{dashboard.url}/findings", data={"act": "x"}, timeout=20).status_code == 403


def test_the_journal_is_live(
    application: Application,
    emulator: Emulator,
    chromium_page: Page,
    screenshot: Callable[[str], Path],
) -> None:
    complaints: list[str] = []
    chromium_page.on("console", lambda message: complaints.append(message.text))
    chromium_page.goto(f"{emulator.url}/_emulator/ui/requests")
    chromium_page.get_by_text("Nothing was sent yet").wait_for()
    application.verify(application.code())
    row = chromium_page.get_by_text("/api/v1/verify")
    row.click()
    chromium_page.get_by_text("code is used for the first time").wait_for()
    application.userinfo("x")
    chromium_page.get_by_text("tokenInvalid").first.wait_for()
    assert chromium_page.get_by_text("code is used for the first time").is_visible()
    screenshot("emulator-dashboard")
    assert complaints == []


def test_the_login_page_in_a_browser(
    application: Application, emulator: Emulator, chromium_page: Page, screenshot: Callable[[str], Path]
) -> None:
    complaints: list[str] = []
    chromium_page.on("console", lambda message: complaints.append(message.text))
    chromium_page.goto(application.login_url(error_description="Your session has ended."))
    chromium_page.get_by_role("alert").get_by_text("Your session has ended.").wait_for()
    screenshot("emulator-login")
    chromium_page.set_viewport_size({"width": 360, "height": 740})
    assert chromium_page.evaluate("document.documentElement.scrollWidth") == 360
    screenshot("emulator-login-phone")
    assert complaints == []
    chromium_page.route(f"{ORIGIN}/**", lambda route: route.fulfill(body="back at the application"))
    chromium_page.get_by_role("button", name="alice@example.com").click()
    chromium_page.get_by_text("back at the application").wait_for()
    assert set(query_of(chromium_page.url)) == {"code", "state"}
