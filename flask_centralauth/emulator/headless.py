"""Logging in without a browser, through the same pages a person uses."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import Flask

from .login_views import ATTEMPT_HEADER
from .sending_back import LOGIN_IP, LOGIN_USER_AGENT
from .service import Service


class LoginRefused(Exception):
    """The login page answered with an error page instead of a way back.

    ``code`` is the error code it names.
    """

    def __init__(self, code: str | None, message: str | None, status: int) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def authorize(
    app: Flask,
    service: Service,
    login_url: str,
    *,
    user: str,
    ip: str | None = None,
    user_agent: str | None = None,
    deny: bool = False,
    error: str | None = None,
    referer: str | None = None,
) -> str:
    """Visit a login page, answer it, and return the callback URL it leads to.

    :raises LoginRefused: when the page does not send the browser back.
    """
    # An address with a fragment or of another host is the caller's affair: only path and query count.
    parts = urlsplit(login_url)
    headers = {
        "User-Agent": user_agent or "",
        "Accept": "text/html",
        **({"Referer": referer} if referer else {}),
    }
    how: dict[str, Any] = {
        "base_url": service.public_url,
        "headers": headers,
        "environ_overrides": {
            LOGIN_IP: ip,
            LOGIN_USER_AGENT: user_agent,
            "REMOTE_ADDR": ip or "127.0.0.1",
        },
    }
    client = app.test_client()
    reply = client.get(f"{parts.path or '/'}?{parts.query}", **how)
    if reply.status_code == 200 and ATTEMPT_HEADER in reply.headers:
        form = {"deny": "1"} if deny else {"error": str(error)} if error else {"email": user}
        reply = client.post(f"/login/{reply.headers[ATTEMPT_HEADER]}", data=form, **how)
    if "Location" not in reply.headers:
        seen = service.journal[-1] if len(service.journal) else None
        raise LoginRefused(
            seen.error_code if seen else None, seen.message if seen else None, reply.status_code
        )
    return reply.headers["Location"]
