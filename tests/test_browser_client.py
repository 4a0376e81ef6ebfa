"""The scripted browser does what browsers do; tests that rely on it are worth as much as this."""

from __future__ import annotations

import threading

import pytest
from flask import Flask, Response, jsonify, redirect, request
from werkzeug.middleware.proxy_fix import ProxyFix

from .browser_client import Browser, TooManyRedirects
from .conftest import LiveServer, RunServer
from .cookie_jar import CookieJar
from .web_origin import resolve


@pytest.fixture
def site(live_server: RunServer) -> LiveServer:
    """Pages that tell what they were sent."""
    app = Flask("site")
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)  # type: ignore[method-assign]

    @app.route("/echo", methods=["GET", "POST"])
    def echo() -> Response:
        return jsonify(
            method=request.method,
            url=request.url,
            ip=request.remote_addr,
            headers={name.lower(): value for name, value in request.headers},
            form=request.form,
        )

    @app.route("/go", methods=["GET", "POST"])
    def go() -> Response:
        response = redirect(request.args["to"], int(request.args.get("status", "302")))
        assert isinstance(response, Response)
        response.set_cookie("hop", "1")
        return response

    @app.get("/loop")
    def loop() -> Response:
        response = redirect("/loop")
        assert isinstance(response, Response)
        return response

    @app.get("/form")
    def form() -> str:
        return (
            '<input name="outside"><form method="post" action="echo?x=1">'
            '<input name="token" value="&lt;t&gt;"><input name="email">'
            '<input type="submit" name="button" value="b"></form>'
        )

    return live_server(app)


def test_a_typed_address_is_a_navigation_from_nowhere(site: LiveServer) -> None:
    headers = Browser().get(f"{site.url}/echo").json()["headers"]
    assert headers["sec-fetch-mode"] == "navigate"
    assert headers["sec-fetch-dest"] == "document"
    assert headers["sec-fetch-site"] == "none"
    assert headers["accept"].startswith("text/html")
    assert headers["user-agent"].startswith("Mozilla/5.0")
    assert not {"origin", "referer", "cookie"} & headers.keys()


def test_redirects_are_followed_and_recorded(site: LiveServer) -> None:
    page = Browser().get(f"{site.url}/go?to=/go?to=/echo")
    assert [hop.status for hop in page.hops] == [302, 302, 200]
    assert [hop.location for hop in page.hops] == [f"{site.url}/go?to=/echo", f"{site.url}/echo", None]
    assert page.path == "/echo"
    assert page.json()["headers"]["cookie"] == "hop=1"
    assert Browser().get(f"{site.url}/go?to=/echo", follow=False).status == 302


@pytest.mark.parametrize(("status", "method"), [(302, "GET"), (303, "GET"), (307, "POST")])
def test_a_redirected_post(site: LiveServer, status: int, method: str) -> None:
    browser = Browser()
    browser.get(f"{site.url}/echo")
    page = browser.submit(f"/go?status={status}&to=/echo", {"a": "1"})
    assert page.json()["method"] == method
    assert page.json()["form"] == ({"a": "1"} if method == "POST" else {})


def test_endless_redirects_end(site: LiveServer) -> None:
    with pytest.raises(TooManyRedirects, match=r"/loop -> .*/loop"):
        Browser().get(f"{site.url}/loop")


def test_links_tell_where_they_are(site: LiveServer) -> None:
    browser = Browser()
    browser.get(f"{site.url}/echo?secret=1")
    headers = browser.click("echo").json()["headers"]
    assert headers["sec-fetch-site"] == "same-origin"
    assert headers["referer"] == f"{site.url}/echo?secret=1"

    browser.get(f"{site.url}/echo?secret=1")
    elsewhere = site.url.replace("127.0.0.1", "localhost")
    headers = browser.click(f"{elsewhere}/go?to={site.url}/echo").json()["headers"]
    assert headers["sec-fetch-site"] == "cross-site"


def test_forms(site: LiveServer) -> None:
    browser = Browser()
    (form,) = browser.get(f"{site.url}/form").forms
    assert form.fields == {"token": "<t>", "email": ""}
    sent = browser.submit(form, {"email": "a@example.com"}).json()
    assert sent["url"] == f"{site.url}/echo?x=1"
    assert sent["form"] == {"token": "<t>", "email": "a@example.com"}
    assert sent["headers"]["origin"] == site.url


