"""Attacks 57 to 62 and 66 to 68: frames, referrers, methods, other origins, the back button."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import pytest
from flask import Flask, Response, jsonify

from example_app import create_app
from flask_centralauth import auth_required, current_user
from flask_centralauth.emulator import Emulator
from flask_centralauth.guards import protect

from ..browser_client import Browser
from ..browser_page import Hop
from ..conftest import MakeApp, RunServer
from ..raw_http import PAGE_VISIT, ask
from .conftest import MakeTarget
from .mail import add_mail_form, mail_of
from .marks import attack
from .target import ALICE, BOB, EVIL, Target, assert_refused, query_of

#: The values of the catalogue's fourth section, which every answer of ours has.
EVERYWHERE: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "strict-origin",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


#: Of the page that leads a callback out of a frame: pages of this very origin may frame it.
OWN_FRAME: Final = {**EVERYWHERE, "X-Frame-Options": "SAMEORIGIN"}


def _assert_headers(hop: Hop, *, own_frame: bool = False) -> None:
    for name, value in (OWN_FRAME if own_frame else EVERYWHERE).items():
        assert hop.headers.getlist(name) == [value], (hop.url, hop.status, name)
    assert "Cookie" in hop.headers["Vary"]
    if hop.status != 405 and (hop.body or hop.location):
        ancestors = "'self'" if own_frame else "'none'"
        assert f"frame-ancestors {ancestors}" in hop.headers["Content-Security-Policy"]
    assert not [name for name, _value in hop.headers if name.lower().startswith("access-control-")]


KINDS: Final = {
    "page": PAGE_VISIT,
    "script": {"Accept": "application/json"},
    "prefetch": {**PAGE_VISIT, "Sec-Purpose": "prefetch"},
    "frame": {**PAGE_VISIT, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    "cross-site": {**PAGE_VISIT, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Origin": EVIL},
    "bearer": {"Authorization": "Bearer nonsense"},
    "logged in": PAGE_VISIT,
}


def own_rules(app: Flask) -> list[tuple[str, str]]:
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("centralauth.")]
    return [
        (rule.rule, method) for rule in rules for method in sorted((rule.methods or set()) | {"PUT", "TRACE"})
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_headers_over_the_url_map(target: Target, kind: str) -> None:
    """The matrix of the catalogue: every route of ours, every method, every kind of client."""
    cookie = {}
    if kind == "logged in":
        target.log_in()
        cookie = target.as_sent_by()
    answered = set()
    for rule, method in own_rules(target.app):
        headers = {**KINDS[kind], **cookie, **({"Content-Length": "0"} if method in ("POST", "PUT") else {})}
        hop = ask(target.url + rule, method=method, headers=headers)
        answered.add(hop.status)
        assert hop.status < 500
        breaks_out = kind == "frame" and rule.endswith("/callback") and method == "GET"
        _assert_headers(hop, own_frame=breaks_out)
        if hop.location is not None:
            assert urlsplit(hop.location).netloc in {
                urlsplit(target.url).netloc,
                urlsplit(target.emulator.url).netloc,
            }
    assert len(answered) > 1


def test_headers_of_a_refused_method(target: Target) -> None:
    """A cache may keep a 405; those of ours say that none may, those of other views are theirs."""
    for method in ("POST", "PUT", "TRACE"):
        assert ask(target.auth("login"), method=method).headers["Cache-Control"] == "no-store"
        assert "Cache-Control" not in ask(f"{target.url}/private", method=method).headers


def test_headers_of_the_emulator_and_the_example(emulator: Emulator, live_server: RunServer) -> None:
    config = {"SECRET_KEY": "a secret key of the tests, long enough", **emulator.config}
    example = create_app(config)
    # Both show names of people: what a guest gets of every page, and of what is none.
    for app, url in ((emulator.app, emulator.url), (example, live_server(example).url)):
        # But for the one that goes on as long as somebody listens.
        rules = [
            rule for rule in app.url_map.iter_rules() if not rule.arguments and "events" not in rule.rule
        ]
        asked = [(rule.rule, method) for rule in rules for method in ("GET", "PUT", "OPTIONS")]
        for path, method in [*asked, ("/none", "GET")]:
            hop = ask(url + path, method=method, headers={**PAGE_VISIT, "Content-Length": "0"})
            assert hop.status < 500
            if app is emulator.app:
                assert hop.headers["Cache-Control"] == "no-store", path
                assert hop.headers["X-Content-Type-Options"] == "nosniff", path
                assert "frame-ancestors 'none'" in hop.headers["Content-Security-Policy"], path
                assert hop.headers["Referrer-Policy"] == "strict-origin", path
            elif path.startswith("/api/auth/"):
                _assert_headers(hop)
            elif hop.location is not None and method == "GET":
                assert hop.headers["Cache-Control"] == "no-store", path


@pytest.mark.parametrize("failing", ["verify", "userinfo"])
@pytest.mark.parametrize(
    "code", ["sessionInvalid", "noPermission", "tooManyRequests", "genericError", "entityMissing"]
)
def test_headers_of_every_error(target: Target, failing: str, code: str) -> None:
    url = target.start()
    target.emulator.fail(failing, error_code=code)
    hop = target.browser.get(url, follow=False).last
    _assert_headers(hop)
    assert ("Retry-After" in hop.headers) == (hop.status in (429, 503))


def test_headers_of_a_guards_answers(make_target: MakeTarget) -> None:
    target = make_target(CENTRALAUTH_USER_TTL=0, CENTRALAUTH_STALE_GRACE=0)
    target.log_in()
    target.emulator.fail("userinfo", status=503, times=2)
    hops = [
        ask(f"{target.url}/api/data"),
        ask(f"{target.url}/private", headers=PAGE_VISIT),
        ask(f"{target.url}/api/data", headers={"Authorization": "Bearer x"}),
        target.browser.fetch(f"{target.url}/api/data").last,
        target.browser.get(f"{target.url}/private").last,
    ]
    assert [hop.status for hop in hops] == [401, 302, 401, 503, 503]
    for hop in hops:
        assert hop.headers["Cache-Control"] == "no-store"
        assert {"Cookie", "Authorization"} <= set(hop.headers["Vary"].split(", "))
        assert ("Retry-After" in hop.headers) == (hop.status == 503)
        if hop.status != 302:
            assert hop.headers["X-Frame-Options"] == "DENY"


@attack(
    57,
    "Every page with a button of ours forbids being framed, twice.",
    decided="the pages that lead a callback, or a guest, out of a frame may be framed by this origin; they "
    "have a link and change nothing",
)
def test_clickjacking(target: Target) -> None:
    add_mail_form(target.app)
    question = target.person().get(mail_of(target, target.browser))
    assert question.forms[0].action == target.auth("confirm")
    _assert_headers(question.last)
    target.log_in()
    for route in ("logout", "callback", "affirm", "login"):
        _assert_headers(target.browser.get(target.auth(route), follow=False).last)
    framed = target.get("/api/auth/login?embed=1", KINDS["frame"])
    _assert_headers(framed)
    assert framed.status == 401


@attack(57)
@pytest.mark.parametrize("kind", ["iframe", "frame", "embed", "object", "fencedframe"])
def test_a_question_in_a_frame(target: Target, kind: str) -> None:
    """In a frame there is no button to press, not even on a page of this origin."""
    add_mail_form(target.app)
    link = mail_of(target, target.person(BOB), BOB)
    target.emulator.requests.clear()
    framed = target.browser.get(link, headers={**KINDS["frame"], "Sec-Fetch-Dest": kind}, follow=False)
    _assert_headers(framed.last, own_frame=True)
    assert not framed.forms
    assert "Set-Cookie" not in framed.headers
    assert target.calls() == []


@attack(58, "strict-origin on all our answers, and our pages load nothing from elsewhere.")
def test_referrers(target: Target) -> None:
    target.emulator.configure(check_referrer=True, whitelist=(target.url,))
    target.browser.get(f"{target.url}/")
    assert target.browser.click("/private").text == ALICE, "a check of referrers is passed"
    shown = target.get("/api/auth/callback?code=secret-code&state=secret-state")
    assert shown.headers["Referrer-Policy"] == "strict-origin"
    for text in ("secret-code", "secret-state", "http://", "https://", "src=", "<script", "<iframe"):
        assert text not in shown.text.replace("http://www.w3.org", ""), text


CROSS: Final = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Referer": f"{EVIL}/page"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "{own}"},
    {"Sec-Fetch-Site": "", "Origin": "{own}"},
)


@attack(
    59,
    "GET only asks. POST is refused when Sec-Fetch-Site, Origin or Referer names another site.",
    decided="no CSRF token",
)
@pytest.mark.parametrize("headers", CROSS, ids=range(len(CROSS)))
def test_logout_csrf(target: Target, headers: dict[str, str]) -> None:
    target.log_in()
    cookie = {**target.as_sent_by(), "Content-Length": "0"}
    sent = {name: value.format(own=target.url) for name, value in headers.items()}
    answer = ask(target.auth("logout"), method="POST", headers={**cookie, **sent})
    assert answer.status == 403
    for kind in KINDS.values():
        ask(target.auth("logout"), headers={**kind, **target.as_sent_by()})
    assert target.who() == ALICE


@attack(60, "A prefetch of any route of ours is answered 204 and changes nothing.")
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Purpose": "prefetch;prerender"},
        {"Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
        {"X-Purpose": "preview"},
    ],
    ids=str,
)
def test_prefetch(target: Target, headers: dict[str, str]) -> None:
    url = target.start()
    target.emulator.requests.clear()
    for address in (target.auth("login"), url, target.auth("logout"), target.auth("affirm")):
        hop = target.browser.get(address, headers=headers, follow=False).last
        assert (hop.status, hop.body) == (204, b"")
        assert "Set-Cookie" not in hop.headers
    guarded = target.browser.get(f"{target.url}/private", headers=headers)
    assert (guarded.status, guarded.hops[-1].headers.get("Location")) in (
        (204, None),
        (200, None),
        (302, None),
    )
    assert target.calls() == []
    assert target.browser.get(url).text == ALICE


@attack(61, "Each route has its methods; HEAD has none of the side effects, because it is refused.")
@pytest.mark.parametrize("method", ["HEAD", "PUT", "TRACE", "DELETE", "PATCH", "POST", "OPTIONS", "PROPFIND"])
def test_other_methods(target: Target, method: str) -> None:
    url = target.start()
    target.emulator.requests.clear()
    for address in (url, *map(target.auth, ("login", "affirm", "logout", "confirm"))):
        if method == "POST" and address.endswith(("logout", "confirm")):
            continue
        length = {} if method in ("HEAD", "OPTIONS", "TRACE") else {"Content-Length": "0"}
        answer = ask(address, method=method, headers={**PAGE_VISIT, **length})
        assert answer.status == (200 if method == "OPTIONS" else 405)
        assert "Set-Cookie" not in answer.headers
        assert method == "OPTIONS" or "Allow" in answer.headers
    assert target.calls() == []
    assert target.browser.get(url).text == ALICE


@attack(99)
@pytest.mark.parametrize("protected", [False, True], ids=["auth_required", "protect"])
def test_a_view_that_names_options_among_its_methods(
    make_app: MakeApp, live_server: RunServer, browser: Browser, protected: bool
) -> None:
    """Many do, for CORS; the view is then run for a method that no guard refuses."""
    app = make_app()

    def show() -> Response:
        return jsonify(secret="of the company", seen_by=current_user.email)

    view = show if protected else auth_required(show)
    app.add_url_rule("/shown", "shown", view, methods=["GET", "OPTIONS"])
    if protected:
        protect(app)
    server = live_server(app)
    preflight = {"Origin": EVIL, "Access-Control-Request-Method": "GET"}
    for headers in ({}, PAGE_VISIT, preflight, {"Authorization": "Bearer a"}):
        answer = ask(f"{server.url}/shown", method="OPTIONS", headers=headers)
        assert (answer.status, answer.body) == (200, b"")
        assert "GET" in answer.headers["Allow"]
    browser.get(f"{server.url}/private")
    assert browser.fetch(f"{server.url}/shown", method="OPTIONS").json()["seen_by"] == ALICE


@attack(8)
@pytest.mark.parametrize("route", ["logout", "confirm"])
def test_a_form_of_gigabytes(target: Target, route: str) -> None:
    target.log_in()
    content = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "9999999999"}
    answer = ask(target.auth(route), method="POST", headers={**target.as_sent_by(), **content})
    assert (answer.status, answer.headers["Cache-Control"]) == (413, "no-store")
    assert target.who() == ALICE


@attack(62, "The method is the request's own; no header and no field overrides it.")
@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
def test_method_override(target: Target, name: str) -> None:
    target.log_in()
    cookie = target.as_sent_by()
    for query in ("", "?_method=POST"):
        ask(target.auth("logout") + query, headers={**PAGE_VISIT, **cookie, name: "POST"})
    assert target.who() == ALICE
    answer = ask(f"{target.url}/save", method="POST", headers={name: "OPTIONS", "Content-Length": "0"})
    assert answer.status == 401


@attack(66, "No CORS header of ours, and other origins may not load our answers as resources.")
@pytest.mark.parametrize("origin", [EVIL, "null", "{own}"])
def test_cors(target: Target, origin: str) -> None:
    target.log_in()
    headers = {"Origin": origin.format(own=target.url), **target.as_sent_by()}
    preflight = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    for method, extra in (("GET", {}), ("OPTIONS", preflight)):
        hop = ask(target.auth("user"), method=method, headers={**headers, **extra})
        assert hop.status == 200
        assert not [name for name, _value in hop.headers if name.lower().startswith("access-control-")]
        assert hop.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Origin" not in hop.headers["Vary"]


@attack(67, "The user is JSON and nothing else: no callback, no suffix, no sniffing.")
def test_json_hijacking(target: Target) -> None:
    target.log_in()
    cookie = target.as_sent_by()
    hop = ask(target.auth("user", "callback=x&jsonp=x&cb=x"), headers={**cookie, "Accept": "text/html"})
    assert hop.headers["Content-Type"] == "application/json"
    assert hop.text.startswith("{")
    assert hop.headers["X-Content-Type-Options"] == "nosniff"
    for suffix in (".js", ".json", "/x.js", ";x.js"):
        assert ask(target.auth(f"user{suffix}"), headers=cookie).status == 404
    assert ask(target.auth("user")).text.strip() == "null"


@attack(
    68,
    "Guarded pages and ours are not stored, so the back button asks again.",
    decided="Clear-Site-Data is left to the application",
)
def test_back_after_logout(target: Target) -> None:
    target.log_in()
    for path in ("/private", "/api/data", "/edit", "/api/auth/user", "/api/auth/logout"):
        assert target.browser.get(target.url + path, follow=False).headers["Cache-Control"] == "no-store"
    page = target.browser.get(target.auth("logout"))
    out = target.browser.submit(page.forms[0], follow=False)
    assert out.headers["Cache-Control"] == "no-store"
    assert target.browser.get(f"{target.url}/private", follow=False).status == 302


def test_a_view_may_not_be_made_storable_by_the_application(make_target: MakeTarget) -> None:
    """An after_request of the application must not make our answers fit for a cache."""
    target = make_target()

    @target.app.after_request
    def store(response: Response) -> Response:
        response.headers["Cache-Control"] = "public, max-age=3600"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    for route in ("login", "callback", "user", "logout", "affirm"):
        hop = target.get(f"/api/auth/{route}")
        assert hop.headers["Cache-Control"] == "no-store", route
        assert hop.headers["Referrer-Policy"] == "strict-origin", route


def test_a_code_in_the_address_of_an_error_goes_nowhere(target: Target) -> None:
    answer = target.get("/api/auth/callback?code=abc&state=def")
    assert_refused(answer)
    assert query_of(answer.location) == {}
