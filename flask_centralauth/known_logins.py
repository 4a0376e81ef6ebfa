"""What this process knows of the logins it has seen: enough for most page views to ask nobody."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from flask import session

from .errors import CentralAuthError, ServiceUnavailable
from .login_session import Login, News
from .login_store import LoginStore
from .names import session_key
from .request_notes import IN_FORCE, PRIVATE, current_request, identity_key
from .tally import Tally
from .user import AnonymousUser, User
from .visitor import Visitor

#: A logout elsewhere is noticed within a second.
VERSION_SECONDS: Final = 0.8
#: How long an old answer does unseen once a request had to go on with it: views that look
#: whether there is a new one would make a slow CentralAuth a slow application.
OLD_SECONDS: Final = 0.25
MAX_KNOWN: Final = 10_000

#: Says whether the current request is of a user, when nobody has to be asked; see `KnownLogins.admission`.
Admission = Callable[[], bool]

#: Address and ``User-Agent`` of a request, as they came.
Seen = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who makes a request.

    :param problem: why nobody is logged in, where there is a reason.
    :param outdated: good enough for a page that does not insist on a fresh answer: CentralAuth
        is being asked just now, or nobody asks because of the id token.
    """

    user: User | AnonymousUser
    login: Login | None = None
    problem: CentralAuthError | None = None
    outdated: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """An answer of CentralAuth about a login.

    Moments are monotonic seconds: a clock that is set signs nobody out.

    :param stale: the same identity, for while CentralAuth cannot be asked.
    :param seen: the request the answer was for; None before its first page view.
    :param version: `LoginStore.version_of` the login, from before the answer was known to count.
    :param news: what the version was last compared with.
    :param trusted_until: how long the login's id token stands in for CentralAuth.
    :param usable_until: how long it stands in for an answer that is not to be had.
    :param old_until: how long nobody looks whether there is a newer one.
    """

    login: Login
    identity: Identity
    stale: Identity
    visitor: Visitor
    seen: Seen | None
    version: News
    checked: float
    fresh_until: float
    trusted_until: float
    usable_until: float
    old_until: float = -math.inf
    news: News | None = None

    def answer(self, now: float, *, fresh: bool) -> Identity | None:
        """Return who it is, when nobody has to be asked."""
        if now < self.fresh_until:
            return self.identity
        return self.outdated() if now < self.trusted_until and not fresh else None

    def outdated(self) -> Identity:
        return replace(self.identity, outdated=True)

    def distrusted(self) -> Known:
        never = -math.inf
        return replace(self, fresh_until=never, trusted_until=never, usable_until=never)