def test_fetch(site: LiveServer) -> None:
    browser = Browser()
    headers = browser.fetch(f"{site.url}/echo").json()["headers"]
    assert headers["sec-fetch-mode"] == "cors"
    assert headers["sec-fetch-site"] == "same-origin"
    assert headers["accept"] == "application/json"
    assert browser.fetch(f"{site.url}/go?to=/echo").status == 302
    assert browser.fetch(f"{site.url}/echo", method="POST", json={}).json()["headers"]["origin"] == site.url


def test_a_route_is_a_tls_proxy(site: LiveServer) -> None:
    browser = Browser(routes={"https://app.example": site.url}, ip="203.0.113.7")
    answer = browser.get("https://app.example/echo").json()
    assert answer["url"] == "https://app.example/echo"
    assert answer["ip"] == "203.0.113.7"
    with pytest.raises(ValueError, match=r"no route to https://other\.example"):
        browser.get("https://other.example/")


def test_tabs_share_cookies(site: LiveServer) -> None:
    browser = Browser()
    tabs = [browser.tab() for _ in range(3)]
    threads = [threading.Thread(target=tab.get, args=(f"{site.url}/go?to=/echo",)) for tab in tabs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [tab.page.status for tab in tabs if tab.page] == [200, 200, 200]
    assert [cookie.name for cookie in browser.cookies] == ["hop"]
    assert browser.page is None


@pytest.mark.parametrize(
    ("url", "header", "kept"),
    [
        ("http://a.example/", "n=v", True),
        ("http://a.example/", "n=v; Secure", False),
        ("https://a.example/", "n=v; Secure", True),
        ("https://a.example/", "__Host-n=v; Secure; Path=/", True),
        ("https://a.example/", "__Host-n=v; Path=/", False),
        ("https://a.example/", "__Host-n=v; Secure", False),
        ("https://a.example/", "__Host-n=v; Secure; Path=/x", False),
        ("https://a.example/", "__Host-n=v; Secure; Path=/; Domain=a.example", False),
        ("https://a.example/", "__Secure-n=v", False),
        ("https://a.example/", "n=v; SameSite=None", False),
        ("https://a.example/", "n=v; SameSite=None; Secure", True),
        ("https://a.example/", "n=v; Domain=b.example", False),
        ("https://a.example/", "n=" + "v" * 5000, False),
        ("https://a.example/", "n=v; Max-Age=0", False),
        ("https://a.example/", "n=v; Expires=Thu, 01 Jan 1970 00:00:00 GMT", False),
    ],
)
def test_which_cookies_are_kept(url: str, header: str, kept: bool) -> None:
    jar = CookieJar()
    jar.store(url, header)
    assert len(jar) == kept


def test_which_cookies_are_sent() -> None:
    jar = CookieJar()
    for header in (
        "a=1",
        "b=2; Path=/deep",
        "c=3; Domain=example.com",
        "d=4; Secure",
        "e=5; SameSite=Strict",
    ):
        jar.store("https://app.example.com/", header)
    jar.store("https://app.example.com/", "f=6; SameSite=None; Secure")
    assert jar.header("https://app.example.com/deep/x") == "b=2; a=1; c=3; d=4; e=5; f=6"
    assert jar.header("https://app.example.com/deeper") == "a=1; c=3; d=4; e=5; f=6"
    assert jar.header("http://app.example.com/") == "a=1; c=3; e=5"
    assert jar.header("https://other.example.com/") == "c=3"
    assert jar.header("https://app.example.com/", cross_site=True) == "a=1; c=3; d=4; f=6"
    assert jar.header("https://app.example.com/", cross_site=True, safe_navigation=False) == "f=6"

    jar.store("https://app.example.com/", "a=; Max-Age=0")
    assert jar.get("a") is None
    thief = jar.copy()
    jar.clear()
    assert (len(jar), len(thief)) == (0, 5)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/x", "http://a.example/x"),
        ("y?q#f", "http://a.example/p/y?q#f"),
        ("//evil.example", "http://evil.example"),
        ("////evil.example", "http://evil.example"),
        ("/\\evil.example", "http://evil.example"),
        ("/\t/evil.example", "http://evil.example"),
        ("/x?next=\\\\y", "http://a.example/x?next=\\\\y"),
    ],
)
def test_addresses_are_read_as_browsers_read_them(location: str, url: str) -> None:
    assert resolve("http://a.example/p/q", location) == url
