"""The session interface: Flask-Session's sessions, kept so that nothing late can undo a logout.

Flask-Session makes the engine's client, the session object and its encoding. Reading and writing are done
here, because three things cannot be had around it: a store that is down is an empty session and not a plain
500 on every page; a session that ended, or got another id, while a request ran is not written back, in one
step with the writing; what the application has pending in its database is not committed.

A stored session's life slides with use without writing it again: now and then its time to live is extended
and the cookie sent again.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from pathlib import Path
from typing import Any, Final

from flask import Flask, Request, Response, current_app
from flask.sessions import SecureCookieSessionInterface, SessionInterface, SessionMixin

from .config import Settings, prepare_flask_session, use_embedded_engine
from .engine_choice import engine_of, set_up_flask_session
from .engines import EmbeddedEngine, Engine
from .errors import ServiceUnavailable
from .names import is_message_key
from .session_choice import choose
from .session_cookie import SessionCookie, vary_by_cookie
from .session_encoding import CorruptSessionError, SessionEncoding, Stored
from .session_logins import PERMANENT_KEY, SessionLogins
from .store_failures import log_failure
from .unavailable_session import UnavailableSession

log = logging.getLogger("flask_centralauth")

EMBEDDED_FILE: Final = "flask_centralauth.sqlite3"
#: A session's life is extended once per this part of it, but at least hourly.
STEPS_PER_LIFE: Final = 20
LONGEST_STEP: Final = 3600
MAX_EXTENDED: Final = 10_000


class SessionGuard(SessionInterface):
    """Keeps the sessions of a Flask-Session interface; what else it offers passes through."""

    def __init__(self, inner: Any, engine: Engine, application: str, *, message_lifetime: int) -> None:
        self.inner = inner
        self.engine = engine
        self.application = application
        self._message_lifetime = message_lifetime
        self._cookie = SessionCookie(inner)
        self._encoding = SessionEncoding(inner.serializer)
        self._extended: dict[str, float] = {}
        self._lock = threading.Lock()
        self.logins: Final = SessionLogins()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def insist_on(self, app: Flask) -> None:
        """Raise when an application has other sessions by now."""
        if app.session_interface is not self:
            raise RuntimeError(
                "The session interface was replaced after CentralAuth was set up, probably by Session(app). "
                "Call Session(app) first, then CentralAuth(app) or init_app(app)."
            )

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        sids = self._cookie.read(app, request)
        if not sids:
            return self._session()
        try:
            found = self.engine.get_many(*map(self._key, sids))
            opened = [
                session
                for sid, value in zip(sids, found, strict=True)
                if value is not None and (session := self._open(sid, value)) is not None
            ]
            if len(opened) > 1:
                opened, ended = choose(opened, lambda content: bool(self.logins.held_by(content)))
                for session in ended:
                    self.discard(session)
        except ServiceUnavailable as failure:
            return UnavailableSession(failure)
        # Never under an id that is not known: it may be of an attacker's choice (session fixation).
        return opened[0] if opened else self._session()

    def _open(self, sid: str, value: bytes) -> SessionMixin | None:
        try:
            content, stored = self._encoding.decode(value, sid)
        except CorruptSessionError:
            log.error("A session record could not be decoded; its visitor is signed out.")
            self._drop_corrupt(sid)
            return None
        shortened = self.logins.may_be_several and self.logins.drop_over(content, stored)
        opened: Any = self.inner.session_class(content, sid=sid)
        opened.centralauth = stored
        if shortened:
            opened.modified = True
        return opened  # type: ignore[no-any-return]

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if isinstance(session, UnavailableSession):
            if not session.answered:
                log_failure("A page was served without its session", session.failure)
            return
        if session.accessed:
            vary_by_cookie(response)
        try:
            self._save(app, session, response)
        except ServiceUnavailable as failure:
            log_failure("The session could not be written", failure)
            if session and session.centralauth.renewed:  # type: ignore[attr-defined]
                # What just began is in the store under the new id, and the id the browser has is dead.
                self._set_cookie(app, session, response)

    def regenerate(self, session: Any, *, insist: bool = True) -> None:
        """Give a session a new id, in the store at once; the old id is dead.

        :param insist: also when another request has removed it meanwhile, or given it another id.
            Without, nothing of this request is kept then: the browser has a newer session.
        :raises ServiceUnavailable: the store did not take it; nothing of this request is kept.
        """
        stored: Stored = session.centralauth
        before, stored.sid, session.sid = stored.sid, None, self._new_sid()
        session.modified = True
        try:
            if session:
                self._write(current_app, session)
                # What is put into it from now on is written at the end of the request.
                session.modified = False
            if before is not None:
                stored.overtaken = not self.engine.delete(self._key(before))
        except ServiceUnavailable:
            stored.outlived = True
            raise
        stored.renewed = True
        if stored.overtaken and not insist:
            self.give_up(session)

    def give_up(self, session: Any) -> None:
        """Remove a session that got its id in this request, and leave its logins and the cookie alone.

        :raises ServiceUnavailable: it may still be there, under an id that nobody has.
        """
        stored: Stored = session.centralauth
        stored.outlived = True
        self.engine.delete(self._key(session.sid))

    def bind(self, session: Any) -> None:
        """Let a session live as long as the logins in it."""
        self.logins.bind(session, session.centralauth)

    def discard(self, session: Any) -> None:
        """Remove a session from the store at once. What comes into it later gets a new id.

        :raises ServiceUnavailable: it may still be there.
        """
        stored: Stored = session.centralauth
        removed = stored.removed
        if stored.sid is not None:
            removed = self.engine.delete(self._key(stored.sid))
            for companion in stored.companions:
                self.engine.delete(companion)
        outlived = stored.outlived or (stored.sid is not None and not removed)
        session.centralauth = Stored(removed=removed, outlived=outlived)
        session.sid = self._new_sid()

    def _save(self, app: Flask, session: Any, response: Response) -> None:
        # Asked once: Flask-Session copies the whole session to answer.
        empty = not session
        if empty and session.modified:
            self.discard(session)
        stored: Stored = session.centralauth
        if stored.outlived:
            return
        if empty:
            if stored.removed:
                self._cookie.delete(app, response)
        elif session.modified or self._is_changed_inside(session, stored):
            if self._write(app, session):
                self._set_cookie(app, session, response)
            else:
                log.info("A session that ended while a request ran was not written back.")
        elif stored.renewed:
            self._set_cookie(app, session, response)
        elif session.accessed and self._is_due(app, stored):
            self._extend(app, session, response)

    def _is_changed_inside(self, session: Any, stored: Stored) -> bool:
        value = stored.value
        return (
            bool(session.accessed) and value is not None and self._encoding.is_changed_inside(session, value)
        )

    def _write(self, app: Flask, session: Any) -> bool:
        """Write a session; False when it was in the store and is not any more."""
        stored: Stored = session.centralauth
        seconds = self._seconds_left(app, session)
        ends_anyway = stored.until is not None and stored.until <= time.time() + seconds + 1
        stored.due = None if ends_anyway else time.time() + _step(app)
        key, value = self._key(session.sid), self._encoding.encode(session, stored)
        stored.value = value
        if stored.sid is not None:
            return self.engine.replace(key, value, seconds)
        self.engine.put(key, value, seconds)
        stored.sid = session.sid
        return True

    def _is_due(self, app: Flask, stored: Stored) -> bool:
        """Say whether it is this request's turn to extend the session's life."""
        now = time.time()
        if stored.sid is None or stored.due is None or now < stored.due:
            return False
        with self._lock:
            if now < self._extended.get(stored.sid, 0.0) + _step(app):
                return False
            # Put last, so that the one dropped is the one that waits longest.
            self._extended.pop(stored.sid, None)
            self._extended[stored.sid] = now
            if len(self._extended) > MAX_EXTENDED:
                del self._extended[next(iter(self._extended))]
        return True

    def _extend(self, app: Flask, session: Any, response: Response) -> None:
        stored: Stored = session.centralauth
        seconds = self._seconds_left(app, session)
        # Gone meanwhile: its cookie would replace a newer one.
        if not self.engine.touch(self._key(session.sid), seconds):
            return
        for companion in stored.companions:
            self.engine.touch(companion, seconds)
        if session.permanent:
            self._set_cookie(app, session, response)

    def _set_cookie(self, app: Flask, session: Any, response: Response) -> None:
        seconds = self._seconds_left(app, session) if session.permanent else None
        self._cookie.set(app, response, session.sid, seconds)

    def _seconds_left(self, app: Flask, session: Any) -> int:
        lifetime = app.permanent_session_lifetime.total_seconds()
        if all(key == PERMANENT_KEY or is_message_key(key) for key in session):
            # Anybody can make logins fail: that must not fill the store for a month.
            lifetime = min(lifetime, self._message_lifetime)
        until: float | None = session.centralauth.until
        return max(1, int(lifetime if until is None else min(until - time.time(), lifetime)))

    def _session(self) -> SessionMixin:
        """Return a new, empty session."""
        session: Any = self.inner.session_class(sid=self._new_sid(), permanent=self.inner.permanent)
        session.centralauth = Stored()
        return session  # type: ignore[no-any-return]

    def _drop_corrupt(self, sid: str) -> None:
        try:
            self.engine.delete(self._key(sid))
        except ServiceUnavailable as failure:
            log.error("It could not be removed either: %s", failure)

    def _key(self, sid: str) -> str:
        return f"{self.inner.key_prefix}{sid}"

    def _new_sid(self) -> str:
        return secrets.token_urlsafe(self.inner.sid_length)


def _step(app: Flask) -> float:
    """Return the seconds after which a session's life is extended again."""
    return min(app.permanent_session_lifetime.total_seconds() / STEPS_PER_LIFE, LONGEST_STEP)


def guard_session(app: Flask, settings: Settings) -> SessionGuard:
    """Set up Flask-Session unless the application did, and take over its storage.

    :raises ConfigurationError: the application keeps its sessions where logins cannot be.
    """
    if type(app.session_interface) is SecureCookieSessionInterface:
        if prepare_flask_session(app, settings):
            use_embedded_engine(app, EmbeddedEngine(Path(app.instance_path) / EMBEDDED_FILE))
        set_up_flask_session(app)
    interface: Any = app.session_interface
    with app.app_context():
        guard = SessionGuard(
            interface, engine_of(interface), app.import_name, message_lifetime=settings.login_lifetime
        )
    app.session_interface = guard
    return guard
