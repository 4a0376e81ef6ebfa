"""An application that does everything right, by hand: what the emulator's own tests talk through."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

from flask_centralauth.emulator import Emulator
from flask_centralauth.emulator.code_exchange import s256

ORIGIN = "https://app.example"
IP = "203.0.113.9"
BROWSER = "Mozilla/5.0 (a browser of the tests)"
LEFT_OUT = "\0left out"


class Application:
    """An application of the emulator's organization, at ``https://app.example``.

    Every method sends the right thing; keyword arguments replace a part, ``LEFT_OUT`` drops it.
    """

    def __init__(self, emulator: Emulator, *, origin: str = ORIGIN) -> None:
        self.emulator = emulator
        self.origin = origin
        self.redirect_uri = f"{origin}/api/auth/callback"
        self.verifier = secrets.token_urlsafe(48)
        self.http = requests.Session()
        self.http.trust_env = False

    def login_params(self, **changes: str) -> dict[str, str]:
        return _changed(
            {
                "client_id": self.emulator.client_id,
                "response_type": "code",
                "redirect_uri": self.redirect_uri,
                "state": secrets.token_urlsafe(32),
                "code_challenge": s256(self.verifier),
                "code_challenge_method": "S256",
            },
            changes,
        )

    def login_url(self, **changes: str) -> str:
        return f"{self.emulator.url}/login?{urlencode(self.login_params(**changes))}"

    def visit(self, url: str, **headers: str) -> requests.Response:
        """Open a page as a browser, without following where it leads."""
        sent = {"User-Agent": BROWSER, **headers}
        return self.http.get(url, headers=sent, allow_redirects=False, timeout=20)

    def choose(self, page: requests.Response, **form: str) -> requests.Response:
        """Answer a login page."""
        attempt = page.headers["X-Emulator-Attempt"]
        return self.http.post(
            f"{self.emulator.url}/login/{attempt}",
            data=form,
            headers={"User-Agent": BROWSER},
            allow_redirects=False,
            timeout=20,
        )

    def code(self, *, user: str = "alice@example.com", **changes: str) -> str:
        """Return a code of somebody who just logged in."""
        callback = self.emulator.authorize(self.login_url(**changes), user=user, ip=IP, user_agent=BROWSER)
        return query_of(callback)["code"]

    def call(
        self,
        path: str,
        data: Any = None,
        *,
        auth: tuple[str, str] | str | None = "right",
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> requests.Response:
        credentials = (self.emulator.client_id, self.emulator.client_secret) if auth == "right" else auth
        return self.http.post(
            self.emulator.url + path,
            data=data,
            auth=credentials,  # type: ignore[arg-type]
            headers=headers,
            allow_redirects=False,
            timeout=20,
            **more,
        )

    def verify_form(self, code: str, /, **changes: str) -> dict[str, str]:
        right = {"code": code, "redirect_uri": self.redirect_uri, "code_verifier": self.verifier}
        return _changed({**right, "grant_type": "authorization_code"}, changes)

    def verify(self, code: str, /, *, auth: Any = "right", **changes: str) -> requests.Response:
        return self.call("/api/v1/verify", self.verify_form(code, **changes), auth=auth)

    def token(self, *, user: str = "alice@example.com") -> str:
        """Return the access token of somebody who just logged in."""
        token: str = self.verify(self.code(user=user)).json()["access_token"]
        return token

    def userinfo(
        self, token: str, *, domain: str | None = None, auth: Any = "right", **headers: str
    ) -> requests.Response:
        sent = {"Content-Type": "text/plain", "auth-ip": IP, "user-agent": BROWSER}
        sent = _changed(sent, {name.replace("_", "-"): value for name, value in headers.items()})
        domain = self.origin if domain is None else domain
        query = "" if domain == LEFT_OUT else f"?{urlencode({'domain': domain})}"
        return self.call(f"/api/v1/userinfo{query}", token, auth=auth, headers=sent)

    def logout(self, token: str, *, auth: Any = "right") -> requests.Response:
        return self.call("/api/v1/logout", token, auth=auth, headers={"Content-Type": "text/plain"})


def _changed(right: dict[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in {**right, **changes}.items() if value != LEFT_OUT}


def query_of(url: str) -> dict[str, str]:
    """Return the query of a URL; no name occurs twice."""
    values = parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert all(len(value) == 1 for value in values.values()), url
    return {name: value[0] for name, value in values.items()}


def error_of(reply: requests.Response) -> str:
    """Return the code of an error answer, which is CentralAuth's object and nothing else."""
    assert reply.headers["Content-Type"] == "application/json"
    body = reply.json()
    assert set(body) >= {"errorCode", "message"}
    assert "error" not in body
    assert body["message"]
    return str(body["errorCode"])
