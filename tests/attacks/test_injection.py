"""Attacks 46 to 52 and 54 to 56: foreign text in headers, pages, logs, sessions and addresses."""

from __future__ import annotations

import base64
import json
import logging
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest
import requests
from flask import get_flashed_messages, render_template_string

from flask_centralauth.emulator import Emulator

from ..raw_http import PAGE_VISIT, ask
from ..test_redirects import HOSTILE
from .conftest import MakeTarget
from .marks import attack
from .target import ALICE, EVIL, Target, query_of

PHISH: Final = "Your account is locked. Call +1-900-555"
MARKUP: Final = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    '"onmouseover="alert(1)',
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "</title><script>alert(1)</script>",
    "{{config}}",
    "{{7*7}}",
    "${7*7}",
    "{% for x in ().__class__ %}{% endfor %}",
)


def _vouched(target: Target, error: str, description: str, *, times: int = 1) -> Any:
    """Let logins of this browser fail at CentralAuth; return the last answer."""
    for _ in range(times):
        state = query_of(target.start())["state"][0]
        said = urlencode({"state": state, "error": error, "error_description": description})
        page = target.browser.get(target.auth("callback", said), follow=False)
    return page


@attack(46, "A return path with a line end, encoded or not, is refused before it comes near a header.")
@pytest.mark.parametrize(
    "value", ["/%0d%0aSet-Cookie:%20s=1", "/x\r\nSet-Cookie: s=1", "/%0aX: y", "/\u560a\u560dX:y"]
)
def test_line_ends_in_return_to(target: Target, value: str) -> None:
    answers = [
        target.get(f"/api/auth/login?{urlencode({'return_to': value})}"),
        ask(target.auth("logout", {"return_to": value}), method="POST", headers={"Content-Length": "0"}),
        target.get(f"/private?{urlencode({'x': value})}"),
    ]
    for answer in answers:
        assert answer.status in (302, 303)
        assert not [pair for pair in answer.headers if pair[0] == "X" or pair[1].startswith("s=1")]


@attack(
    47,
    "What a callback reports is copied into no header, and into no address but CentralAuth's own banner.",
    decided="its words about an unknown code go there, cut and encoded, once this browser's attempt vouches",
)
@pytest.mark.parametrize("text", ["a\r\nSet-Cookie: s=1", f"x&return_to={EVIL}", "x#y"])
def test_parameters_through_error_description(target: Target, text: str) -> None:
    page = _vouched(target, "genericError", text)
    assert page.status == 302
    assert "evil" not in page.headers["Location"]
    assert "s=1" not in str(page.headers)
    login = target.browser.get(str(page.last.location), follow=False)
    sent = query_of(login.last.location)
    assert sent["redirect_uri"] == [f"{target.url}/api/auth/callback"]
    assert text not in sent["error_message"][0]


@attack(48, "The banner on CentralAuth's page comes from this browser's session, never from the query.")
@pytest.mark.parametrize("name", ["error_message", "error_description", "error", "message"])
def test_phishing_text_on_their_page(target: Target, name: str) -> None:
    location = target.get(f"/api/auth/login?{urlencode({name: PHISH})}").headers["Location"]
    assert "900-555" not in location
    assert "error_message" not in query_of(location)


@attack(
    49,
    "Without an attempt of this browser: a fixed sentence of ours. With one: the code's own.",
    decided="CentralAuth's words are added, escaped and cut to 200 characters, where a vouched-for "
    "code is unknown",
)
@pytest.mark.parametrize(
    "code", ["genericError", "unknownCode", "noPermission", "entityMissing", "access_denied"]
)
@pytest.mark.parametrize("state", ["", "&state=forged"])
def test_phishing_text_on_our_page(target: Target, code: str, state: str) -> None:
    for text in (PHISH, PHISH + "x" * 50_000):
        answer = target.get(
            f"/api/auth/callback?error={code}{state}&{urlencode({'error_description': text})}"
        )
        assert answer.status == 400
        assert "900-555" not in answer.text
        assert "Set-Cookie" not in answer.headers


@attack(49)
def test_a_known_code_speaks_with_our_words(target: Target) -> None:
    page = _vouched(target, "genericError", PHISH, times=2)
    assert page.status == 400
    assert "900-555" not in page.text


