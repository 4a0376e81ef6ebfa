"""States that every domain of the organization can verify.

A state says where and when its login began, signed with the key the domains share. It
proves that one of them began a login, never in which browser: whoever accepts one may start
something harmless for it, and must not log anybody in by it.

Source: "CentralAuth: callback" (autologin: the state is checked multiple times).
"""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Final

from itsdangerous import BadData, URLSafeSerializer

from .attempts import CLOCK_SKEW, MAIL_LIFETIME
from .config import Settings
from .redirects import origin_of

#: Seconds. A state is made before the person logs in, which may take as long as a mail does.
MAX_AGE: Final = MAIL_LIFETIME
#: Seconds to remember a used one: the clock of the domain that made it may be ahead.
USED_FOR: Final = MAX_AGE + CLOCK_SKEW


class SharedStates:
    """Makes and verifies the states of one application; neither while autologin is off."""

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.autologin_domains)
        self._lifetime = min(MAX_AGE, settings.login_lifetime)
        self._serializer = (
            URLSafeSerializer(
                settings.autologin_key,
                salt=f"flask_centralauth.autologin|{settings.client_id}",
                signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
            )
            if settings.autologin_key
            else None
        )

    def new_state(self, redirect_uri: str) -> str | None:
        """Return a fresh state of the domain a callback URL is at; None when it is not listed."""
        origin = origin_of(redirect_uri)
        if self._serializer is None or origin not in self._origins:
            return None
        return str(self._serializer.dumps([secrets.token_urlsafe(24), int(time.time()), origin]))

    def issuer_of(self, state: str) -> str | None:
        """Return the listed origin that made a state a short while ago, if one did."""
        if self._serializer is None:
            return None
        try:
            _token, made, issuer = self._serializer.loads(state)
        except (BadData, ValueError, TypeError):
            return None
        if not isinstance(made, int) or not isinstance(issuer, str):
            return None
        young = -CLOCK_SKEW <= time.time() - made <= self._lifetime
        return issuer if young and issuer in self._origins else None

    def is_carried(self, state: str, redirect_uri: str) -> bool:
        """Say whether another domain made a state, and this one takes part.

        :param redirect_uri: the callback the state arrived at.
        """
        here = origin_of(redirect_uri)
        return here in self._origins and self.issuer_of(state) not in (None, here)
