"""The checked user: fast within the time to live, bound to the browser, calm in an outage.

A process keeps what it knows of a login in memory; the login record shares it between
processes. CentralAuth is asked when neither is fresh, or when address, browser or device
differ from those of the last answer, so that a stolen cookie is never served from memory.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flask import current_app

from .config import Settings
from .errors import (
    CentralAuthError,
    ConfigurationError,
    ErrorCode,
    RateLimitError,
    ServiceUnavailable,
    SessionError,
)
from .login_store import Login, LoginStore, Record
from .user import User
from .visitor import Visitor

if TYPE_CHECKING:
    from .client import CentralAuthClient

#: A logout elsewhere is noticed within a second.
VERSION_SECONDS: Final = 0.8
MAX_KNOWN: Final = 10_000
#: Instead of a browser's digest: a login made by `testing.login_as`, never checked.
FOR_TESTS: Final = "testing.login_as"


@dataclass(slots=True)
class CacheCounters:
    """What the checks of this process cost, for metrics."""

    hits: int = 0
    shared_hits: int = 0
    asked: int = 0
    stale_served: int = 0


@dataclass(frozen=True, slots=True)
class _Known:
    user: User
    #: Monotonic seconds, so that a clock that is set does not sign anybody out.
    checked: float
    visitor: Visitor
    version: bytes | None


class UserCache:
    """Answers who a login is, asking CentralAuth as seldom as the settings allow."""

    def __init__(
        self, settings: Settings, store: LoginStore, client: Callable[[], CentralAuthClient]
    ) -> None:
        self._settings = settings
        self._store = store
        self._client = client
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()
        self._asking: dict[tuple[str, Visitor], threading.Event] = {}
        self._version: bytes | None = None
        self._version_read = -math.inf
        self.counters = CacheCounters()

    def user_of(self, login: Login, visitor: Visitor) -> User | None:
        """Return the user of a login, or None when the login has ended.

        ``is_stale`` is set when CentralAuth could not be asked and the last answer is
        within the grace.

        :raises SessionError: CentralAuth says that the login is over.
        :raises CentralAuthError: it cannot be known now; the login stays.
        """
        now = time.monotonic()
        version = self._current_version(now)
        known = self._known.get(login.login_id)
        if (
            known is not None
            and known.version == version
            and now - known.checked < self._settings.user_ttl
            and known.visitor == visitor
        ):
            self.counters.hits += 1
            return known.user
        return self._look_up(login, visitor, known, version)

    def remember(self, login: Login, user: User, visitor: Visitor) -> None:
        """Keep an answer CentralAuth has just given."""
        self._keep(login, _Known(user, time.monotonic(), visitor, self._current_version(time.monotonic())))

    def forget(self, login: Login) -> None:
        """Drop what this process knows of a login, and look at the others' news at once."""
        with self._lock:
            self._known.pop(login.login_id, None)
        self._version_read = -math.inf

    def _current_version(self, now: float) -> bytes | None:
        if now - self._version_read >= VERSION_SECONDS:
            # Set first: one thread reads, the others go on with what is a moment old.
            self._version_read = now
            try:
                self._version = self._store.version()
            except ServiceUnavailable:
                self._version_read = -math.inf
                raise
        return self._version

    def _look_up(
        self, login: Login, visitor: Visitor, known: _Known | None, version: bytes | None
    ) -> User | None:
        record = self._store.live(login)
        if record is None:
            self.forget(login)
            return None
        if record.visitor == FOR_TESTS and current_app.testing:
            return record.user
        shared = self._from_record(record, visitor, known, version)
        if shared is not None and time.monotonic() - shared.checked < self._settings.user_ttl:
            self.counters.shared_hits += 1
            self._keep(login, shared)
            return shared.user
        if self._settings.user_ttl == 0:
            return self._ask(login, visitor, shared)
        return self._ask_once(login, visitor, shared)

    def _from_record(
        self, record: Record, visitor: Visitor, known: _Known | None, version: bytes | None
    ) -> _Known | None:
        """Return the last answer for this very browser, or None when it was another."""
        if record.visitor != visitor_digest(visitor):
            return None
        checked = time.monotonic() - max(0.0, time.time() - record.checked)
        if known is not None and known.visitor == visitor:
            checked = max(checked, known.checked)
        return _Known(record.user, checked, visitor, version)

    def _ask_once(self, login: Login, visitor: Visitor, last: _Known | None) -> User | None:
        """Ask for one of many parallel requests; the others go on with the last answer."""
        key = (login.login_id, visitor)
        with self._lock:
            running = self._asking.get(key)
            if running is None:
                self._asking[key] = threading.Event()
        if running is not None:
            if last is not None and self._within_grace(last):
                return last.user
            running.wait(self._settings.timeout)
            answered = self._known.get(login.login_id)
            if answered is not None and answered.visitor == visitor:
                return answered.user
            return self._last_known(
                last, ServiceUnavailable(ErrorCode.NETWORK_ERROR, "the check took too long")
            )
        try:
            if last is not None and self._within_grace(last) and not self._reserve(login):
                return last.user
            return self._ask(login, visitor, last)
        finally:
            with self._lock:
                self._asking.pop(key).set()

    def _reserve(self, login: Login) -> bool:
        return self._store.reserve(login, math.ceil(self._settings.timeout))

    def _ask(self, login: Login, visitor: Visitor, last: _Known | None) -> User | None:
        self.counters.asked += 1
        try:
            user = self._client().userinfo(login.token, domain=login.domain, visitor=visitor)
        except SessionError:
            self.forget(login)
            raise
        except (ServiceUnavailable, RateLimitError, ConfigurationError) as problem:
            return self._last_known(last, problem)
        if user.id != login.user_id:
            self.forget(login)
            raise SessionError(ErrorCode.SESSION_INVALID, "the token now names another user")
        if not self._store.update(login, Record(user, time.time(), visitor_digest(visitor))):
            self.forget(login)
            return None
        self._keep(login, _Known(user, time.monotonic(), visitor, self._version))
        return user

    def _last_known(self, last: _Known | None, problem: CentralAuthError) -> User:
        if last is None or not self._within_grace(last):
            raise problem
        self.counters.stale_served += 1
        return last.user.stale()

    def _within_grace(self, last: _Known) -> bool:
        age = time.monotonic() - last.checked
        return age < self._settings.user_ttl + self._settings.stale_grace

    def _keep(self, login: Login, known: _Known) -> None:
        with self._lock:
            self._known.pop(login.login_id, None)
            self._known[login.login_id] = known
            if len(self._known) > MAX_KNOWN:
                del self._known[next(iter(self._known))]


def visitor_digest(visitor: Visitor) -> str:
    """Return what a record keeps of a browser: enough to notice another one."""
    parts = (visitor.ip or "", visitor.user_agent, visitor.device_id or "")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
