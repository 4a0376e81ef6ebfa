"""The cookie with a session's id, as the application's session interface wants it."""

from __future__ import annotations

import logging
import re
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from flask import Flask, Request, Response
from itsdangerous import BadSignature, Signer

log = logging.getLogger("flask_centralauth")

#: Store clients raise on other keys; whoever sends such an id is simply nobody.
_SESSION_ID: Final = re.compile(r"[A-Za-z0-9_=.-]{1,160}")

#: More sessions under one name than a changed domain or path leaves behind.
MAX_SESSIONS: Final = 4


class SessionCookie:
    """Reads, sets and removes the cookie of a Flask-Session interface."""

    def __init__(self, interface: Any) -> None:
        self._interface = interface

    def read(self, app: Flask, request: Request) -> list[str]:
        """Return the session ids a browser sent: one, none, or a few, of which some may be a stranger's."""
        values = request.cookies.getlist(self._interface.get_cookie_name(app))
        found = [sid for value in values if (sid := self._read(app, value)) is not None]
        if len(found) < 2:
            return found
        found = list(dict.fromkeys(found))
        if len(found) > MAX_SESSIONS:
            # Attack: cookie tossing with so many that the person's own is not among those looked at.
            log.warning(
                "A browser sent %d session cookies: none counts, a stranger may have set some.", len(found)
            )
            return []
        return found

    def _read(self, app: Flask, value: str) -> str | None:
        if not _SESSION_ID.fullmatch(value):
            return None
        if not self._interface.use_signer:
            return value
        try:
            return _signer(app).unsign(value).decode()
        except BadSignature:
            return None

    def set(self, app: Flask, response: Response, sid: str, seconds: int | None) -> None:
        """Let the browser keep a session id for so long, or until it is closed."""
        expires = None if seconds is None else datetime.now(timezone.utc) + timedelta(seconds=seconds)
        value = _signer(app).sign(sid).decode() if self._interface.use_signer else sid
        name = self._interface.get_cookie_name(app)
        response.set_cookie(name, value, expires=expires, **self._attributes(app))
        vary_by_cookie(response)

    def delete(self, app: Flask, response: Response) -> None:
        """Let the browser forget the session id."""
        # With the attributes it was set with: browsers ignore the removal otherwise.
        response.delete_cookie(self._interface.get_cookie_name(app), **self._attributes(app))
        vary_by_cookie(response)

    def _attributes(self, app: Flask) -> dict[str, Any]:
        return {
            name: getattr(self._interface, f"get_cookie_{name}")(app)
            for name in ("domain", "path", "secure", "httponly", "samesite", "partitioned")
        }


def vary_by_cookie(response: Response) -> None:
    """Say that an answer is of this cookie."""
    if hasattr(response, "centralauth_varies"):
        return
    headers = response.headers
    for name, _value in headers:
        if name.lower() == "vary":
            response.vary.add("Cookie")
            return
    # Reading and writing a set costs every page that has a session more than finding that there is none.
    headers.add("Vary", "Cookie")


def _signer(app: Flask) -> Signer:
    """Return what Flask-Session signs ids with under ``SESSION_USE_SIGNER``."""
    assert app.secret_key, "the settings were checked"
    return Signer(app.secret_key, salt="flask-session", key_derivation="hmac")
