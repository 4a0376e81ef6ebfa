"""Looking at a running application from outside: as browsers do, and through its emulator's journal."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import requests

from .control_client import SECONDS, ControlClient, NoEmulator
from .origins import origin_of

BROWSER: Final = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36"


class CannotProbe(Exception):
    """The application or the emulator does not answer as needed; the text says what."""


class Weakness(Exception):
    """An attack worked; the text says how it shows."""


class NotOffered(Exception):
    """The application has no such feature to attack; the text says which."""


class Visitor:
    """One browser with its own cookies. Redirects are looked at, not followed."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.headers.update({"User-Agent": BROWSER, "Accept": "text/html,*/*;q=0.8"})
        probe.opened.append(self._http)

    def get(self, url: str, *, method: str = "GET", **headers: str) -> requests.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            reply = self._http.request(method, url, headers=sent, allow_redirects=False, timeout=SECONDS)
        except requests.RequestException as problem:
            raise CannotProbe(f"{url} does not answer: {type(problem).__name__}") from None
        if reply.status_code >= 500:
            raise Weakness(f"{method} {urlsplit(url).path} answered {reply.status_code}")
        return reply

    def started(self, query: dict[str, str] | None = None, *, route: str = "login", **headers: str) -> str:
        """Begin a login, and return where the browser is sent."""
        reply = self.get(self._probe.route(route, query), **headers)
        target = reply.headers.get("Location", "")
        location = urljoin(reply.url, target) if target else ""
        if not location.startswith(f"{self._probe.emulator}/login?"):
            raise CannotProbe(f"{reply.url} answers {reply.status_code} and leads to {location or 'nowhere'}")
        return location

    def callback(self, user: str, query: dict[str, str] | None = None) -> str:
        """Log in at the emulator, and return the callback URL without opening it."""
        return self._probe.authorized(self.started(query), user)

    def user(self) -> Any:
        """Return whom the application takes this browser for; None for nobody."""
        reply = self.get(self._probe.route("user"), Accept="application/json")
        try:
            return reply.json() if reply.status_code == 200 else None
        except ValueError:
            raise CannotProbe(f"{reply.url} does not answer JSON") from None


class Probe:
    """An application, its emulator, and the attacks on the way between them.

    :param application: the application's address.
    :param emulator: the emulator's address, as in the application's settings.
    :param prefix: where its login routes are mounted.
    """

    def __init__(
        self, application: str, emulator: str, *, prefix: str = "/api/auth", control_token: str | None = None
    ) -> None:
        self.application = application.rstrip("/")
        self.emulator = emulator.rstrip("/")
        #: What the visitors so far keep open.
        self.opened: list[requests.Session] = []
        self._prefix = prefix
        self._control = ControlClient(emulator, token=control_token)

    def send_home(self) -> None:
        """Close what the visitors so far keep open."""
        for http in self.opened:
            http.close()
        self.opened.clear()

    def route(self, name: str, query: dict[str, str] | None = None) -> str:
        """Return the address of one of the application's login routes."""
        return f"{self.application}{self._prefix}/{name}" + (f"?{urlencode(query)}" if query else "")

    def control(self, method: str, path: str, body: object = None) -> Any:
        """Ask the emulator."""
        try:
            return self._control.ask(method, path, body)
        except NoEmulator as problem:
            raise CannotProbe(str(problem)) from None

    def authorized(self, login_url: str, user: str) -> str:
        """Log in at the emulator, and return the callback URL."""
        body = {"url": login_url, "user": user, "referer": f"{origin_of(self.application)}/"}
        callback: str = self.control("POST", "/authorize", body)["callback"]
        return callback

    def calls(self, endpoint: str) -> list[dict[str, Any]]:
        """Return the API calls of an endpoint so far."""
        found: list[dict[str, Any]] = self.control("GET", f"/requests?endpoint={endpoint}")["requests"]
        return found


def changed(url: str, **changes: str | None) -> str:
    """Return a URL with query parameters replaced, or dropped for None."""
    parts = urlsplit(url)
    query = [
        (name, changes.get(name, value)) for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    kept = [(name, value) for name, value in query if value is not None]
    return parts._replace(query=urlencode(kept)).geturl()


def logged_in(probe: Probe) -> Visitor:
    """Return a browser with somebody logged in."""
    visitor = Visitor(probe)
    visitor.get(visitor.callback("alice@example.com"))
    return visitor
