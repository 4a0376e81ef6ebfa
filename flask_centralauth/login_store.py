"""Who is logged in: a record beside the session, and the key of ours in the session.

The session holds a login's id and its token; the record holds the user as last checked.
A session without a live record is not logged in, so whatever brings a session back after a
logout brings no login back.
"""

from __future__ import annotations

import hashlib
import secrets
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, NoReturn

from flask import session

from .config import Settings
from .engines import Engine
from .errors import ErrorCode, ServiceUnavailable, SessionError
from .login_record import Record, decode, encode
from .session_guard import SessionGuard, abandon, require_store
from .store_failures import StoreBreaker

SESSION_KEY: Final = "_centralauth"
#: A mark outlives every login that began before it.
MARK_MARGIN: Final = 3600
#: Into so many parts the news of ended logins is divided: a logout makes workers look again
#: at this part of the logins they know, not at all of them.
NEWS_PARTS: Final = 256

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


class LoginStore:
    """Starts, reads and ends logins. The only user of our session key."""

    def __init__(self, settings: Settings, guard: SessionGuard) -> None:
        self._guard = guard
        self._engine: Engine = guard.engine
        self._lifetime = settings.session_lifetime
        application = "|".join(
            (
                guard.application,
                settings.client_id,
                settings.base_url,
                settings.url_prefix,
                settings.callback_url or "",
            )
        )
        # Two applications on one store or one host do not take each other's logins.
        self._application = hashlib.sha256(application.encode()).hexdigest()[:16]
        guard.holds_login = self._is_own

    @property
    def breaker(self) -> StoreBreaker:
        return self._engine.breaker

    def claim(self, state: str, lifetime: int) -> bool:
        """Mark a callback as used; False when it was used before, in any worker."""
        return self._engine.add(self._key("used", _digest(state)), b"1", lifetime)

    def is_claimed(self, state: str) -> bool:
        """Say whether a callback was used before; False when the store cannot tell."""
        try:
            return self._engine.get_many(self._key("used", _digest(state))) != [None]
        except ServiceUnavailable:
            return False

    def start(
        self,
        record: Record,
        *,
        token: str,
        domain: str,
        lifetime: float | None,
        affirmed: tuple[float, float] | None = None,
    ) -> Login:
        """Log the record's user in: a new session id, a live record, our session key.

        What an anonymous visitor had in the session stays; what another user had is gone.

        :param lifetime: seconds CentralAuth's token is valid, or None.
        :param affirmed: see `Login`; then it is a renewal of the login there was.
        :raises ServiceUnavailable: the store did not take it; nobody is logged in.
        :raises SessionError: the login to renew has ended meanwhile.
        """
        require_store(session)
        user = record.user
        previous = self.current()
        login = self._new_login(user.id, token, domain, lifetime)
        if affirmed is not None and previous is not None:
            # Of before: a `logout_user` that came meanwhile ends this too, at its first page view.
            login = replace(login, affirmed=affirmed, generation=previous.generation, version=())
        key = self._key("login", login.login_id)
        if not self._engine.add(key, encode(record), self._ttl(login)):  # pragma: no cover - the key is new
            raise ServiceUnavailable(ErrorCode.STORE_UNAVAILABLE, "the login record was not written")
        if session.get(SESSION_KEY) is not None and (previous is None or previous.user_id != user.id):
            session.clear()
        session[SESSION_KEY] = {"app": self._application, **{name: getattr(login, name) for name in _FIELDS}}
        self._guard.bind(session, until=login.until, companions=(key,))
        self._guard.regenerate(session)
        if previous is not None:
            # The new login stands: the session of the one before is gone.
            renewed = True
            with suppress(ServiceUnavailable):
                renewed = self._end_record(previous)
            if affirmed is not None and not renewed:
                self._take_back()
        return login

    def _take_back(self) -> NoReturn:
        """Refuse a renewal: a logout that came while it ran is final."""
        session.clear()
        # Another tab may have been faster: the cookie may be good. And the store may fail now.
        abandon(session)
        self._guard.discard(session)
        raise SessionError(ErrorCode.SESSION_INACTIVE, "the login ended while it was renewed")

    def _new_login(self, user_id: str, token: str, domain: str, lifetime: float | None) -> Login:
        login_id = secrets.token_urlsafe(24)
        # Before the login begins, so that a `logout_user` from now on ends it.
        mark, *version = self._engine.get_many(
            self._key("mark", _digest(user_id)), *self._news_keys(_part_of(login_id))
        )
        now = time.time()
        return Login(
            login_id=login_id,
            user_id=user_id,
            token=token,
            domain=domain,
            until=None if lifetime is None else now + lifetime,
            generation=mark.decode() if mark is not None else None,
            started=now,
            version=tuple(version),
        )

    def claimed_id(self) -> str | None:
        """Return the id of the login this request's session claims, unchecked."""
        # Not through the proxy: every page view of a guarded page comes by here.
        current: dict[str, Any] = session._get_current_object()  # type: ignore[attr-defined]
        claimed = current.get(SESSION_KEY)
        login_id = claimed.get("login_id") if isinstance(claimed, dict) else None
        return login_id if isinstance(login_id, str) else None

    def current(self) -> Login | None:
        """Return the login this request's session claims. Whether it lives, `live` says.

        :raises ServiceUnavailable: the session could not be read.
        """
        claimed = session.get(SESSION_KEY)
        if claimed is None:
            require_store(session)
            return None
        if not self._is_own(session):
            return None
        try:
            login = Login(
                **{name: claimed[name] for name in _FIELDS if name != "affirmed"},
                affirmed=_moments(claimed.get("affirmed")),
            )
            return login if login.until is None or time.time() < login.until else None
        except (KeyError, TypeError, ValueError):
            return None

    def _is_own(self, content: Mapping[str, Any]) -> bool:
        claimed = content.get(SESSION_KEY)
        return isinstance(claimed, dict) and claimed.get("app") == self._application

    def live(self, login: Login) -> Record | None:
        """Return the record of a login, or None when the login is over."""
        found, mark = self._engine.get_many(
            self._key("login", login.login_id), self._key("mark", _digest(login.user_id))
        )
        if found is None or (mark is not None and mark.decode() != login.generation):
            return None
        return decode(found)

    def update(self, login: Login, record: Record) -> bool:
        """Write a newer answer; False when the login ended meanwhile.

        Writing extends the login's life in the store, never beyond its token's.
        """
        return self._engine.replace(self._key("login", login.login_id), encode(record), self._ttl(login))

    def end(self, login: Login | None) -> bool:
        """End a login for good and empty this browser's session, in the store at once.

        What comes into the session afterwards gets a new id. Return whether the login
        had a record until now.

        :raises ServiceUnavailable: the login may live on.
        """
        require_store(session)
        try:
            # The record first: discarding the session removes it too.
            ended = login is not None and self._end_record(login)
            self._guard.discard(session)
            return ended
        finally:
            session.clear()

    def end_all(self, user_id: str) -> None:
        """End every login of a user, in every browser and worker."""
        mark = secrets.token_hex(8).encode()
        self._engine.put(self._key("mark", _digest(user_id)), mark, self._lifetime + MARK_MARGIN)
        self._announce("all")

    def news(self) -> News:
        """Return what changes whenever a login ends, in one read."""
        return tuple(self._engine.get_many(*self._news_keys(*range(NEWS_PARTS))))

    def version_of(self, login_id: str, news: News) -> News:
        """Return the part of the news that concerns a login: while it stays, so does the login."""
        return (news[0], news[1 + _part_of(login_id)]) if news else ()

    def reserve(self, login: Login, seconds: int) -> bool:
        """Say whether this worker is the one to ask CentralAuth about a login now."""
        return self._engine.add(self._key("asking", login.login_id), b"1", seconds)

    def release(self, login: Login) -> None:
        self._engine.delete(self._key("asking", login.login_id))

    def _end_record(self, login: Login) -> bool:
        ended = self._engine.delete(self._key("login", login.login_id))
        # For the workers that know it by heart, should its session ever come back.
        self._announce(str(_part_of(login.login_id)))
        return ended

    def _announce(self, part: str) -> None:
        self._engine.put(self._key("ended", part), secrets.token_hex(8).encode(), self._lifetime)

    def _news_keys(self, *parts: int) -> list[str]:
        return [self._key("ended", str(part)) for part in ("all", *parts)]

    def _ttl(self, login: Login) -> int:
        left = self._lifetime if login.until is None else login.until - time.time()
        return max(1, int(min(left, self._lifetime)))

    def _key(self, *parts: str) -> str:
        return ":".join(("centralauth", self._application, *parts))


_FIELDS: Final = ("login_id", "user_id", "token", "domain", "until", "generation", "started", "affirmed")


def _moments(stored: Any) -> tuple[float, float] | None:
    """Return a login's affirmation as the session kept it; a serializer may make a list of it."""
    if stored is None:
        return None
    theirs, ours = stored
    return float(theirs), float(ours)


def _part_of(login_id: str) -> int:
    return zlib.crc32(login_id.encode()) % NEWS_PARTS


def _digest(text: str) -> str:
    """Return a key part for a foreign text: short enough for memcached, no blanks."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