@attack(
    50,
    "Templates escape; their policy allows no script but the one line that leads out of a frame.",
)
@pytest.mark.parametrize("text", MARKUP)
@pytest.mark.parametrize("accept", ["text/html", "application/json", "*/*"])
def test_markup_in_error_pages(target: Target, text: str, accept: str) -> None:
    query = urlencode({"error": text, "error_description": text, "state": text, "code": text})
    for route in ("callback", "login", "logout", "affirm", "user"):
        for path in (
            f"/api/auth/{route}?{query}",
            f"/api/auth/{route}?{urlencode({'return_to': text, 'email': text})}",
        ):
            answer = ask(target.url + path, headers={"Accept": accept})
            assert answer.status < 500
            assert text not in answer.text
            assert "alert(1)" not in answer.text
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            if answer.headers["Content-Type"].startswith("text/html"):
                assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "script-src" not in policy
                assert "unsafe" not in policy


@attack(50)
@pytest.mark.parametrize("text", MARKUP)
def test_markup_in_the_page_that_leads_out_of_a_frame(target: Target, text: str) -> None:
    framed = {**PAGE_VISIT, "Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate"}
    for query in (urlencode({"state": text, "code": text, text: "x"}), quote(text, safe="<>'(){}/$*+;")):
        answer = ask(f"{target.url}/api/auth/callback?{query.replace(' ', '+')}", headers=framed)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert text not in answer.text or text.startswith("+ADw-"), "markup in UTF-7 only"
        nonces = re.findall(r"<script nonce=\"([^\"]+)\">", answer.text)
        assert answer.text.count("<script") == len(nonces) == 1
        assert f"script-src 'nonce-{nonces[0]}'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]


@attack(50)
@pytest.mark.parametrize("debug", [False, True])
def test_markup_in_what_centralauth_says(make_target: MakeTarget, debug: bool) -> None:
    target = make_target(DEBUG=debug, PROPAGATE_EXCEPTIONS=False)
    for text in MARKUP:
        page = _vouched(target, "entityMissing", text)
        assert page.status == 404
        assert "<script>" not in page.text
        assert "<img" not in page.text


@attack(50)
def test_markup_in_the_emulators_pages(emulator: Emulator) -> None:
    hostile = '"></style><script>alert(1)</script>'
    packed = base64.b64encode(
        json.dumps(
            {"loginPageIntro": hostile, "primaryColor": hostile, "imageUrl": "javascript:alert(1)"}
        ).encode()
    ).decode()
    login = {
        "client_id": emulator.client_id, "response_type": "code", "state": hostile, "email": hostile,
        "code_challenge": "a" * 43, "code_challenge_method": "S256", "redirect_uri": "http://127.0.0.1:9/cb",
        "error_message": hostile, "translations": packed, "theme_settings": packed,
    }  # fmt: skip
    requests.post(f"{emulator.url}/api/v1/userinfo", data=hostile, headers={"User-Agent": hostile}, timeout=5)
    for address in (
        f"{emulator.url}/login?{urlencode(login)}",
        f"{emulator.url}/login?{urlencode({**login, 'redirect_uri': 'javascript:alert(1)'})}",
        f"{emulator.url}/",
    ):
        answer = requests.get(address, timeout=5)
        assert "<script>alert" not in answer.text
        assert not re.search(r"""(href|src|action)\s*=\s*["']?javascript:|url\(""", answer.text)
        assert "'unsafe" not in answer.headers["Content-Security-Policy"]


@attack(
    51,
    "Flashed messages are plain text under a fixed category; a template that marks them safe marks "
    "text of ours.",
    decided="CentralAuth's words are part of the flash where a vouched-for code is unknown: keep "
    "autoescaping on",
)
def test_markup_in_a_flash(make_target: MakeTarget) -> None:
    target = make_target()

    @target.app.get("/flashes")
    def flashes() -> Any:
        found: list[Any] = list(get_flashed_messages(with_categories=True))
        assert all(type(message) is str for _category, message in found)
        return render_template_string("{% for c, m in found %}{{ c }}: {{ m }}{% endfor %}", found=found)

    for text in MARKUP:
        _vouched(target, "unknownCode", text)
        page = target.browser.get(f"{target.url}/flashes")
        assert page.text.startswith("error: ")
        assert "<script>" not in page.text
        assert "<img" not in page.text
        target.browser.cookies.clear()


