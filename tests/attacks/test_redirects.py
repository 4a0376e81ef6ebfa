"""Attacks 35 to 45: where our answers send a browser. Judged by the URL Standard, not by Python."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import pytest
from flask import Flask, Response, request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_centralauth import CentralAuth, ConfigurationError, auth_required
from flask_centralauth.redirects import safe_return_to

from ..raw_http import PAGE_VISIT, ask
from ..test_redirects import ALLOWLIST_BYPASSES, HOSTILE
from .conftest import MakeTarget
from .mail import add_mail_form
from .marks import attack
from .target import ALICE, EVIL, Target, assert_refused, assert_stays, origin, query_of

OTHER: Final = "https://other-allowed.example"


def _encoded(value: str) -> str:
    return urlencode({"return_to": value.encode("utf-8", "surrogatepass")})


@pytest.fixture
def listing(make_target: MakeTarget) -> Target:
    return make_target(CENTRALAUTH_RETURN_HOSTS=("other-allowed.example",))


@attack(35, "A return path is a plain path of this site or an exact listed origin; else the default page.")
def test_open_redirect_at_login(listing: Target) -> None:
    for value in HOSTILE:
        page = listing.browser.get(listing.auth("login", _encoded(value)))
        for hop in page.hops:
            assert_stays(listing, hop)
        assert (page.url, page.status) == (f"{listing.url}/", 200), ascii(value)
        assert "evil" not in page.text
    assert listing.who() == ALICE


@attack(36, "The return path is in the signed attempt; the callback's query is never read for one.")
@pytest.mark.parametrize("name", ["return_to", "next", "redirect", "returnTo"])
def test_open_redirect_at_the_callback(target: Target, name: str) -> None:
    page = target.browser.get(f"{target.start()}&{name}={quote(EVIL, safe='')}", follow=False)
    assert (page.status, page.headers["Location"]) == (303, "/private")


@attack(37, "The same check at logout, whose GET never redirects.")
def test_open_redirect_at_logout(listing: Target) -> None:
    for value in (*HOSTILE, *ALLOWLIST_BYPASSES):
        asked = listing.get(f"/api/auth/logout?{_encoded(value)}")
        assert asked.status == 200
        assert "Location" not in asked.headers
        assert "evil" not in asked.text
        for address, body in (
            (listing.auth("logout"), _encoded(value)),
            (listing.auth("logout", _encoded(value)), ""),
        ):
            form = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(body))}
            headers = form if not body else {"Content-Type": form["Content-Type"]}
            answer = ask(address, method="POST", headers=headers, body=body.encode())
            assert (answer.status, answer.headers["Location"]) == (303, "/"), ascii(value)


@attack(38, "Referer is no return path; only a refused form goes back to its own page of this site.")
def test_referer_as_return_path(target: Target) -> None:
    evil = {"Referer": f"{EVIL}/", "Sec-Fetch-Site": "cross-site"}
    assert target.browser.get(target.auth("login"), headers=evil).url == f"{target.url}/"
    posted = ask(f"{target.url}/save", method="POST", headers={**PAGE_VISIT, **evil, "Content-Length": "0"})
    assert posted.status == 303
    assert "evil" not in str(posted.headers)


REWRITTEN: Final = (
    "/\t/evil.example",
    "/%09/evil.example",
    "////evil.example",
    "http:evil.example",
    "/\\evil.example",
)


@attack(39, "What was checked is what is sent: no library rewrites our Location.")
@pytest.mark.parametrize("value", REWRITTEN)
def test_changed_after_validation(target: Target, value: str) -> None:
    for query in (_encoded(value), f"return_to={value}"):
        hop = target.get(f"/api/auth/login?{quote(query, safe='=&%/:')}")
        assert hop.status == 302
        assert target.browser.get(hop.url).url == f"{target.url}/"


@attack(39)
@pytest.mark.parametrize("value", ["/a%20b?x=%C3%A9#f", "/a;b=c/d,e?f=(g)", "/~x/!$&'*+"[:6]])
def test_a_good_path_is_sent_byte_for_byte(target: Target, value: str) -> None:
    page = target.browser.get(target.auth("login", _encoded(value)))
    assert page.hops[-2].headers["Location"] == value


@attack(40, "Listed hosts are compared as whole origins; wildcards are no setting.")
def test_allowlist_bypass(listing: Target) -> None:
    for value in ALLOWLIST_BYPASSES:
        assert listing.browser.get(listing.auth("login", _encoded(value))).url == f"{listing.url}/", value


@attack(40)
@pytest.mark.parametrize(
    "host", ["*.example", "*", "a.example/x", "user@a.example", "a b", "https://a.example?x"]
)
def test_no_wildcards_in_the_list(make_target: MakeTarget, host: str) -> None:
    with pytest.raises(ConfigurationError, match="CENTRALAUTH_RETURN_HOSTS"):
        make_target(CENTRALAUTH_RETURN_HOSTS=(host,))


OWN: Final = (
    "/api/auth/logout",
    "/api/auth/login",
    "/API/AUTH/LOGOUT",
    "/api/auth/../auth/logout",
    "/api/auth/%6cogout",
    "/api/auth/%256cogout",
    "/api/auth/logout/",
    "/api/auth/logout?x",
    "/api/auth/logout;x",
    "/api/./auth/callback",
)


@attack(41, "Our own routes are no return path, however they are spelled.")
@pytest.mark.parametrize("value", OWN)
def test_return_path_into_the_auth_routes(target: Target, value: str) -> None:
    page = target.browser.get(target.auth("login", _encoded(value)))
    assert page.url in (f"{target.url}/", f"{target.url}/api/auth/logout;x")
    assert target.who() == ALICE


@attack(42, "The return path is in the attempt's cookie and never sent to CentralAuth.")
@pytest.mark.parametrize(
    "value", ["/x%26client_id%3Devil%26redirect_uri%3Dhttps://evil.example", "/x%23", "/x?a=1&state=s#f"]
)
def test_return_path_as_carrier(target: Target, value: str) -> None:
    location = target.get(f"/api/auth/login?{_encoded(value)}").headers["Location"]
    assert set(query_of(location)) == {
        "client_id", "response_type", "redirect_uri", "state", "code_challenge", "code_challenge_method",
    }  # fmt: skip
    assert "evil" not in location
    assert "%23" not in location
    page = target.browser.get(f"{target.url}/private?a=1&client_id=evil&b=%23x%3Fy%26z")
    assert page.path == "/private?a=1&client_id=evil&b=%23x%3Fy%26z"
    assert target.emulator.requests.of("login")[-1].query.getlist("client_id") == [target.emulator.client_id]


MALFORMED: Final = (
    "https://[",
    "http://[::1",
    "%",
    "/%",
    "/\ud800",
    "https://evil.example\u2100.app.example",
    "//",
    "\0",
)


@attack(43, "A value is matched against a small alphabet before anything parses it.")
@pytest.mark.parametrize("value", MALFORMED, ids=ascii)
def test_malformed_url_crash(target: Target, value: str) -> None:
    assert target.browser.get(target.auth("login", _encoded(value))).url == f"{target.url}/"


@attack(44, "The second failed login in a row is a page with a link, and so is a login that is over at once.")
def test_error_loop(target: Target) -> None:
    visits = 0
    page = target.browser.get(f"{target.url}/private", follow=False)
    while (location := page.last.location) is not None:
        visits += 1
        assert visits < 20, "goes round for ever"
        if location.startswith(target.emulator.url):
            state, back = query_of(location)["state"][0], query_of(location)["redirect_uri"][0]
            location = (
                f"{back}?{urlencode({'error': 'genericError', 'error_description': 'no', 'state': state})}"
            )
        page = target.browser.get(location, follow=False)
    assert page.status == 400
    assert 'href="/api/auth/login' in page.text
    assert "http-equiv" not in page.text


@attack(44)
def test_not_permitted_is_no_reason_to_log_in(target: Target) -> None:
    target.emulator.add_user(email=ALICE, blocked=True)
    page = target.browser.get(f"{target.url}/private")
    assert page.status == 403
    assert "Location" not in page.headers


@pytest.fixture
def vault(target: Target) -> Target:
    """With pages that want an affirmation of the last seconds."""
    for seconds in (0, 30):

        def view(seconds: int = seconds) -> str:
            return f"affirmed within {seconds} seconds"

        guarded = auth_required(affirmed_within=seconds)(view)
        target.app.add_url_rule(f"/vault/{seconds}", f"vault{seconds}", guarded)
    return target


@attack(44)
@pytest.mark.parametrize("seconds", [-45, 45])
def test_a_clock_that_differs_by_less_than_a_minute(vault: Target, seconds: float) -> None:
    vault.emulator.clock.advance(seconds)
    vault.log_in()
    assert vault.browser.get(f"{vault.url}/vault/30").text == "affirmed within 30 seconds"


@attack(44)
@pytest.mark.parametrize("script", [False, True], ids=["page", "htmx"])
def test_an_affirmation_that_is_never_young_enough(vault: Target, script: bool) -> None:
    vault.log_in()
    asked = vault.browser.get(f"{vault.url}/api/auth/affirm?return_to=/private")
    assert asked.path == "/private"
    if script:
        answer = vault.browser.fetch(f"{vault.url}/vault/0", headers={"HX-Request": "true"})
        assert (answer.status, answer.headers.get("HX-Redirect")) == (401, None)
        return
    page = vault.browser.get(f"{vault.url}/vault/0")
    assert (page.status, page.path, len(page.hops)) == (401, "/vault/0", 1)
    assert "Please confirm that it is you." in page.text
    assert 'href="/api/auth/affirm?return_to=/vault/0"' in page.text


@attack(44)
def test_a_part_of_a_page_that_ends_each_login(make_target: MakeTarget) -> None:
    """It loads by itself, so HTMX would follow its redirect for ever."""
    target = make_target(CENTRALAUTH_USER_TTL=0)
    target.log_in()
    target.emulator.fail("userinfo", error_code="sessionInvalid")
    answer = target.browser.fetch(f"{target.url}/api/data", headers={"HX-Request": "true"})
    assert (answer.status, answer.headers.get("HX-Redirect")) == (401, None)


SCRIPTS: Final = (
    {"Accept": "application/json"},
    {"X-Requested-With": "XMLHttpRequest", "Accept": "text/html"},
    {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Accept": "text/html"},
    {"Accept": "*/*"},
    {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", "Accept": "text/html"},
)


@attack(
    45,
    "What is no page visit gets 401 as JSON, starts nothing and sets nothing.",
    decided="WWW-Authenticate only for a client that sent a bearer token",
)
@pytest.mark.parametrize("headers", SCRIPTS, ids=range(len(SCRIPTS)))
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_scripts_get_no_redirect(target: Target, headers: dict[str, str], method: str) -> None:
    path = "/api/data" if method == "GET" else "/save"
    answer = ask(f"{target.url}{path}", method=method, headers={**headers, "Content-Length": "0"})
    if method == "PUT":
        assert answer.status == 405
        return
    assert (answer.status, answer.json()["errorCode"]) == (401, "tokenMissing")
    assert "Location" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert "save" not in answer.text


@attack(45)
def test_a_post_never_becomes_a_return_path(target: Target) -> None:
    answer = ask(f"{target.url}/save?x=1", method="POST", headers={**PAGE_VISIT, "Content-Length": "0"})
    assert answer.status == 303
    assert "save" not in str(answer.location)


# Any value at all.

_PIECES: Final = st.text(alphabet="/\\.:@%?#;[]&=evil025cfEVIL \t\r\n\x00\u2100\uff0f", max_size=24)
VALUES: Final = st.one_of(
    st.text(max_size=80),
    _PIECES,
    st.builds(lambda head, tail: head + tail, st.sampled_from((*HOSTILE, *ALLOWLIST_BYPASSES)), _PIECES),
    st.builds(lambda tail: "/" + tail, _PIECES),
)


@settings(max_examples=500, deadline=None)
@given(VALUES)
def test_any_value_is_refused_or_stays(value: str) -> None:
    own = "https://app.example"
    result = safe_return_to(
        value, own_origins=(own,), own_routes=("/api/auth/login",), return_origins=(OTHER,)
    )
    if result is not None:
        assert origin(f"{own}/page", result) in {own, OTHER}
        assert not result.startswith(("//", "/\\"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES)
def test_any_value_at_every_sink(listing: Target, value: str) -> None:
    client = listing.app.test_client(use_cookies=False)
    query = _encoded(value)
    for answer in (
        client.get(f"/api/auth/login?{query}"),
        client.get(f"/api/auth/logout?{query}"),
        client.post(f"/api/auth/logout?{query}"),
        client.get(f"/api/auth/affirm?{query}", headers=PAGE_VISIT),
        client.get(f"/api/auth/callback?{query}"),
        client.get(f"/private?{query}", headers=PAGE_VISIT),
    ):
        assert answer.status_code < 500
        location = answer.headers.get("Location")
        if location is not None:
            assert origin("http://localhost/", location) in {"http://localhost", listing.emulator.url, OTHER}
            for inner in query_of(location).get("return_to", []):
                assert origin("http://localhost/", inner) in {"http://localhost", OTHER}


#: Every one as a header can carry it, if at all.
_IN_HEADERS: Final = [value for value in HOSTILE if value.isascii() and value.isprintable()]


def _add_own_pages(app: Flask) -> None:
    """What an application hands a `return_to` of its query on to."""
    centralauth = CentralAuth()
    add_mail_form(app)

    @app.get("/go")
    def go() -> Response:
        return centralauth.login_redirect(return_to=request.args.get("return_to"))

    @app.get("/framed")
    def framed() -> str:
        return str(centralauth.embed(return_to=request.args.get("return_to")))


@attack(35)
def test_open_redirect_through_views_of_the_applications_own(listing: Target) -> None:
    _add_own_pages(listing.app)
    for value in (*HOSTILE, *ALLOWLIST_BYPASSES):
        framed = listing.get(f"/framed?{_encoded(value)}").text
        assert 'src="/api/auth/login?embed=1"' in framed, ascii(value)
        assert "evil" not in framed
        page = listing.browser.get(f"{listing.url}/go?{_encoded(value)}")
        assert page.url == f"{listing.url}/", ascii(value)
    page = listing.browser.get(f"{listing.url}/go?return_to=/private")
    assert page.path == "/private", "a good one counts"


@attack(35)
def test_open_redirect_through_a_mailed_link(listing: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask_centralauth.mail_logins.MAILS_PER_CLIENT", 999)
    monkeypatch.setattr("flask_centralauth.mail_logins.MAILS_PER_ADDRESS", 999)
    listing.emulator.configure(mail_wait=0)
    _add_own_pages(listing.app)
    for value in (*HOSTILE[::4], *ALLOWLIST_BYPASSES):
        form = f"{listing.url}/sign-in?{_encoded(value)}"
        listing.browser.get(form)
        listing.browser.submit(form, {"email": ALICE}, follow=False)
        link = listing.emulator.mailbox.latest(ALICE).link
        page = listing.browser.get(link)
        assert page.url == f"{listing.url}/", ascii(value)


#: What ProxyFix(x_prefix=1) makes the beginning of every address of ours, when the proxy lets it through.
FOREIGN_PREFIXES: Final = (
    "//evil.example",
    "///evil.example/",
    "https://evil.example",
    "javascript:alert(1)",
    "\\\\evil.example",
    "/\\evil.example",
    "/\t/evil.example",
    ".evil.example",
    "@evil.example",
)


@attack(35)
@pytest.mark.parametrize("prefix", FOREIGN_PREFIXES, ids=ascii)
def test_open_redirect_through_a_prefix_that_the_proxy_lets_through(
    make_target: MakeTarget, prefix: str
) -> None:
    """No page can make Alice's browser send the header. But a mail comes to her whoever asks for it."""
    target = make_target(CENTRALAUTH_CALLBACK_URL="https://app.example/api/auth/callback")
    target.app.wsgi_app = ProxyFix(target.app.wsgi_app, x_proto=1, x_host=1, x_prefix=1)  # type: ignore[method-assign]
    add_mail_form(target.app)
    browser = target.person(user="mallory@example.com", routes={"https://app.example": target.url})
    for path in ("/", "/private", "/api/auth/login", "/api/auth/logout", "/api/auth/callback?state=x"):
        page = browser.get(f"https://app.example{path}", headers={"X-Forwarded-Prefix": prefix}, follow=False)
        assert_refused(page)
        assert page.status == 400
        assert "evil" not in page.text
    browser.get("https://app.example/sign-in")
    asked = browser.submit("/sign-in", {"email": ALICE}, headers={"X-Forwarded-Prefix": prefix}, follow=False)
    assert asked.status == 400
    assert not list(target.emulator.mailbox)


