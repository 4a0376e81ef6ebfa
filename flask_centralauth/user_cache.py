"""The checked user: fast within the time to live, bound to the browser, calm in an outage.

A process keeps what it knows of a login in memory; the login record shares it between
processes. CentralAuth is asked when neither is fresh, or when address or browser differ
from those of the last answer, so that a stolen cookie is never served from memory.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from flask import current_app

from .background import BackgroundCalls
from .config import Settings
from .errors import (
    CentralAuthError,
    ConfigurationError,
    ErrorCode,
    PermissionDenied,
    RateLimitError,
    ServiceUnavailable,
    SessionError,
)
from .known_logins import Identity, Known, KnownLogins, Seen
from .login_record import Record
from .login_session import Login, News
from .login_store import LoginStore
from .policy import check_policy
from .recent import Recent
from .single_flight import SingleFlight, again
from .tally import Tally
from .user import User
from .visitor import Visitor, visitor_digest, visitor_of

if TYPE_CHECKING:
    from .client import CentralAuthClient

log = logging.getLogger("flask_centralauth")

#: Instead of a browser's digest: a login made by `testing.login_as`, never checked.
FOR_TESTS: Final = "testing.login_as"
#: How long a request that was under way may still ask about a login that has ended.
ENDED_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Counters:
    """What the checks of one process cost so far, for metrics.

    :param calls: HTTP calls to CentralAuth, logins and logouts included.
    :param failures: of these, the ones that failed for reasons of the service or the network.
    :param cache_hits: requests answered from this process's memory.
    :param shared_hits: requests answered from what another process had asked.
    :param stale_served: requests that went on with the last known user.
    :param breaker: ``closed``, ``open`` (nobody asks) or ``half-open`` (the next one finds out).
    :param store_breaker: the same of the session store.
    """

    calls: int
    failures: int
    cache_hits: int
    shared_hits: int
    stale_served: int
    breaker: str
    store_breaker: str


@dataclass(frozen=True, slots=True)
class _Check:
    """One question: is this login of this browser still good?"""

    login: Login
    visitor: Visitor
    seen: Seen | None
    fresh: bool
    version: News
    trusted_until: float | None = None
    last: Known | None = None

    @property
    def key(self) -> tuple[str, Visitor]:
        return self.login.login_id, self.visitor

    @property
    def fallback(self) -> Known | None:
        """The last answer, while it may stand in for one that is not to be had."""
        last = self.last
        return last if last is not None and time.monotonic() < last.usable_until else None


class UserCache:
    """Answers who a login is, asking CentralAuth as seldom as the settings allow."""

    def __init__(
        self, settings: Settings, store: LoginStore, client: Callable[[], CentralAuthClient]
    ) -> None:
        self._settings = settings
        self._store = store
        self._client = client
        self._known = KnownLogins(store, lambda: client().breaker.refuses)
        self.recall: Final = self._known.recall
        self.admission: Final = self._known.admission
        self.expect_news: Final = self._known.expect_news
        self._flights: SingleFlight[Identity | None] = SingleFlight()
        self._background = BackgroundCalls(self._flights)
        self._ended: Recent[str, CentralAuthError] = Recent(ENDED_SECONDS)
        self._shared_hits, self._stale_served = Tally(), Tally()

    @property
    def counters(self) -> Counters:
        client, known = self._client(), self._known
        return Counters(
            calls=client.calls.value,
            failures=client.failures.value,
            cache_hits=known.hits.value,
            shared_hits=self._shared_hits.value,
            stale_served=known.stale_served.value + self._stale_served.value,
            breaker=client.breaker.state,
            store_breaker=self._store.breaker.state,
        )

    def user_of(self, login: Login, seen: Seen, *, fresh: bool = False) -> Identity | None:
        """Return who a login is, or None when it has ended here.

        ``is_stale`` is set when CentralAuth could not be asked and the last answer is
        within the grace.

        :param fresh: wait for a check that is under way instead of going on with the old answer.
        :raises SessionError: CentralAuth says that the login is over.
        :raises PermissionDenied: the settings keep this user out.
        :raises CentralAuthError: it cannot be known now; the login stays.
        """
        version = self._known.version_of(login.login_id)
        visitor = visitor_of(*seen)
        known = self._known.get(login.login_id)
        if known is not None and known.seen is None and known.visitor == visitor:
            # A login that has just been made here.
            self._known.keep(replace(known, seen=seen))
        recalled = self.recall(login.login_id, seen, fresh)
        if recalled is not None:
            return recalled
        self._refuse_ended(login)
        record = self._store.live(login)
        if record is None:
            return None
        if record.visitor == FOR_TESTS and current_app.testing:
            check_policy(record.user, self._settings)
            return Identity(record.user, login)
        check = _Check(login, visitor, seen, fresh, version, record.trusted_until)
        answer = self._answer(replace(check, last=self._recorded(check, record)))
        if answer is not None:
            if answer.user.is_stale:
                self._stale_served.add()
            if answer.outdated:
                self._known.go_on(login.login_id)
        return answer

    def remember(self, login: Login, record: Record, visitor: Visitor) -> None:
        """Keep the answer a login has just begun with."""
        check = _Check(login, visitor, None, True, login.version, record.trusted_until)
        self._known.keep(self._fact(check, record.user, _moment_of(record.checked)))

    def forget(self, login: Login) -> User | None:
        """Drop what this process knows of a login, and return the user it knew."""
        known = self._known.forget(login.login_id)
        user = known.identity.user if known is not None else None
        return user if isinstance(user, User) else None

    def _answer(self, check: _Check) -> Identity | None:
        """Return the recorded answer while it counts, or ask for one of many parallel requests."""
        recorded = self._recorded_answer(check)
        if recorded is not None:
            return recorded
        if self._settings.user_ttl == 0:
            return self._ask(check)
        fallback = None if check.fresh else check.fallback
        if fallback is not None:
            return self._answer_in_time(check, fallback)
        answer = self._flights.run(check.key, lambda: self._lead(check), timeout=self._settings.timeout)
        if check.fresh and answer is not None and answer.outdated:
            return self._ask(check)
        return answer

    def _answer_in_time(self, check: _Check, fallback: Known) -> Identity | None:
        """Ask, and go on with the last answer where the new one is long in coming."""
        breaker = self._client().breaker.state
        if breaker == "open":
            return fallback.stale
        instead = fallback.outdated()
        if breaker == "half-open":
            # Who finds out whether CentralAuth is back has no reason to wait for it.
            instead = replace(fallback.stale, outdated=True)
        return self._background.run(
            check.key, lambda: self._lead(check), instead=instead, waits=breaker == "closed"
        )

    def _recorded_answer(self, check: _Check) -> Identity | None:
        answer = None if check.last is None else check.last.answer(time.monotonic(), fresh=check.fresh)
        if answer is not None:
            self._shared_hits.add()
        return answer

    def _lead(self, check: _Check) -> Identity | None:
        """Ask, unless another request or process does or has just done so."""
        login = check.login
        self._refuse_ended(login)
        fallback = None if check.fresh else check.fallback
        if fallback is not None and not self._store.reserve(login, math.ceil(self._settings.timeout)):
            return fallback.outdated()
        try:
            record = self._store.live(login)
            if record is None:
                return None
            check = replace(check, last=self._recorded(check, record))
            return self._recorded_answer(check) or self._ask(check)
        except (SessionError, PermissionDenied) as problem:
            # Before those who wait go on, and those who come find nobody asking. Who began this may be
            # gone: the next request ends the login.
            self._ended.put(login.login_id, again(problem))
            self._known.distrust(login.login_id)
            raise
        finally:
            if fallback is not None:
                # What cannot be released expires.
                with suppress(ServiceUnavailable):
                    self._store.release(login)

    def _refuse_ended(self, login: Login) -> None:
        ended = self._ended.get(login.login_id)
        if ended is not None:
            raise again(ended)

    def _ask(self, check: _Check) -> Identity | None:
        login = check.login
        try:
            user = self._client().userinfo(login.token, domain=login.domain, visitor=check.visitor)
        except (ServiceUnavailable, RateLimitError, ConfigurationError) as problem:
            return self._unknown(check, problem)
        if user.id != login.user_id:
            raise SessionError(ErrorCode.SESSION_INVALID, "the token now names another user")
        check_policy(user, self._settings)
        record = Record(user, time.time(), visitor_digest(check.visitor), check.trusted_until)
        if not self._store.update(login, record):
            return None
        return self._known.keep(self._fact(check, user, time.monotonic())).identity

    def _unknown(self, check: _Check, problem: CentralAuthError) -> Identity:
        fallback = check.fallback
        if fallback is None:
            raise problem
        if problem.facts.get("asked", True):
            log.warning("CentralAuth cannot say whether a login goes on; it goes on for now. %s", problem)
        return fallback.stale

    def _recorded(self, check: _Check, record: Record) -> Known | None:
        """Return the last answer for this very browser, or None when it was another."""
        if record.visitor != visitor_digest(check.visitor):
            return None
        try:
            check_policy(record.user, self._settings)
        except PermissionDenied:
            return None
        fact = self._fact(check, record.user, _moment_of(record.checked))
        known = self._known.get(check.login.login_id)
        if known is not None and known.visitor == check.visitor and known.checked > fact.checked:
            # CentralAuth was asked since the record was read, or the clock was set.
            fact = replace(known, seen=check.seen, version=check.version, news=None)
        return self._known.keep(fact)

    def _fact(self, check: _Check, user: User, checked: float) -> Known:
        fresh_until = checked + self._settings.user_ttl
        trusted_until = -math.inf
        if check.trusted_until is not None and self._settings.unsafe_local_id_token:
            trusted_until = time.monotonic() + check.trusted_until - time.time()
        return Known(
            check.login,
            identity=Identity(user, check.login),
            stale=Identity(user.stale(), check.login),
            visitor=check.visitor,
            seen=check.seen,
            version=check.version,
            checked=checked,
            fresh_until=fresh_until,
            trusted_until=trusted_until,
            # No grace for a token: what has expired is no answer in an outage either.
            usable_until=max(fresh_until + self._settings.stale_grace, trusted_until),
        )


def _moment_of(checked: float) -> float:
    """Return a wall-clock time of a record as a monotonic one."""
    # A date in the future comes from a clock that was set: as bad as one in the past.
    return time.monotonic() - abs(time.time() - checked)
