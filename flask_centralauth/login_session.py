"""A login as the session of its browser has it, beside the logins of other `CentralAuth` objects.

The session of an application is one, and what ends a login or begins one for another user
empties it: a cart, a draft, whatever belonged to the user who is gone. What other objects
have in it stays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flask import session

from .names import session_key
from .session_encoding import Stored
from .session_guard import SessionGuard
from .session_logins import Held
from .unavailable_session import require_store

#: What the store says has ended lately, for all logins; compared, never read.
News = tuple[bytes | None, ...]


@dataclass(frozen=True, slots=True)
class Login:
    """One login of one browser, as its session knows it.

    :param until: epoch seconds after which CentralAuth's token is over, or None.
    :param generation: the user's mark when the login began, see `LoginStore.end_all`.
    :param affirmed: the affirmation this login was renewed by: epoch seconds of CentralAuth's
        clock, and the same moment by ours.
    :param version: `LoginStore.version_of` a login that has just begun; not part of the
        session.
    """

    login_id: str
    user_id: str
    token: str = field(repr=False)
    domain: str
    until: float | None
    generation: str | None
    started: float
    affirmed: tuple[float, float] | None = None
    version: News = field(default=(), repr=False, compare=False)


class LoginSession:
    """The logins of one `CentralAuth` object in the sessions of requests.

    Only `KnownLogins.admission` reads its key too.

    :param application: what logins made here are marked with.
    :param record_key: returns the key of the record of a login id.
    """

    def __init__(
        self, guard: SessionGuard, *, identifier: str, application: str, record_key: Callable[[str], str]
    ) -> None:
        self._guard = guard
        self._key = session_key(identifier)
        self._application = application
        self._record_key = record_key
        guard.logins.read_with(self._key, self._held)

    def claimed_id(self) -> str | None:
        """Return the id of the login this request's session claims, unchecked."""
        claimed = session.get(self._key)
        login_id = claimed.get("login_id") if isinstance(claimed, dict) else None
        return login_id if isinstance(login_id, str) else None

    def current(self) -> Login | None:
        """Return the login this request's session claims. Whether it lives, the store says.

        :raises ServiceUnavailable: the session could not be read.
        """
        claimed = session.get(self._key)
        if claimed is None:
            require_store(session)
            return None
        if not self._is_own(claimed):
            return None
        try:
            login = Login(
                **{name: claimed[name] for name in _FIELDS if name != "affirmed"},
                affirmed=_moments(claimed.get("affirmed")),
            )
            return login if login.until is None or time.time() < login.until else None
        except (KeyError, TypeError, ValueError):
            return None

    def begin(self, login: Login, *, same_user: bool) -> None:
        """Put a login into the session, which gets a new id in the store at once.

        What an anonymous visitor had in the session stays; what another user had is gone.

        :param same_user: whether the login there was is the same person's.
        :raises ServiceUnavailable: the store did not take it.
        """
        if session.get(self._key) is not None and not same_user:
            self._empty(self._others())
        session[self._key] = {
            "app": self._application,
            **{name: getattr(login, name) for name in _FIELDS},
        }
        self._guard.bind(session)
        self._guard.regenerate(session)

    def end(self) -> None:
        """Take the login and what belongs to its user out of the session, in the store at once.

        What comes into the session afterwards has a new id. Where nobody is logged in here but
        at another object, nothing happens.

        :raises ServiceUnavailable: the session may still be as it was.
        """
        others = self._others()
        if not others:
            try:
                self._guard.discard(session)
            finally:
                self._empty(others)
        elif session.get(self._key) is not None:
            self._empty(others)
            # Under a new id: a request that has read the session before must not write it back. And
            # where another has been faster, the browser has a session without this login already.
            self._guard.regenerate(session, insist=False)

    def empty(self) -> None:
        """Take the login and what belongs to its user out of the session of this request alone."""
        self._empty(self._others())

    def take_back(self) -> None:
        """Take out a login that has begun in this request and must not count.

        :raises ServiceUnavailable: its session may live on; the browser does not learn its id.
        """
        others = self._others()
        if others and not session.centralauth.overtaken:  # type: ignore[attr-defined]
            # It has the only id that is still good for them, and nobody else knows it.
            self._empty(others)
            return
        # Another tab may have been faster: the cookie may be good. And the store may fail now.
        abandon(session)
        self._empty(others)
        if others:
            self._guard.give_up(session)
        else:
            self._guard.discard(session)

    def _is_own(self, claimed: object) -> bool:
        return isinstance(claimed, dict) and claimed.get("app") == self._application

    def _held(self, claimed: object) -> Held | None:
        if not isinstance(claimed, dict) or not self._is_own(claimed):
            return None
        match claimed:
            case {"login_id": str() as login_id, "until": None | int() | float() as until}:
                return Held(until, self._record_key(login_id))
            case _:
                return None

    def _others(self) -> dict[str, Any]:
        return {key: session[key] for key in self._guard.logins.held_by(session) if key != self._key}

    def _empty(self, others: Mapping[str, Any]) -> None:
        session.clear()
        if others:
            session.update(others)
            self._guard.bind(session)


_FIELDS: Final = ("login_id", "user_id", "token", "domain", "until", "generation", "started", "affirmed")


def _moments(stored: Any) -> tuple[float, float] | None:
    """Return a login's affirmation as the session kept it; a serializer may make a list of it."""
    if stored is None:
        return None
    theirs, ours = stored
    return float(theirs), float(ours)


def abandon(session: object) -> None:
    """Keep nothing of what this request does to its session, and leave the cookie alone."""
    stored: Stored | None = getattr(session, "centralauth", None)
    if stored is not None:
        stored.outlived = True
