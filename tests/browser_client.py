"""A scripted browser: real HTTP, cookies and headers as a browser's, every redirect on record.

browser = Browser(emulator)
page = browser.get(f"{server.url}/private")   # through the login at the emulator and back
assert page.text == "alice@example.com"
assert [hop.status for hop in page.hops] == [302, 302, 302, 302, 200]
"""

from __future__ import annotations

import http.client
import json as jsonlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

from werkzeug.datastructures import Headers

from .browser_page import Form, Hop, Page
from .cookie_jar import CookieJar
from .web_origin import fetch_site, origin_of, referrer, resolve, site_of

if TYPE_CHECKING:
    from flask_centralauth.emulator import Emulator

USER_AGENT: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
MAX_HOPS: Final = 20  # where browsers say "redirected you too many times"


class TooManyRedirects(Exception):
    """The last address, and how it came to it."""


class Browser:
    """One person's browser.

    With an `emulator`, its login page is answered at once as `user` (None: the page is shown instead).
    `routes` maps an origin to the server that answers for it, as DNS and a TLS-terminating proxy would:
    `{"https://app.example": server.url}`; the proxy sends X-Forwarded-For, -Proto and -Host.
    """

    def __init__(
        self,
        emulator: Emulator | None = None,
        *,
        user: str | None = "alice@example.com",
        user_agent: str = USER_AGENT,
        ip: str = "127.0.0.1",
        routes: Mapping[str, str] | None = None,
        cookies: CookieJar | None = None,
        timeout: float = 20.0,
    ) -> None:
        self.emulator = emulator
        self.user = user
        self.user_agent = user_agent
        self.ip = ip
        self.routes = dict(routes or {})
        self.cookies = CookieJar() if cookies is None else cookies
        self.timeout = timeout
        self.page: Page | None = None

    def tab(self) -> Browser:
        """Another tab: the same cookies, a page of its own. Use one per thread."""
        return Browser(
            self.emulator,
            user=self.user,
            user_agent=self.user_agent,
            ip=self.ip,
            routes=self.routes,
            cookies=self.cookies,
            timeout=self.timeout,
        )

    def get(self, url: str, *, headers: Mapping[str, str] | None = None, follow: bool = True) -> Page:
        """Type an address, or open a bookmark. `follow=False` stops before the first redirect."""
        return self._navigate("GET", url, b"", headers, initiator=None, follow=follow)

    def click(self, url: str, *, headers: Mapping[str, str] | None = None, follow: bool = True) -> Page:
        """Follow a link of the current page; relative addresses start from there."""
        page = self._current()
        return self._navigate("GET", resolve(page.url, url), b"", headers, initiator=page, follow=follow)

    def submit(
        self,
        form: Form | str,
        data: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        follow: bool = True,
    ) -> Page:
        """Send a form of the current page, `data` filled in; or POST `data` to an address from it."""
        page = self._current()
        if isinstance(form, str):
            form = Form(resolve(page.url, form), "POST", {})
        encoded = urlencode({**form.fields, **(data or {})})
        if form.method == "GET":
            url = form.action.partition("?")[0] + (f"?{encoded}" if encoded else "")
            return self._navigate("GET", url, b"", headers, initiator=page, follow=follow)
        body = encoded.encode()
        return self._navigate("POST", form.action, body, headers, initiator=page, follow=follow)

    def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """What a script of the current page gets (of `url`'s own origin without one).

        Credentials are included; a redirect is the answer, not followed.
        """
        initiator = self.page.url if self.page else url
        url = resolve(initiator, url)
        body = b"" if json is None else jsonlib.dumps(json).encode()
        sent = self._headers(method, url, initiator, "cors", fetch_site([url], initiator))
        if json is not None:
            sent["Content-Type"] = "application/json"
        return Page((self._request(method, url, body, _with(sent, headers), initiator),))

    def _current(self) -> Page:
        assert self.page is not None, "open a page first: browser.get(url)"
        return self.page

    def _navigate(
        self,
        method: str,
        url: str,
        body: bytes,
        extra: Mapping[str, str] | None,
        *,
        initiator: Page | None,
        follow: bool,
    ) -> Page:
        hops: list[Hop] = []
        chain: list[str] = []
        came_from = initiator.url if initiator else None
        policy = initiator.headers.get("Referrer-Policy", "") if initiator else ""
        while len(hops) < MAX_HOPS:
            chain.append(url)
            site = "none" if came_from is None else fetch_site(chain, came_from)
            sent = self._headers(method, url, came_from, "navigate", site, policy)
            if login := self._log_in(url, sent):
                hops.append(login)
                # A click on the login page: what follows is started by that page.
                chain, came_from, policy, method, body = [], url, "", "GET", b""
            else:
                if method == "POST":
                    sent["Content-Type"] = "application/x-www-form-urlencoded"
                hops.append(self._request(method, url, body, _with(sent, extra), came_from))
            hop = hops[-1]
            if not follow or hop.location is None:
                self.page = Page(tuple(hops))
                return self.page
            policy = hop.headers.get("Referrer-Policy", policy)
            if hop.status == 303 or (hop.status in {301, 302} and method == "POST"):
                method, body = "GET", b""
            # A fragment stays with the browser; one that the redirect does not set is kept by it.
            url = hop.location.partition("#")[0]
        raise TooManyRedirects(" -> ".join(hop.url for hop in hops))

    def _log_in(self, url: str, sent: Headers) -> Hop | None:
        """The visit of the emulator's login page by somebody who logs in there at once."""
        if self.emulator is None or self.user is None or not url.startswith(f"{self.emulator.url}/login?"):
            return None
        callback = self.emulator.authorize(
            url, user=self.user, ip=self.ip, user_agent=self.user_agent, referer=sent.get("Referer")
        )
        return Hop("GET", url, sent, 302, Headers({"Location": callback}), b"")

    def _headers(
        self, method: str, url: str, came_from: str | None, mode: str, site: str, policy: str = ""
    ) -> Headers:
        navigation = mode == "navigate"
        headers = Headers(
            {
                "User-Agent": self.user_agent,
                "Accept": "text/html,application/xhtml+xml,*/*;q=0.8" if navigation else "application/json",
                "Accept-Language": "en-US,en;q=0.9",
                "Sec-Fetch-Site": site,
                "Sec-Fetch-Mode": mode,
                "Sec-Fetch-Dest": "document" if navigation else "empty",
            }
        )
        if navigation:
            headers["Sec-Fetch-User"] = "?1"
            headers["Upgrade-Insecure-Requests"] = "1"
        if came_from is not None:
            if method != "GET" or (not navigation and site != "same-origin"):
                headers["Origin"] = origin_of(came_from)
            if source := referrer(came_from, url, policy):
                headers["Referer"] = source
        return headers

    def _request(self, method: str, url: str, body: bytes, sent: Headers, came_from: str | None) -> Hop:
        parts = urlsplit(url)
        cross_site = came_from is not None and site_of(came_from) != site_of(url)
        safe_navigation = method == "GET" and sent["Sec-Fetch-Mode"] == "navigate"
        if cookie := self.cookies.header(url, cross_site=cross_site, safe_navigation=safe_navigation):
            sent["Cookie"] = cookie
        sent["Host"] = parts.netloc
        if server := self.routes.get(origin_of(url)):
            sent["X-Forwarded-For"] = self.ip
            sent["X-Forwarded-Proto"] = parts.scheme
            sent["X-Forwarded-Host"] = parts.netloc
        elif parts.scheme != "http":
            raise ValueError(f"no route to {origin_of(url)}: only http is spoken without one")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection = http.client.HTTPConnection(urlsplit(server or url).netloc, timeout=self.timeout)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in sent:
                connection.putheader(name, value)
            if body or method not in {"GET", "HEAD", "OPTIONS"}:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            hop = Hop(method, url, sent, answer.status, Headers(answer.getheaders()), answer.read())
        finally:
            connection.close()
        for header in hop.headers.getlist("Set-Cookie"):
            self.cookies.store(url, header)
        return hop


def _with(headers: Headers, extra: Mapping[str, str] | None) -> Headers:
    for name, value in (extra or {}).items():
        headers[name] = value
    return headers
