"""A started login: one signed cookie per attempt.

Not in the session, so that tabs restored together cannot overwrite each other and a
visitor who never finishes costs the store nothing. Bound to the browser by being its
cookie, to this application by the signature, and to one ``state`` by its digest.

Source: RFC 9700 §4.7 (CSRF), RFC 6265bis §4.1.3 (``__Host-``).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from itsdangerous import BadData, URLSafeSerializer
from werkzeug import Request, Response

from .config import Settings
from .translations import N_

MAX_ATTEMPTS: Final = 6
#: A Cookie header must stay below 4 KB, session cookie and others included.
MAX_COOKIE_BYTES: Final = 3000
#: Servers' clocks may differ by so many seconds.
CLOCK_SKEW: Final = 120

COOKIE_LOST: Final = N_(
    "Your browser did not keep our cookie, so this sign-in cannot be finished. Please allow cookies "
    "for this site and sign in again, in the browser where you started."
)

LOGIN: Final = "login"
AFFIRM: Final = "affirm"
#: Begun because a login at another domain was carried here (autologin).
CARRIED: Final = "carried"
#: A login by mail, in the browser that asked for it: CentralAuth knows no challenge of it.
DIRECT: Final = "direct"
#: The same in another browser, before and after the person presses the button.
CONFIRM: Final = "confirm"
BY_MAIL: Final = (DIRECT, CONFIRM)
#: Seconds a link in a mail is good for.
MAIL_LIFETIME: Final = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What one started login needs when the browser comes back.

    :param return_to: where the person wanted to go; already checked.
    :param user_id: whom an affirmation is for.
    :param affirmed: when CentralAuth said they affirmed last, epoch seconds of its clock; for a new one.
    :param form_token: what the page with the button has to send back (attack: CSRF).
    :param embedded: started in a frame on a page of the application.
    :param started: epoch seconds.
    """

    code_verifier: str
    redirect_uri: str
    return_to: str
    purpose: str = LOGIN
    user_id: str | None = None
    affirmed: float | None = None
    form_token: str | None = None
    embedded: bool = False
    started: int = 0

    def __repr__(self) -> str:
        return f"<Attempt {self.purpose}, {self.age} s old>"

    @property
    def age(self) -> int:
        """Seconds since it was started; never negative."""
        return max(0, int(time.time()) - self.started)


