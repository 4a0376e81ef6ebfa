"""Return paths: nothing leads off the site, and what is harmless comes back byte for byte."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_centralauth.redirects import MAX_LENGTH, origin_of, request_target, safe_return_to

from .browser_client import Browser
from .conftest import LiveServer, MakeApp, RunServer
from .raw_http import PAGE_VISIT, ask
from .web_origin import origin_of as browser_origin_of
from .web_origin import resolve

OWN: Final = "https://app.example"
OTHER: Final = "https://other-allowed.example"
OWN_ROUTES: Final = tuple(f"/api/auth/{route}" for route in ("login", "callback", "user", "logout", "affirm"))


def _decoded(line: str) -> str:
    return re.sub(
        r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})", lambda match: chr(int(match[1] or match[2], 16)), line
    )


LINES: Final = (Path(__file__).parent / "data" / "open_redirects.txt").read_text("utf-8").splitlines()
HOSTILE: Final = tuple(_decoded(line) for line in LINES if not line.startswith("#ok "))
HARMLESS: Final = tuple(_decoded(line.removeprefix("#ok ")) for line in LINES if line.startswith("#ok "))

ALLOWLIST_BYPASSES: Final = (
    "https://other-allowed.example.evil.example/",
    "https://other-allowed.example@evil.example/",
    "https://evil.example\\.other-allowed.example/",
    "http://other-allowed.example/",
    "https://other-allowed.example:8443/",
    "https://other-allowed.example//evil.example",
    "https://sub.other-allowed.example/",
    "//other-allowed.example/",
)


def _checked(value: object) -> str | None:
    return safe_return_to(value, own_origins=(OWN,), own_routes=OWN_ROUTES, return_origins=(OTHER,))


def test_the_file_was_read() -> None:
    assert len(HOSTILE) >= 110
    assert len(HARMLESS) == 16
    assert "//evil.example" in HOSTILE
    assert "/\t/evil.example" in HOSTILE
    assert "/profile" in HARMLESS


@pytest.mark.parametrize("value", [*HOSTILE, *ALLOWLIST_BYPASSES], ids=ascii)
def test_hostile_values_are_refused(value: str) -> None:
    assert _checked(value) is None


@pytest.mark.parametrize("value", HARMLESS, ids=ascii)
def test_harmless_values_stay_as_they_are(value: str) -> None:
    own_part = re.sub(r"^https://app\.example(:443)?", "", value) or "/"
    assert _checked(value) == own_part


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (f"{OTHER}/a?b=c#d", f"{OTHER}/a?b=c#d"),
        ("HTTPS://OTHER-allowed.example:443/A", f"{OTHER}/A"),
        (OTHER, f"{OTHER}/"),
        # Its own login routes may be anywhere: ours are none of another host's business.
        (f"{OTHER}/api/auth/login", f"{OTHER}/api/auth/login"),
    ],
)
def test_a_listed_host_is_allowed_by_its_exact_origin(value: str, result: str) -> None:
    assert _checked(value) == result


@pytest.mark.parametrize("value", [None, 7, b"/profile", ["/profile"], ""])
def test_what_is_no_text_is_refused(value: object) -> None:
    assert _checked(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "/a%2Fb",
        "/a%2fb",
        "/a%5cb",
        "/a%09b",
        "/a%7fb",
        "/a%c3",
        "/..;/admin",
        "/.;x/admin",
        "/a/..",
        "/a%252fb",
    ],
)
def test_paths_that_a_server_behind_us_may_read_otherwise(value: str) -> None:
    assert _checked(value) is None


def test_the_length_is_bounded() -> None:
    longest = "/" + "a" * (MAX_LENGTH - 1)
    assert _checked(longest) == longest
    assert _checked(longest + "a") is None


@pytest.mark.parametrize(
    "value",
    ["/API/auth/logout", "/api/auth/%6cogout", "/api/auth/%256cogout", "/api/auth/user/x.css"],
)
def test_the_login_routes_are_refused_however_they_are_spelled(value: str) -> None:
    assert _checked(value) is None


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.text(alphabet="/\\.:@%?#;evil025cf \t\r\n", max_size=24),
        st.sampled_from(HOSTILE).flatmap(
            lambda hostile: st.text(max_size=3).map(lambda tail: hostile + tail)
        ),
    )
)
def test_whatever_the_value_a_browser_stays_on_the_site(value: str) -> None:
    result = _checked(value)
    if result is not None:
        assert browser_origin_of(resolve(f"{OWN}/page", result)) in {OWN, OTHER}
        assert result.isascii()
        assert result.isprintable()
        assert " " not in result


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://APP.example:443/x", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://127.0.0.1:5000/x", "http://127.0.0.1:5000"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("https://app.example@evil.example/", None),
        ("https://app.example?x", None),
        ("ftp://app.example/", None),
        ("null", None),
        ("", None),
    ],
)
def test_origins_are_normalized(url: str, origin: str | None) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    ("root", "path", "query", "target"),
    [
        ("", "/a", b"", "/a"),
        ("", "/a/b", b"x=1&y=%C3%A9&z=a%2Fb", "/a/b?x=1&y=%C3%A9&z=a%2Fb"),
        ("/sub", "/a", b"x", "/sub/a?x"),
        ("", "/caf\xe9", b"", "/caf%C3%A9"),
        ("", "/a", b"q='\"<>|\\", "/a?q=%27%22%3C%3E%7C%5C"),
        ("", "/a", b"100%&x=%zz&y=\xff", "/a?100%25&x=%25zz&y=%FF"),
    ],
)
def test_the_address_of_a_request(root: str, path: str, query: bytes, target: str) -> None:
    assert request_target(root, path, query) == target
    assert _checked(target) == target


@given(st.binary(max_size=40))
def test_any_query_can_be_returned_to(query: bytes) -> None:
    target = request_target("", "/page", query)
    assert _checked(target) == target


# The sinks: what ends in a Location header, over HTTP.


@pytest.fixture
def server(make_app: MakeApp, live_server: RunServer) -> LiveServer:
    app = make_app(CENTRALAUTH_RETURN_HOSTS=("other-allowed.example",))

    @app.get("/<path:rest>")
    def page(rest: str) -> str:
        return rest

    return live_server(app)


def _query(value: str) -> str:
    return urlencode({"return_to": value.encode("utf-8", "surrogatepass")})


def _stays(server: LiveServer, location: str | None) -> bool:
    assert location is not None
    assert re.fullmatch(r"[\x21-\x7e]+", location)
    return browser_origin_of(resolve(server.url, location)) == server.url


def test_hostile_return_paths_at_login(server: LiveServer, browser: Browser) -> None:
    for value in (*HOSTILE, *ALLOWLIST_BYPASSES):
        page = browser.get(f"{server.url}/api/auth/login?{_query(value)}")
        assert page.url == f"{server.url}/", ascii(value)
        assert page.text == "public"
        assert browser.fetch("/api/data").status == 200, "the login itself worked"


def test_harmless_return_paths_at_login(server: LiveServer, browser: Browser) -> None:
    for value in HARMLESS:
        if value.startswith("/"):
            page = browser.get(f"{server.url}/api/auth/login?{_query(value)}")
            assert page.url == server.url + value
            # Ours, not rewritten by anything on the way.
            assert page.hops[-2].headers["Location"] == value


def test_a_return_path_in_the_callback_url_is_ignored(server: LiveServer, browser: Browser) -> None:
    login = browser.get(f"{server.url}/api/auth/login?return_to=/private", follow=False)
    assert browser.emulator is not None
    callback = browser.emulator.authorize(
        login.last.location or "", ip=browser.ip, user_agent=browser.user_agent
    )
    page = browser.get(f"{callback}&return_to=https://evil.example/&next=//evil.example", follow=False)
    assert (page.status, page.headers["Location"]) == (303, "/private")


def test_the_referer_is_no_return_path(server: LiveServer, browser: Browser) -> None:
    page = browser.get(f"{server.url}/api/auth/login", headers={"Referer": "https://evil.example/"})
    assert page.url == f"{server.url}/"
    page = browser.get(f"{server.url}/api/auth/login", headers={"Referer": f"{server.url}/private"})
    assert page.url == f"{server.url}/"


def test_hostile_return_paths_at_logout(server: LiveServer, browser: Browser) -> None:
    browser.get(f"{server.url}/private")
    for value in (*HOSTILE, *ALLOWLIST_BYPASSES):
        asked = browser.get(f"{server.url}/api/auth/logout?{_query(value)}")
        assert asked.status == 200
        assert asked.forms[0].fields == {}, "the hostile value is not even on the page"
        answer = ask(
            f"{server.url}/api/auth/logout",
            method="POST",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=_query(value).encode(),
        )
        assert (answer.status, answer.headers["Location"]) == (303, "/"), ascii(value)
    assert browser.fetch("/api/data").status == 200, "a page that asks signs nobody out"


def test_a_listed_host_at_logout(server: LiveServer, browser: Browser) -> None:
    page = browser.get(f"{server.url}/private")
    page = browser.get(f"{server.url}/api/auth/logout?return_to=https://other-allowed.example/bye")
    assert "form-action 'self' https://other-allowed.example " in page.headers["Content-Security-Policy"]
    page = browser.submit(page.forms[0], follow=False)
    assert (page.status, page.headers["Location"]) == (303, "https://other-allowed.example/bye")


def test_hostile_addresses_at_the_guard(make_app: MakeApp, live_server: RunServer, browser: Browser) -> None:
    from flask_centralauth import auth_required

    app = make_app()

    @app.get("/<path:rest>")
    @auth_required
    def page(rest: str) -> str:
        return rest

    server = live_server(app)
    for value in HOSTILE:
        path = value if value.startswith("/") else f"/{value}"
        if path.startswith("/api/auth/"):
            continue
        answer = ask(server.url + quote(path.encode("utf-8"), safe="/%?:@;[]&=\\"), headers=PAGE_VISIT)
        assert answer.status in (200, 302, 308, 400, 404), ascii(value)
        if answer.status == 302:
            assert _stays(server, answer.location), ascii(value)
            return_to = parse_qs(urlsplit(answer.location or "").query).get("return_to", ["/"])[0]
            assert _stays(server, return_to), ascii(value)


@pytest.mark.parametrize(
    "address",
    [
        "/a/b?x=1&y=%C3%A9&z=a%2Fb",
        "/a",
        "/a/?b",
        "/search?q=//evil.example&q=2",
        "/x?return_to=%2Fy&code=1&state=2",
    ],
)
def test_the_guard_returns_to_the_exact_address(
    make_app: MakeApp, live_server: RunServer, browser: Browser, address: str
) -> None:
    from flask_centralauth import auth_required

    app = make_app()

    @app.get("/<path:rest>")
    @auth_required
    def page(rest: str) -> str:
        return "here"

    server = live_server(app)
    visited = browser.get(server.url + address)
    assert (visited.url, visited.text) == (server.url + address, "here")
    sent = dict(pair.split("=", 1) for pair in urlsplit(visited.hops[2].url).query.split("&"))
    assert set(sent) == {
        "client_id", "response_type", "redirect_uri", "state", "code_challenge", "code_challenge_method",
    }, "nothing of the address reaches CentralAuth"  # fmt: skip


def test_own_routes_are_no_return_paths(server: LiveServer, browser: Browser) -> None:
    for value in (
        "/api/auth/logout",
        "/api/auth/login?return_to=/api/auth/login",
        "/api/auth/callback?code=1",
    ):
        page = browser.get(f"{server.url}/api/auth/login?{_query(value)}")
        assert page.url == f"{server.url}/"
        assert browser.fetch("/api/data").status == 200


def test_an_address_behind_a_proxy_that_flask_does_not_know(
    make_app: MakeApp, live_server: RunServer, browser: Browser
) -> None:
    """People see https, the application http: an absolute return path of either is its own."""
    server = live_server(make_app(CENTRALAUTH_CALLBACK_URL="https://app.example/api/auth/callback"))
    browser.routes["https://app.example"] = server.url
    page = browser.get("https://app.example/api/auth/login?return_to=https://app.example/private")
    assert page.url == "https://app.example/private"
    assert page.hops[-2].headers["Location"] == "/private"
