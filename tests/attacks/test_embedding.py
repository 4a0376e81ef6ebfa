"""Attacks 53 and 63 to 65: CentralAuth's login page in a frame, in a real browser where it takes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

import pytest
from flask import Flask, Response, render_template_string, request
from werkzeug.middleware.proxy_fix import ProxyFix

from ..browser_client import Browser
from ..conftest import RunServer
from .conftest import MakeTarget
from .marks import attack
from .target import ALICE, BOB, Target, assert_refused

if TYPE_CHECKING:
    from playwright.sync_api import Frame, Page

FRAME: Final = {"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
HTTPS: Final = "https://app.example"

WELCOME: Final = """<!doctype html><title>Welcome</title><script>var seen = [], ran = [];
addEventListener("message", event => seen.push(event.data)); function alert(said) { ran.push(said) }</script>
{{ centralauth.embed(return_to=request.args.get("return_to"), email=request.args.get("email"),
                     nonce=request.args.get("nonce")) }}"""


@pytest.fixture
def target(make_target: MakeTarget) -> Target:
    target = make_target()
    target.app.add_url_rule("/welcome", "welcome", lambda: render_template_string(WELCOME))
    return target


@pytest.fixture
def hostile(live_server: RunServer) -> str:
    """A site of the attacker's: another origin, with the page it is asked for."""
    app = Flask("hostile")
    app.add_url_rule("/", "page", lambda: Response(request.args["html"], mimetype="text/html"))
    return live_server(app).url.replace("127.0.0.1", "localhost")


def _opened(page: Page, target: Target, query: str = "") -> Frame:
    """Open a page with the login page in it; return CentralAuth's frame once it is as tall as it wants."""
    page.goto(f"{target.url}/welcome?{query}")
    page.wait_for_function("document.querySelector('iframe').height !== '480'")
    frame = page.frames[1]
    assert frame.url.startswith(f"{target.emulator.url}/")
    return frame


NO_HEIGHTS: Final[tuple[object, ...]] = (
    *("1px;color:red", "-1", "1e9", "NaN", "", "0x10", "Infinity"),
    *(-1, True, None, {}, [700], {"height": 700}),
)
ADD_FRAME: Final = "url => { document.body.appendChild(document.createElement('iframe')).src = url }"


def _height(page: Page) -> int:
    return int(page.evaluate("document.querySelector('iframe').height"))


BREAK_OUTS: Final = (
    "/</script><script>alert(1)//",
    "\u2028alert(1)//",
    "'\";alert(1);//",
    '"><script>alert(1)</script>',
    "x' onload='alert(1)",
    '" onload="alert(1)',
    "</iframe><img src=x onerror=alert(1)>",
    "<!--<script>",
    "javascript:alert(1)",
    "${alert(1)}",
    "%</script><script>alert(1)</script>",
)


@attack(
    53, "What is built into the script is JSON without <, > and &; everything else is an escaped attribute."
)
def test_breaking_out_of_the_embed_script(chromium_page: Page, target: Target) -> None:
    for value in BREAK_OUTS:
        said = {"return_to": f"/?{value}", "email": f"{value}@example.com", "nonce": value}
        for query in (urlencode(said), urlencode({**said, "return_to": value, "email": value})):
            _opened(chromium_page, target, query)
            assert chromium_page.evaluate("ran") == []
            assert chromium_page.locator("iframe").count() == 1
            assert chromium_page.locator("script").count() == 2


@attack(53)
def test_no_embed_script_takes_a_query(target: Target) -> None:
    for route in ("embed.js", "embed", "script.js", "login.js"):
        assert target.get(f"/api/auth/{route}?return_path=/</script><script>alert(1)//").status == 404


@attack(
    63,
    "Only a message of CentralAuth's origin from this very frame counts, and only as pixels between 0 "
    "and 2000.",
)
def test_messages_of_others(chromium_page: Page, target: Target, hostile: str) -> None:
    page = chromium_page
    frame = _opened(page, target)
    real = _height(page)
    evil = f"{hostile}/?html=<script>(window.opener || parent).postMessage('700', '*')</script>"

    def assert_unmoved(message: str = "700") -> None:
        # The page's own listener is told after ours.
        page.wait_for_function("message => seen.includes(message)", arg=message)
        assert _height(page) == real
        page.evaluate("seen.length = 0")

    page.evaluate("seen.length = 0")
    page.evaluate("postMessage('700', '*')")
    assert_unmoved()
    page.evaluate(ADD_FRAME, evil)
    assert_unmoved()
    with page.context.expect_page() as opened:
        page.evaluate("url => void window.open(url)", evil)
    assert_unmoved()
    opened.value.close()
    # CentralAuth's own page, in a frame that somebody else made.
    page.evaluate(ADD_FRAME, frame.url)
    page.wait_for_function("seen.length > 0")
    page.frames[-1].evaluate("parent.postMessage('701', '*')")
    assert_unmoved("701")
    # The right frame, gone to another site.
    frame.goto(evil)
    assert_unmoved()


@attack(63)
def test_messages_that_are_no_height(chromium_page: Page, target: Target) -> None:
    page = chromium_page
    page.goto(f"{target.url}/")
    usual = set(page.evaluate("Object.keys(window)"))
    frame = _opened(page, target)
    real = _height(page)
    for message in NO_HEIGHTS:
        page.evaluate("seen.length = 0")
        frame.evaluate("message => parent.postMessage(message, '*')", message)
        page.wait_for_function("seen.length === 1")
        assert _height(page) == real, message
    frame.evaluate("parent.postMessage(100000, '*')")
    page.wait_for_function("document.querySelector('iframe').height === '2000'")
    assert set(page.evaluate("Object.keys(window)")) - usual == {"seen", "ran", "0"}, "the frame is all"


