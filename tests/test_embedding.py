"""CentralAuth's login page in a frame: what the application sends. `browser/test_embedding.py` looks on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, render_template_string
from markupsafe import escape
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import TestResponse

from flask_centralauth import CentralAuth, PermissionDenied
from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .conftest import MakeApp, RunServer

FRAME = {
    "Accept": "text/html",
    "Sec-Fetch-Dest": "iframe",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
}
HTTPS = "https://app.example"


def login(app: Flask, headers: Mapping[str, str], *, base: str = "http://localhost") -> TestResponse:
    return app.test_client().get("/api/auth/login?embed=1&return_to=/private", headers=headers, base_url=base)


def test_frame_of_our_own_page_shows_the_login_page(make_app: MakeApp, emulator: Emulator) -> None:
    answer = login(make_app(), FRAME)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(f"{emulator.url}/login?")
    assert parse_qs(urlsplit(answer.headers["Location"]).query)["embed"] == ["1"]


@pytest.mark.parametrize(
    "changed",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Dest": "frame"},
        {"Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Mode": "no-cors"},
    ],
    ids=lambda changed: " ".join(changed.values()),
)
def test_nothing_else_starts_a_login(make_app: MakeApp, changed: dict[str, str]) -> None:
    answer = login(make_app(), {**FRAME, **changed})
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_frame_has_to_ask_for_it(make_app: MakeApp) -> None:
    answer = make_app().test_client().get("/api/auth/login", headers=FRAME)
    assert answer.status_code == 401


@pytest.mark.parametrize("headers", [{}, {**FRAME, "Sec-Fetch-Dest": "document"}], ids=["old", "window"])
def test_whole_window_is_no_frame(make_app: MakeApp, headers: dict[str, str]) -> None:
    answer = login(make_app(), headers)
    assert answer.status_code == 302
    assert "embed" not in parse_qs(urlsplit(answer.headers["Location"]).query)


def test_cookie_of_the_attempt_is_for_frames_only_on_https(make_app: MakeApp) -> None:
    app = make_app(CENTRALAUTH_CALLBACK_URL=f"{HTTPS}/api/auth/callback")
    cookie = login(app, FRAME, base=HTTPS).headers["Set-Cookie"]
    assert cookie.startswith("__Host-centralauth_")
    assert {"SameSite=None", "Secure", "Partitioned", "HttpOnly"} <= set(cookie.split("; "))

    ordinary = login(app, {}, base=HTTPS).headers["Set-Cookie"]
    assert "SameSite=Lax" in ordinary
    assert "Partitioned" not in ordinary
    local = login(make_app(), FRAME).headers["Set-Cookie"]
    assert "SameSite=Lax" in local
    assert "Partitioned" not in local


def test_cookie_of_a_framed_attempt_is_deleted_where_it_lies(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator
) -> None:
    app = make_app(CENTRALAUTH_CALLBACK_URL=f"{HTTPS}/api/auth/callback")
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1, x_host=1)  # type: ignore[method-assign]
    browser = Browser(emulator, routes={HTTPS: live_server(app).url})
    started = browser.get(f"{HTTPS}/api/auth/login?embed=1", headers=FRAME, follow=False)
    name = started.headers["Set-Cookie"].partition("=")[0]
    assert started.last.location is not None
    done = browser.get(emulator.authorize(started.last.location, referer=HTTPS), follow=False)
    assert done.status == 303
    (deleted,) = [one for one in done.headers.getlist("Set-Cookie") if one.startswith(name)]
    assert "Max-Age=0" in deleted
    assert "Partitioned" in deleted


def test_session_cookie_is_never_for_frames(
    make_app: MakeApp, live_server: RunServer, emulator: Emulator
) -> None:
    server = live_server(make_app())
    browser = Browser(emulator)
    started = browser.get(f"{server.url}/api/auth/login?embed=1", headers=FRAME, follow=False)
    assert started.last.location is not None
    done = browser.get(emulator.authorize(started.last.location, referer=server.url), follow=False)
    (session,) = [one for one in done.headers.getlist("Set-Cookie") if one.startswith("session=")]
    assert "SameSite=Lax" in session


class TestCallbackInAFrame:
    CALLBACK = "/api/auth/callback?code=a-code&state=a-state&x=%22%3E%3Cscript%3E"

    @pytest.mark.parametrize("site", ["cross-site", "same-site", "same-origin"])
    def test_breaks_out_and_changes_nothing(self, make_app: MakeApp, emulator: Emulator, site: str) -> None:
        answer = make_app().test_client().get(self.CALLBACK, headers={**FRAME, "Sec-Fetch-Site": site})

        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers
        assert not list(emulator.requests)
        assert f'href="{escape(self.CALLBACK)}" target="_top"' in answer.text
        policy = answer.headers["Content-Security-Policy"]
        nonce = re.search(r"script-src 'nonce-([^']+)'", policy)
        assert nonce
        assert answer.text.count("<script") == 1
        assert f'<script nonce="{nonce[1]}">' in answer.text

    def test_only_our_own_pages_may_frame_it(self, make_app: MakeApp) -> None:
        answer = make_app().test_client().get(self.CALLBACK, headers=FRAME)
        assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
        assert answer.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("path", ["logout", "login?embed=1", "callback?code=a&state=b", "affirm"])
    def test_every_other_page_stays_closed(self, make_app: MakeApp, path: str) -> None:
        answer = make_app().test_client().get(f"/api/auth/{path}", headers={"Accept": "text/html"})
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'self'" not in answer.headers["Content-Security-Policy"]


class TestGuestInAFrame:
    """`<iframe src="/private">`: no login page may be framed, so the whole window goes there."""

    def ask(self, app: Flask, path: str = "/private", **changed: str) -> TestResponse:
        headers = {**FRAME, "Referer": "http://localhost/?tab=2", **changed}
        return app.test_client().get(path, headers=headers)

    @pytest.mark.parametrize("path", ["/private", "/api/auth/login", "/api/auth/login?return_to=/private"])
    def test_page_of_our_own_shows_a_link_for_the_whole_window(
        self, make_app: MakeApp, emulator: Emulator, path: str
    ) -> None:
        answer = self.ask(make_app(), path)
        assert (answer.status_code, answer.mimetype) == (401, "text/html")
        assert 'href="/api/auth/login?return_to=/?tab%3D2" target="_top"' in answer.text
        assert "<form" not in answer.text
        assert "<script" not in answer.text
        assert "Location" not in answer.headers
        assert "Set-Cookie" not in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
        assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
        assert not list(emulator.requests)

    @pytest.mark.parametrize(
        "referer", ["", "https://evil.example/", "http://localhost/api/auth/logout", "http://localhost:1/x"]
    )
    def test_without_the_address_of_the_page_it_leads_back_to_the_one_in_the_frame(
        self, make_app: MakeApp, referer: str
    ) -> None:
        answer = self.ask(make_app(), "/private?a=1", Referer=referer)
        assert 'href="/api/auth/login?return_to=/private?a%3D1" target="_top"' in answer.text

    @pytest.mark.parametrize(
        "changed",
        [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Dest": "object"}],
        ids=lambda changed: " ".join(changed.values()),
    )
    def test_page_of_another_origin_shows_nothing(self, make_app: MakeApp, changed: dict[str, str]) -> None:
        answer = self.ask(make_app(), **changed)
        assert (answer.status_code, answer.mimetype) == (401, "application/json")
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "Set-Cookie" not in answer.headers

    def test_form_in_a_frame_is_not_sent_and_leads_back_to_its_page(self, make_app: MakeApp) -> None:
        app = make_app()
        answer = app.test_client().post("/save", headers={**FRAME, "Referer": "http://localhost/edit"})
        assert answer.status_code == 401
        assert 'href="/api/auth/login?return_to=/edit" target="_top"' in answer.text
        assert "saves" not in app.extensions

    def test_whoever_is_signed_in_sees_the_page(
        self, make_app: MakeApp, live_server: RunServer, browser: Browser
    ) -> None:
        server = live_server(make_app())
        browser.get(f"{server.url}/private")
        framed = browser.get(f"{server.url}/private", headers=FRAME, follow=False)
        assert framed.text == "alice@example.com"

    def test_what_is_no_question_of_signing_in_is_told_as_to_a_program(self, make_app: MakeApp) -> None:
        app = make_app()

        @app.get("/forbidden")
        def forbidden() -> str:
            raise PermissionDenied()

        answer = self.ask(app, "/forbidden")
        assert (answer.status_code, answer.mimetype) == (403, "application/json")


class TestMarkup:
    def rendered(self, app: Flask, call: str, **context: object) -> str:
        with app.test_request_context("/welcome"):
            return render_template_string("{{ " + call + " }}", **context)

    def test_frame(self, make_app: MakeApp, emulator: Emulator) -> None:
        html = self.rendered(make_app(), "centralauth.embed(return_to='/private', nonce='n1')")
        assert 'src="/api/auth/login?embed=1&amp;return_to=/private"' in html
        assert 'referrerpolicy="origin"' in html
        allowed = f"publickey-credentials-get {emulator.url}; publickey-credentials-create {emulator.url}"
        assert f'allow="{allowed}"' in html
        assert html.count("<script") == 1
        assert '<script nonce="n1">' in html

    def test_every_frame_has_a_name_of_its_own(self, make_app: MakeApp) -> None:
        html = self.rendered(make_app(), "centralauth.embed() ~ centralauth.embed()")
        names = re.findall(r'<iframe id="([^"]+)"', html)
        assert len(set(names)) == 2
        assert names == re.findall(r'"name": "([^"]+)"', html)

    def test_return_path_is_checked(self, make_app: MakeApp) -> None:
        html = self.rendered(make_app(), "centralauth.embed(return_to='https://evil.example/')")
        assert "evil" not in html

    def test_hostile_values_stay_text(self, make_app: MakeApp) -> None:
        hostile = "\"'><script>alert(1)</script>\u2028&@example.com"
        html = self.rendered(
            make_app(), "centralauth.embed(email=bad, nonce=bad, return_to='/?q=' ~ bad)", bad=hostile
        )
        assert "alert(1)</script>" not in html
        assert html.count("<script") == 1

    def test_address_of_centralauth_cannot_end_the_script(
        self, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = make_app()
        hostile = "https://a</script><b>&'\u2028"
        object.__setattr__(app.extensions["centralauth"].settings, "base_url", hostile)
        html = self.rendered(app, "centralauth.embed()")
        (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
        values = json.loads(script.rpartition("})(")[2].removesuffix(")"))
        assert values["origin"] == hostile
        assert not set("<>&'\u2028") & set(script.rpartition("})(")[2])

    def test_own_variable_of_an_application_wins(self, make_app: MakeApp) -> None:
        assert self.rendered(make_app(), "centralauth", centralauth="mine") == "mine"

    def test_view_gets_markup(self, make_app: MakeApp) -> None:
        app = make_app()
        with app.test_request_context("/"):
            assert str(CentralAuth().embed()).startswith("<iframe ")