@attack(38)
def test_where_scripts_and_forms_are_sent(listing: Target) -> None:
    client = listing.app.test_client(use_cookies=False)
    for value in (*_IN_HEADERS, *ALLOWLIST_BYPASSES, f"{OTHER}/page"):
        htmx = client.get("/private", headers={"HX-Request": "true", "HX-Current-URL": value})
        form = client.post("/save", headers={**PAGE_VISIT, "Referer": value})
        assert (htmx.status_code, form.status_code) == (401, 303), ascii(value)
        for address in (htmx.headers["HX-Redirect"], (htmx.json or {})["loginUrl"], form.headers["Location"]):
            assert urlsplit(address)._replace(query="").geturl() == "/api/auth/login", ascii(value)
            for inner in query_of(address).get("return_to", []):
                assert origin("http://localhost/", inner) == "http://localhost", ascii(value)
                assert "evil" not in inner


@attack(37)
def test_open_redirect_at_use_another_account(listing: Target) -> None:
    client = listing.app.test_client(use_cookies=False)
    for value in (*HOSTILE, *ALLOWLIST_BYPASSES):
        sent = {"sign_in_again": "1", "return_to": value.encode("utf-8", "surrogatepass")}
        answer = client.post("/api/auth/logout", data=sent)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/api/auth/login"), ascii(value)