class KnownLogins:
    """The logins a process has seen last. Thread-safe.

    :param refuses: whether asking CentralAuth would be refused now, without asking.
    """

    def __init__(self, store: LoginStore, refuses: Callable[[], bool]) -> None:
        self._store = store
        self._refuses = refuses
        self._known: dict[str, Known] = {}
        self._lock = threading.Lock()
        self._news: News = ()
        #: When the news is too old.
        self._news_until = -math.inf
        self.hits: Final = Tally()
        self.stale_served: Final = Tally()

    def recall(self, login_id: str, seen: Seen, fresh: bool = False) -> Identity | None:
        """Return what is known of a login when nobody has to be asked about it."""
        known = self._known.get(login_id)
        now = time.monotonic()
        if (
            known is None
            or known.seen != seen
            or now >= self._news_until
            or (known.news is not self._news and not self._is_unconcerned(known))
        ):
            return None
        return self._answer(known, now, fresh=fresh)

    def _answer(self, known: Known, now: float, *, fresh: bool) -> Identity | None:
        answer = known.answer(now, fresh=fresh)
        if answer is not None:
            self.hits.add()
            return answer
        if fresh or now >= known.usable_until:
            # Whoever insists waits for the call that finds out whether CentralAuth is back.
            return None
        if self._refuses():
            self.stale_served.add()
            return known.stale
        if now < known.old_until:
            self.hits.add()
            return known.outdated()
        return None

    def admission(self, state: object, identifier: str, application: object) -> Admission:
        """Return what lets a request in when nobody has to be asked: nearly always.

        One flat function that also notes what is known then, because every view of a guarded page
        pays it and each call in it would cost a tenth of a microsecond. It decides nothing that
        `recall` would not decide alike, and what is not as it mostly is it leaves to that. In an
        outage old answers are what there mostly is.

        :param state: of the `CentralAuth` object whose users it lets in, put in force then.
        :param identifier: of that object.
        :param application: what `state` has in common with its siblings. A guard may be of a view
            that several applications serve, and bring what another of them has given it.
        """
        known_logins, add_hit, get = self._known, self.hits.add, dict.get
        key, identity_noted = session_key(identifier), identity_key(identifier)
        current_session: Callable[[], Any] = session._get_current_object  # type: ignore[attr-defined]

        def admits() -> bool:
            current, held = current_request(), current_session()
            environ, noted = current.environ, current.__dict__
            # What the session's own `get` does.
            held.accessed = True
            claimed: Any = get(held, key)
            try:
                known: Any = known_logins[claimed["login_id"]]
                address, user_agent = known.seen
                in_force: Any = noted[IN_FORCE]
            except (KeyError, TypeError):
                # A guest, a login that is not known here, or a damaged session.
                return False
            now = time.monotonic()
            if (
                now >= self._news_until
                or known.news is not self._news
                or address != current.remote_addr
                or user_agent != environ.get("HTTP_USER_AGENT")
                or (in_force is not state and in_force.application is not application)
                or identity_noted in noted
                or "HTTP_AUTHORIZATION" in environ
            ):
                return False
            found: Identity | None = known.identity
            if now < known.fresh_until:
                add_hit()
            elif (found := self._answer(known, now, fresh=False)) is None:
                return False
            noted[IN_FORCE], noted[identity_noted] = state, found
            noted[PRIVATE] = True
            return True

        return admits

    def get(self, login_id: str) -> Known | None:
        """Return the last answer about a login, however old and for whichever browser."""
        return self._known.get(login_id)

    def keep(self, known: Known) -> Known:
        login_id, news = known.login.login_id, self._news
        if known.version == self._store.version_of(login_id, news):
            # Or the next view would have to look.
            known = replace(known, news=news)
        with self._lock:
            self._known.pop(login_id, None)
            self._known[login_id] = known
            if len(self._known) > MAX_KNOWN:
                del self._known[next(iter(self._known))]
        return known

    def go_on(self, login_id: str) -> None:
        """Let the old answer about a login do for a moment."""
        old_until = time.monotonic() + OLD_SECONDS
        self._change(login_id, lambda known: replace(known, old_until=old_until))

    def distrust(self, login_id: str) -> None:
        """Let nobody in by what is known of a login; only say who it was."""
        self._change(login_id, Known.distrusted)

    def _change(self, login_id: str, change: Callable[[Known], Known]) -> None:
        with self._lock:
            known = self._known.get(login_id)
            if known is not None:
                self._known[login_id] = change(known)

    def forget(self, login_id: str) -> Known | None:
        """Drop what is known of a login, and look at the other processes' news at once."""
        with self._lock:
            known = self._known.pop(login_id, None)
        self.expect_news()
        return known

    def expect_news(self) -> None:
        """Look at the next request what has ended meanwhile, not within a second."""
        self._news_until = -math.inf

    def version_of(self, login_id: str) -> News:
        """Return what changes when a login ends elsewhere, as of less than a second ago.

        :raises ServiceUnavailable: the store could not be asked.
        """
        return self._store.version_of(login_id, self._current_news())

    def _is_unconcerned(self, known: Known) -> bool:
        """Say whether the news is about other logins; then it need not be looked at again."""
        news, login_id = self._news, known.login.login_id
        if known.version != self._store.version_of(login_id, news):
            return False
        with self._lock:
            if self._known.get(login_id) is known:
                self._known[login_id] = replace(known, news=news)
        return True

    def _current_news(self) -> News:
        now = time.monotonic()
        if now < self._news_until:
            return self._news
        # Set first: one thread reads, the others go on with what is a moment old.
        self._news_until = until = now + VERSION_SECONDS
        try:
            news = self._store.news()
        except ServiceUnavailable:
            self._news_until = -math.inf
            raise
        if news == self._news:
            return self._news
        if self._news_until == until:
            # Else somebody logged out here meanwhile, and this may be from before.
            self._news = news
        return news

    def __len__(self) -> int:
        return len(self._known)