ALLOWED: Final = """["publickey-credentials-get", "publickey-credentials-create"].filter(
    feature => document.featurePolicy.allowsFeature(feature))"""


@attack(64, "The frame may use passkeys while it shows CentralAuth's origin, and nowhere it goes on to.")
def test_a_frame_that_went_elsewhere(chromium_page: Page, target: Target, hostile: str) -> None:
    frame = _opened(chromium_page, target)
    assert "publickey-credentials-get" in frame.evaluate(ALLOWED)
    frame.goto(f"{hostile}/?html=hostile")
    assert frame.evaluate(ALLOWED) == []
    delegated = chromium_page.locator("iframe").get_attribute("allow") or ""
    assert "*" not in delegated
    assert {part.split()[1] for part in delegated.split("; ")} == {target.emulator.url}


@pytest.fixture
def https_target(make_target: MakeTarget) -> Target:
    """The application at https://app.example, behind a proxy."""
    target = make_target(CENTRALAUTH_CALLBACK_URL=f"{HTTPS}/api/auth/callback")
    target.app.wsgi_app = ProxyFix(target.app.wsgi_app, x_for=1, x_proto=1, x_host=1)  # type: ignore[method-assign]
    return target


@attack(
    65,
    "Only a framed attempt's cookie is SameSite=None, and Partitioned: it is for frames on this site's own "
    "pages. The login's own cookie is Lax, so a callback in a frame first opens the whole window.",
)
def test_what_frames_get(https_target: Target) -> None:
    target = https_target
    browser = target.person(routes={HTTPS: target.url})
    started = browser.get(f"{HTTPS}/api/auth/login?embed=1", headers=FRAME, follow=False)
    (attempt,) = started.headers.getlist("Set-Cookie")
    assert attempt.startswith("__Host-centralauth_")
    assert {"SameSite=None", "Secure", "HttpOnly", "Partitioned", "Path=/"} <= set(attempt.split("; "))
    url = target.emulator.authorize(str(started.last.location), user=ALICE, referer=HTTPS)
    target.emulator.requests.clear()
    framed = browser.get(url, headers={**FRAME, "Sec-Fetch-Site": "cross-site"}, follow=False)
    assert (framed.status, framed.last.location) == (200, None)
    assert "Set-Cookie" not in framed.headers
    assert target.calls() == []
    done = browser.get(url, follow=False)
    kept = [one for one in done.headers.getlist("Set-Cookie") if "Max-Age=0" not in one]
    assert len(kept) >= 1
    assert all("SameSite=Lax" in one and "Partitioned" not in one for one in kept)


@attack(65)
@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", ""])
@pytest.mark.parametrize("kind", ["iframe", "frame", "embed", "object", "fencedframe"])
def test_frames_of_other_sites_start_nothing(https_target: Target, site: str, kind: str) -> None:
    headers = {**FRAME, "Sec-Fetch-Dest": kind, "Sec-Fetch-Site": site}
    answer = https_target.get("/api/auth/login?embed=1", headers)
    assert answer.status == 401
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["X-Frame-Options"] == "DENY"


@attack(65)
def test_a_framed_attempt_is_worth_nothing_elsewhere(https_target: Target) -> None:
    """An attacker's attempt, planted where a partitioned cookie is not kept apart."""
    target = https_target
    attacker, victim = (target.person(who, routes={HTTPS: target.url}) for who in (BOB, ALICE))
    started = attacker.get(f"{HTTPS}/api/auth/login?embed=1", headers=FRAME, follow=False)
    url = target.emulator.authorize(str(started.last.location), user=BOB, referer=HTTPS)
    (attempt,) = (one for one in attacker.cookies if one.name.startswith("__Host-centralauth_"))
    target.emulator.requests.clear()
    planted = {"Cookie": f"{attempt.name.removeprefix('__Host-')}={attempt.value}"}
    for headers in ({}, planted, {**FRAME, **planted, "Sec-Fetch-Site": "cross-site"}):
        page = victim.get(url, headers=headers, follow=False)
        if "Sec-Fetch-Dest" not in headers:
            assert_refused(page)
        assert page.last.location is None
        assert "Set-Cookie" not in page.headers
    assert target.calls() == []


@attack(57)
@pytest.mark.parametrize("path", ["login?embed=1", "callback?code=a&state=b", "logout", "affirm"])
def test_framed_by_another_site(chromium_page: Page, target: Target, hostile: str, path: str) -> None:
    framed = quote(f'<iframe src="{target.url}/api/auth/{path}"></iframe>')
    chromium_page.goto(f"{hostile}/?html={framed}")
    chromium_page.frames[1].wait_for_url(lambda url: url.startswith("chrome-error:"))
    assert chromium_page.url.startswith(hostile), "nothing breaks out of another site"
    assert not [
        one for one in chromium_page.context.cookies() if one.get("name", "").startswith("centralauth")
    ]


def test_people_sign_in_in_frames(target: Target) -> None:
    """What the attacks above must leave possible."""
    browser = Browser(target.emulator)
    started = browser.get(target.auth("login", "embed=1&return_to=/private"), headers=FRAME, follow=False)
    url = target.emulator.authorize(str(started.last.location), user=ALICE, referer=target.url)
    assert browser.get(url).text == ALICE