class AttemptCookies:
    """Seals attempts into cookies and finds them again.

    :param beside: those of every `CentralAuth` object of the application, to which this adds
        itself: what browsers send has to stay small for all of them together.
    """

    def __init__(self, settings: Settings, *, beside: list[AttemptCookies] | None = None) -> None:
        self._all = [] if beside is None else beside
        self._all.append(self)
        self._lifetime = settings.login_lifetime
        application = "|".join(
            (
                settings.client_id,
                settings.base_url,
                settings.url_prefix,
                settings.callback_url or "",
                settings.session_cookie_name,
                settings.session_cookie_path,
            )
        )
        # Part of the name: two applications on one host must not evict each other's, nor
        # take a login of the other for one of their own that lost its session.
        self._tag = hashlib.sha256(application.encode()).hexdigest()[:8]
        self._serializer, self._states, self._outcomes = (
            URLSafeSerializer(
                [key.encode() if isinstance(key, str) else key for key in settings.secret_keys],
                salt=f"flask_centralauth.{use}|{application}",
                signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
            )
            for use in ("attempt", "state", "outcome")
        )

    def new_state(self) -> str:
        """Return a fresh, unguessable state that can be recognized as our own later."""
        return str(self._states.dumps([secrets.token_urlsafe(24), int(time.time())]))

    def is_own_recent_state(self, state: str) -> bool:
        """Say whether this application made the state within a login's lifetime.

        Then a callback without its cookie means a browser that did not keep it, or
        another device; otherwise a link from elsewhere or long ago.
        """
        try:
            _token, made = self._states.loads(state)
        except (BadData, ValueError, TypeError):
            return False
        return isinstance(made, int) and self._is_recent(made)

    def save(self, response: Response, request: Request, state: str, attempt: Attempt) -> None:
        """Set the attempt's cookie and drop the oldest ones beyond the limits."""
        secure = attempt.redirect_uri.startswith("https:")
        value = str(self._serializer.dumps([_digest(state), asdict(attempt)]))
        room = MAX_COOKIE_BYTES - len(value)
        present = [started for cookies in self._all for started in cookies._present(request)]
        # Newest first.
        present.sort(key=lambda started: started[0], reverse=True)
        for position, (_started, cookies, other_name, other) in enumerate(present, start=1):
            room -= len(other)
            if position >= MAX_ATTEMPTS or room < 0:
                cookies._expire(response, other_name, other)
        name = self._name(state, secure=secure)
        # Only of this site's own frames: Partitioned keeps it from being a cookie for everybody.
        framed = attempt.embedded and secure
        _set(response, name, value, self._lifetime, secure=secure, framed=framed)

    def find(self, request: Request, state: str, *, redirect_uri: str) -> Attempt | None:
        """Return the browser's attempt for a state, or None when it has none.

        :param redirect_uri: the callback the browser is at; an attempt counts only there.
        """
        # On https only the name with __Host-: another one a sibling domain may have planted.
        name = self._name(state, secure=redirect_uri.startswith("https:"))
        # Two cookies of one name: likewise, and one of them may be good.
        for value in request.cookies.getlist(name):
            attempt = self._open(value, state)
            if attempt is not None and attempt.redirect_uri == redirect_uri:
                return attempt
        return None

    def has_unreadable(self, request: Request, state: str) -> bool:
        """Say whether the browser has a cookie for a state that this application cannot read.

        Then login and callback were served with different keys.
        """
        values = (
            value
            for secure in (True, False)
            for value in request.cookies.getlist(self._name(state, secure=secure))
        )
        return any(self._started(value) == 0 for value in values)

    def forget(self, response: Response, request: Request, state: str) -> None:
        """Delete the attempt's cookie: it counts once."""
        for name in (self._name(state, secure=secure) for secure in (True, False)):
            if name in request.cookies:
                self._expire(response, name, request.cookies[name])

    def save_outcome(self, response: Response, failures: int, *, secure: bool) -> None:
        """Remember how the browser's last login went, apart from any session.

        :param failures: logins that failed in a row; 0 after one that worked.
        """
        value = str(self._outcomes.dumps([failures, int(time.time())]))
        _set(response, self._outcome_name(secure), value, self._lifetime, secure=secure)

    def last_outcome(self, request: Request, *, secure: bool) -> tuple[int, int] | None:
        """Return failures in a row and the age in seconds of the last outcome, if known.

        :param secure: on https; then another name may be of a sibling domain, as for `find`.
        """
        try:
            failures, saved = self._outcomes.loads(request.cookies.get(self._outcome_name(secure), ""))
        except (BadData, TypeError, ValueError):
            return None
        return (failures, max(0, int(time.time()) - saved)) if self._is_recent(saved) else None

    def forget_outcome(self, response: Response, request: Request) -> None:
        """Delete the outcome: after a logout a new login starts from nothing."""
        for name in map(self._outcome_name, (True, False)):
            if name in request.cookies:
                self._expire(response, name)

    def _outcome_name(self, secure: bool) -> str:
        return f"{'__Host-' if secure else ''}centralauth-outcome_{self._tag}"

    def _open(self, value: str, state: str) -> Attempt | None:
        try:
            digest, content = self._serializer.loads(value)
            attempt = Attempt(**content)
        except (BadData, TypeError, ValueError):
            return None
        if not hmac.compare_digest(digest, _digest(state)) or not self._is_recent(attempt.started):
            return None
        if attempt.purpose in BY_MAIL and attempt.age > MAIL_LIFETIME + CLOCK_SKEW:
            return None
        return attempt

    def _is_recent(self, started: int) -> bool:
        return -CLOCK_SKEW <= time.time() - started <= self._lifetime

    def _present(self, request: Request) -> Iterator[tuple[int, AttemptCookies, str, str]]:
        """Yield our attempt cookies: when it was started, and its name and value."""
        prefix = f"centralauth_{self._tag}_"
        for name, value in request.cookies.items(multi=False):
            if name.removeprefix("__Host-").startswith(prefix):
                yield self._started(value), self, name, value

    def _started(self, value: str) -> int:
        started = self._content(value).get("started")
        return started if isinstance(started, int) else 0

    def _content(self, value: str) -> dict[str, Any]:
        """Return what is in a cookie of ours, whichever login it is for; nothing when unreadable."""
        try:
            content = self._serializer.loads(value)[1]
        except (BadData, TypeError, ValueError, IndexError):
            return {}
        return content if isinstance(content, dict) else {}

    def _name(self, state: str, *, secure: bool) -> str:
        return f"{'__Host-' if secure else ''}centralauth_{self._tag}_{_digest(state)[:16]}"

    def _expire(self, response: Response, name: str, value: str = "") -> None:
        secure = name.startswith("__Host-")
        # A partitioned cookie is another one than its namesake without.
        framed = secure and self._content(value).get("embedded", False)
        samesite = "None" if framed else "Lax"
        response.delete_cookie(
            name, path="/", secure=secure, httponly=True, samesite=samesite, partitioned=framed
        )


def _set(
    response: Response, name: str, value: str, seconds: int, *, secure: bool, framed: bool = False
) -> None:
    # Lax whatever the application uses: the callback comes from another site.
    samesite = "None" if framed else "Lax"
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=secure,
        httponly=True,
        samesite=samesite,
        partitioned=framed,
    )


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()
