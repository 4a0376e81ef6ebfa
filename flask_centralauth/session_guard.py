"""Flask-Session, kept from taking the whole site down or undoing a logout.

Flask opens the session before any handler of the application can run: when the store is
down, every page is a plain 500. And a slow request writes back, whole, a session that
was deleted or renamed while it ran. Both are prevented around Flask-Session's interface,
through the methods Flask documents for session interfaces.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from flask import Flask, Request, Response
from flask.sessions import SecureCookieSessionInterface, SessionInterface, SessionMixin

from .config import Settings, prepare_flask_session, use_embedded_engine
from .embedded_store import EmbeddedStore
from .engines import Engine, engine_of
from .errors import ErrorCode, ServiceUnavailable

log = logging.getLogger("flask_centralauth")

_SESSION_ID: Final = re.compile(r"[A-Za-z0-9._=-]{16,200}")
EMBEDDED_FILE: Final = "flask_centralauth.sqlite3"


class UnavailableSession(dict[str, Any], SessionMixin):
    """The empty session of a request whose store could not be asked. Never saved."""

    # Flask marks both on access; nothing of this session is ever written.
    modified = False
    accessed = False


class NoPickleSerializer:
    """Flask-Session's serializer without its last resort of unpickling what it reads."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def encode(self, session: Any) -> bytes:
        encoded: bytes = self._inner.encode(session)
        return encoded

    def decode(self, serialized: bytes) -> Any:
        for decoder in (self._inner.decoder, self._inner.alternate_decoder):
            with suppress(msgspec.MsgspecError):
                decoded = decoder.decode(serialized)
                if isinstance(decoded, dict):
                    return decoded
        raise CorruptSessionError


class CorruptSessionError(Exception):
    """A session record that is no session."""


class SessionGuard(SessionInterface):
    """Flask-Session's interface with safeguards; everything else passes through."""

    def __init__(self, inner: Any, engine: Engine) -> None:
        self.inner = inner
        self.engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        sid = request.cookies.get(self.inner.get_cookie_name(app))
        if sid and not _SESSION_ID.fullmatch(sid):
            # Store clients raise on such keys; whoever sends one is simply nobody.
            request = _without_cookies(app, request)
        try:
            opened = self._open(app, request, sid)
        # Each store's client has its own exceptions.
        except Exception as failure:
            log.error("The session could not be read: %s", type(failure).__name__)
            return UnavailableSession()
        if opened.sid == sid:
            opened.centralauth_loaded_sid = sid
        return cast(SessionMixin, opened)

    def _open(self, app: Flask, request: Request, sid: str | None) -> Any:
        try:
            return self.inner.open_session(app, request)
        except CorruptSessionError:
            log.error("A session record could not be decoded; its visitor is signed out.")
            self.engine.delete(f"{self.inner.key_prefix}{sid}")
            return self.inner.open_session(app, _without_cookies(app, request))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if isinstance(session, UnavailableSession):
            return
        try:
            if self._ended_meanwhile(app, session):
                log.info("A session that ended while a request ran was not written back.")
            else:
                self.inner.save_session(app, session, response)
        except Exception as failure:
            log.error("The session could not be written: %s", type(failure).__name__)

    def _ended_meanwhile(self, app: Flask, session: Any) -> bool:
        """Say whether a session that was read from the store is no longer there."""
        if not session or not self.inner.should_set_storage(app, session):
            return False
        if getattr(session, "centralauth_loaded_sid", None) != session.sid:
            return False
        return self.engine.get_many(self.inner.key_prefix + session.sid) == [None]


def _without_cookies(app: Flask, request: Request) -> Request:
    return app.request_class({**request.environ, "HTTP_COOKIE": ""})


def guard_session(app: Flask, settings: Settings) -> SessionGuard:
    """Set up Flask-Session unless the application did, and put the guard around it.

    :raises ConfigurationError: the application keeps its sessions where logins cannot be.
    """
    if isinstance(app.session_interface, SessionGuard):
        return app.session_interface
    if type(app.session_interface) is SecureCookieSessionInterface:
        from flask_session import Session

        if prepare_flask_session(app, settings):
            use_embedded_engine(app, EmbeddedStore(Path(app.instance_path) / EMBEDDED_FILE))
        Session(app)
    interface: Any = app.session_interface
    guard = SessionGuard(interface, engine_of(interface))
    if interface.serializer is not None:
        interface.serializer = NoPickleSerializer(interface.serializer)
    app.session_interface = guard
    return guard


def require_store(session: object) -> None:
    """Raise `ServiceUnavailable` when the request's session could not be read."""
    if isinstance(session, UnavailableSession):
        raise ServiceUnavailable(ErrorCode.STORE_UNAVAILABLE, "the session could not be read", retry_after=5)
