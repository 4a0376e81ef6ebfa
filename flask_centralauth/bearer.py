"""Requests that bring an access token of their own: native apps and scripts.

No cookie, no session: ``Authorization: Bearer <access token>``, and ``device-id`` where the
token was made for a device. Whoever brings a token is judged by it alone.

Source: RFC 6750 §2.1, §3.1; "CentralAuth: userinfo".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from flask import current_app

from .access_token import is_of_an_emulator, is_well_formed
from .config import Settings
from .errors import CentralAuthError, ErrorCode, RateLimitError, SessionError
from .policy import check_policy
from .recent import Recent
from .single_flight import SingleFlight, again
from .user import User
from .visitor import Visitor

if TYPE_CHECKING:
    from .client import CentralAuthClient

#: A token that was refused is not asked about again for so many seconds.
REFUSAL_SECONDS: Final = 5.0
#: An address whose tokens were refused so often within so many seconds has to wait.
MAX_REFUSALS: Final = 20
COUNTING_SECONDS: Final = 10.0

#: What an answer is kept under: a digest, so that no token stays in memory, and the browser
#: and device it was given for, so that a stolen token is asked about.
_Key = tuple[bytes, Visitor]


class BearerUsers:
    """Answers whose access token a request brings. Nothing of it is written anywhere."""

    def __init__(self, settings: Settings, client: Callable[[], CentralAuthClient]) -> None:
        self._settings = settings
        self._client = client
        self._users: Recent[_Key, User] = Recent(settings.user_ttl)
        # Apart from the users: many invented tokens must not push out the good ones.
        self._refusals: Recent[_Key, CentralAuthError] = Recent(REFUSAL_SECONDS)
        # One cell per address, so that counting does not make it young again.
        self._refused: Recent[str | None, list[int]] = Recent(COUNTING_SECONDS)
        self._flights: SingleFlight[User] = SingleFlight()

    def user_of(self, token: str, *, domain: str, visitor: Visitor) -> User:
        """Return the user of an access token.

        :param domain: origin of the application, as whitelisted.
        :raises SessionError: the token is malformed, or CentralAuth does not accept it.
        :raises PermissionDenied: the settings keep this user out.
        :raises RateLimitError: this address has just brought too many bad tokens.
        :raises ServiceUnavailable: it cannot be known now.
        """
        if not is_well_formed(token):
            raise SessionError(ErrorCode.TOKEN_INVALID, "the bearer token is malformed")
        if is_of_an_emulator(token) and not self._emulator_allowed():
            raise SessionError(ErrorCode.TOKEN_INVALID, "the bearer token was made by an emulator")
        key = (hashlib.sha256(token.encode()).digest(), visitor)
        user = self._users.get(key)
        if user is not None:
            return user
        refusal = self._refusals.get(key)
        if refusal is not None:
            raise again(refusal)
        # Attack: inventing tokens, each of which would cost a call.
        if (self._refused.get(visitor.ip) or [0])[0] >= MAX_REFUSALS:
            raise RateLimitError(
                ErrorCode.TOO_MANY_REQUESTS, "too many bad bearer tokens", retry_after=int(COUNTING_SECONDS)
            )
        if self._settings.user_ttl == 0:
            return self._ask(key, token, domain)
        return self._flights.run(
            key,
            lambda: self._users.get(key) or self._ask(key, token, domain),
            timeout=self._settings.timeout,
        )

    def _ask(self, key: _Key, token: str, domain: str) -> User:
        try:
            user = self._client().userinfo(token, domain=domain, visitor=key[1])
        except SessionError as problem:
            self._refusals.put(key, again(problem))
            self._count_refusal(key[1].ip)
            raise
        check_policy(user, self._settings)
        self._users.put(key, user)
        return user

    def _count_refusal(self, address: str | None) -> None:
        counted = self._refused.get(address)
        if counted is None:
            self._refused.put(address, [1])
        else:
            counted[0] += 1

    def _emulator_allowed(self) -> bool:
        return current_app.debug or current_app.testing or self._settings.base_is_loopback