@attack(35)
def test_open_redirect_at_a_sign_in_page_of_ones_own(make_target: MakeTarget) -> None:
    """It is told where to go on to, and may believe it."""
    target = make_target(CENTRALAUTH_LOGIN_VIEW="sign_in")
    target.app.add_url_rule("/sign-in", "sign_in", lambda: str(request.args.get("return_to")))
    client = target.app.test_client(use_cookies=False)
    for value in (*HOSTILE, *ALLOWLIST_BYPASSES):
        for path in ("affirm", "logout"):
            method = client.post if path == "logout" else client.get
            again = {"sign_in_again": "1"} if path == "logout" else None
            answer = method(f"/api/auth/{path}?{_encoded(value)}", headers=PAGE_VISIT, data=again)
            assert answer.headers["Location"] == "/sign-in", ascii(value)


@pytest.mark.parametrize(
    "value",
    # A word is an endpoint's name, which the first request looks up; our own routes are no other site.
    [value for value in HOSTILE if not value.isidentifier() and not value.startswith("/api/auth/")],
    ids=ascii,
)
def test_a_hostile_setting_is_refused(make_target: MakeTarget, value: str) -> None:
    for name in ("CENTRALAUTH_AFTER_LOGIN", "CENTRALAUTH_AFTER_LOGOUT"):
        with pytest.raises(ConfigurationError, match=name):
            make_target(**dict[str, Any]({name: value}))


def test_hostile_addresses_at_the_guard(make_target: MakeTarget) -> None:
    target = make_target()

    @target.app.get("/<path:rest>")
    @auth_required
    def page(rest: str) -> str:
        return request.path

    client = target.app.test_client(use_cookies=False)
    for value in HOSTILE:
        address = quote(value.encode("utf-8", "surrogatepass"), safe="/%?:@;[]&=\\")
        if address.startswith("/api/auth/"):
            continue
        answer = client.get(f"/{address.lstrip('/')}", headers=PAGE_VISIT)
        assert answer.status_code in (200, 302, 308, 400, 404), ascii(value)
        location = answer.headers.get("Location", "/")
        assert urlsplit(location).netloc in ("", "localhost"), ascii(value)
        for inner in query_of(location).get("return_to", []):
            assert origin("http://localhost/", inner) == "http://localhost"