@attack(52, "Foreign text is a value of a template, never part of one; a broken template falls back to ours.")
def test_template_injection(
    make_target: MakeTarget, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = make_target()
    folder = tmp_path / "templates"
    (folder / "centralauth" / "errors").mkdir(parents=True)
    app: Any = target.app  # Flask types this attribute as one that cannot be set
    app.jinja_loader = __import__("jinja2").FileSystemLoader(folder)
    own = folder / "centralauth" / "errors" / "entityMissing.html"
    own.write_text("<p>{{ error.public_message }}</p>")
    page = _vouched(target, "entityMissing", "{{7*7}}{{config}}")
    assert "{{7*7}}{{config}}" in page.text
    assert "49" not in page.text
    own.write_text("{{ broken( }}")
    target.app.jinja_env.cache.clear()  # type: ignore[union-attr]
    page = _vouched(target, "entityMissing", "{{7*7}}")
    assert page.status == 404
    assert "centralauth-incident" in page.text
    assert "Traceback" not in page.text
    assert "broken" not in page.text


@attack(52)
@pytest.mark.parametrize(
    "code", ["../../../etc/passwd", "../../base", "session", "error", "__class__", "a/b", "%2e%2e"]
)
def test_a_code_names_no_template_of_its_own_choice(target: Target, code: str) -> None:
    page = _vouched(target, code, "x", times=2)
    assert page.status == 400
    assert "root:" not in page.text


@attack(54, "One line for an incident: control characters become blanks, and everything is cut.")
def test_log_injection(target: Target, caplog: pytest.LogCaptureFixture) -> None:
    hostile = "ok\nINFO login ok user=admin\x1b[31m\u2028\u202eflow\r" + "x" * 50_000
    with caplog.at_level(logging.DEBUG, logger="flask_centralauth"):
        _vouched(target, "genericError", hostile)
        _vouched(target, "unknownCode", hostile)
        ask(
            target.auth("callback", {"error": "x", "error_description": hostile[:2000], "state": "s"}),
            headers={**PAGE_VISIT, "User-Agent": "a\x1b[31m\tb", "X-Forwarded-For": "1\x0b2"},
        )
        target.get("/api/auth/callback%0aINFO%20login%20ok")
    ours = [record.getMessage() for record in caplog.records if record.name == "flask_centralauth"]
    assert len(ours) >= 3
    for line in ours:
        assert line.isprintable(), ascii(line)
        assert len(line) < 3000


@attack(55, "Translations, theme and purpose come from settings and our own routes, never from the query.")
def test_parameters_of_the_login_page(target: Target) -> None:
    location = target.get(
        ""
        "/api/auth/login?translations=eyJsb2dpbiI6IngifQ==&theme_settings=e30=&embed=1&affirm=1&app_id=x&device_id=y"
    ).headers["Location"]
    assert not {"translations", "theme_settings", "embed", "affirm", "app_id", "device_id"} & set(
        query_of(location)
    )


HOSTILE_FIELDS: Final[list[dict[str, Any]]] = [
    {"email": "a@b\r\nBcc: x"},
    {"email": "\x00@example.com"},
    {"email": "a" * 5000 + "@example.com"},
    {"id": "a\nb"},
    {"id": " "},
    {"gravatar": "https://a\r\nX: y"},
    {"created": "x" * 2000},
    {"extra": "\ud800"},
    {"extra": "x" * 70_000},
]


@attack(56, "Each field is checked for its type, length and control characters; a picture is https.")
@pytest.mark.parametrize("fields", HOSTILE_FIELDS, ids=range(len(HOSTILE_FIELDS)))
def test_hostile_user_fields(target: Target, fields: dict[str, Any]) -> None:
    url = target.start()
    target.emulator.fail("userinfo", patch=fields)
    assert target.browser.get(url).status == 503
    assert target.who() is None


@attack(56)
@pytest.mark.parametrize(
    "picture",
    ["javascript:alert(1)", "http://169.254.169.254/", "//evil.example", "data:text/html,x", "https://["],
)
def test_hostile_pictures(make_target: MakeTarget, picture: str) -> None:
    target = make_target()
    url = target.start()
    target.emulator.fail("userinfo", patch={"gravatar": picture, "email": "<img src=x onerror=1>@x"})
    target.browser.get(url)
    answer = target.browser.fetch(target.auth("user"))
    assert answer.status == 200
    assert answer.json()["gravatar"] is None
    assert json.loads(answer.text)["email"] == "<img src=x onerror=1>@x"
    assert answer.headers["Content-Type"] == "application/json"


def test_no_hostile_line_is_echoed(target: Target) -> None:
    for value in HOSTILE:
        query = urlencode({"return_to": value.encode("utf-8", "surrogatepass")})
        assert "evil" not in target.get(f"/api/auth/logout?{query}").text
    assert target.who() != ALICE
