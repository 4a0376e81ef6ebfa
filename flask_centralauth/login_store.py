"""Who is logged in: a record beside the session, and what the session says of it.

The session holds a login's id and its token; the record holds the user as last checked.
A session without a live record is not logged in, so whatever brings a session back after a
logout brings no login back.
"""

from __future__ import annotations

import hashlib
import secrets
import time
import zlib
from contextlib import suppress
from dataclasses import replace
from typing import Final

from flask import session

from .config import Settings
from .engines import Engine
from .errors import ErrorCode, ServiceUnavailable, SessionError
from .login_record import Record, decode, encode
from .login_session import Login, LoginSession, News
from .session_guard import SessionGuard
from .store_failures import StoreBreaker
from .unavailable_session import require_store

#: A mark outlives every login that began before it.
MARK_MARGIN: Final = 3600
#: Into so many parts the news of ended logins is divided: a logout makes workers look again
#: at this part of the logins they know, not at all of them.
NEWS_PARTS: Final = 256


class LoginStore:
    """Starts, reads and ends the logins of one `CentralAuth` object."""

    def __init__(self, settings: Settings, guard: SessionGuard) -> None:
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
        self._sessions = LoginSession(
            guard,
            identifier=settings.identifier,
            application=self._application,
            record_key=lambda login_id: self._key("login", login_id),
        )
        self.claimed_id: Final = self._sessions.claimed_id
        self.current: Final = self._sessions.current

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
        same_user = previous is not None and previous.user_id == user.id
        login = self._new_login(user.id, token, domain, lifetime)
        if affirmed is not None and previous is not None:
            # Of before: a `logout_user` that came meanwhile ends this too, at its first page view.
            login = replace(login, affirmed=affirmed, generation=previous.generation, version=())
        key = self._record_key(login)
        if not self._engine.add(key, encode(record), self._ttl(login)):  # pragma: no cover - the key is new
            raise ServiceUnavailable(ErrorCode.STORE_UNAVAILABLE, "the login record was not written")
        self._sessions.begin(login, same_user=same_user)
        if previous is not None:
            # The new login stands: the session of the one before is gone.
            renewed = True
            with suppress(ServiceUnavailable):
                renewed = self._end_record(previous)
            if affirmed is not None and not renewed:
                # A logout that came while it ran is final.
                with suppress(ServiceUnavailable):
                    self._engine.delete(key)
                self._sessions.take_back()
                raise SessionError(ErrorCode.SESSION_INACTIVE, "the login ended while it was renewed")
        return login

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

    def live(self, login: Login) -> Record | None:
        """Return the record of a login, or None when the login is over."""
        found, mark = self._engine.get_many(
            self._record_key(login), self._key("mark", _digest(login.user_id))
        )
        if found is None or (mark is not None and mark.decode() != login.generation):
            return None
        return decode(found)

    def update(self, login: Login, record: Record) -> bool:
        """Write a newer answer; False when the login ended meanwhile.

        Writing extends the login's life in the store, never beyond its token's.
        """
        return self._engine.replace(self._record_key(login), encode(record), self._ttl(login))

    def end(self, login: Login | None) -> bool:
        """End a login for good and empty this browser's session, in the store at once.

        What comes into the session afterwards gets a new id; logins of other `CentralAuth`
        objects stay. Return whether the login had a record until now.

        :raises ServiceUnavailable: the login may live on.
        """
        require_store(session)
        try:
            # The record first: discarding the session removes it too.
            ended = login is not None and self._end_record(login)
        except ServiceUnavailable:
            self._sessions.empty()
            raise
        self._sessions.end()
        return ended

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
        ended = self._engine.delete(self._record_key(login))
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

    def _record_key(self, login: Login) -> str:
        return self._key("login", login.login_id)

    def _key(self, *parts: str) -> str:
        return ":".join(("centralauth", self._application, *parts))


def _part_of(login_id: str) -> int:
    return zlib.crc32(login_id.encode()) % NEWS_PARTS


def _digest(text: str) -> str:
    """Return a key part for a foreign text: short enough for memcached, no blanks."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
