"""Logins by mail that wait for their link, and who asked for how many. Shared by all workers.

The link may be opened in a browser that never started the login, so what the attempt's
cookie holds is kept here too, without anything that names the person in full.

Source: "CentralAuth: direct authentication" (links live 15 minutes; ``allowedDate``).
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import logging
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final

from .attempts import MAIL_LIFETIME
from .config import Settings
from .errors import ErrorCode, RateLimitError, ServiceUnavailable
from .mail_address import spelled_once
from .session_guard import SessionGuard
from .strict_json import UnusableJSON, loads_object

log = logging.getLogger("flask_centralauth")

#: Mails within `MAIL_LIFETIME` (attack: bombing a mailbox, or many from one machine).
MAILS_PER_ADDRESS: Final = 5
MAILS_PER_CLIENT: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLogin:
    """A login whose mail is on its way. ``address`` is masked: strangers may see it."""

    redirect_uri: str
    return_to: str
    address: str


class MailLogins:
    """What the store knows of one application's logins by mail."""

    def __init__(self, settings: Settings, guard: SessionGuard) -> None:
        self._engine = guard.engine
        application = f"{guard.application}|{settings.client_id}|{settings.base_url}|{settings.url_prefix}"
        self._application = hashlib.sha256(application.encode()).hexdigest()[:16]

    def begin(self, state: str, login: WaitingLogin) -> None:
        """Let a login wait for its link.

        :raises ServiceUnavailable: the store did not take it.
        """
        self._engine.put(self._key("waiting", state), json.dumps(asdict(login)).encode(), MAIL_LIFETIME)

    def find(self, state: str) -> WaitingLogin | None:
        """Return the login that waits for a link with this state, if any."""
        (found,) = self._engine.get_many(self._key("waiting", state))
        try:
            return None if found is None else WaitingLogin(**loads_object(found))
        except (UnusableJSON, TypeError):
            return None

    def forget(self, state: str) -> None:
        """Let a login wait no more: its link was used.

        Tidying up, which must not cost the login: a link is used once because its state is claimed.
        """
        with suppress(ServiceUnavailable):
            self._engine.delete(self._key("waiting", state))

    def admit(self, address: str, client: str | None) -> None:
        """Count one more mail.

        :param client: the visitor's IP address; a whole /64 of IPv6 is one client.
        :raises RateLimitError: there were too many, to an address or for a client. Counted
            whoever the address belongs to, so it does not tell whether anybody has it.
        """
        for name, who, limit in (
            ("by_client", _network(client), MAILS_PER_CLIENT),
            ("by_address", spelled_once(address), MAILS_PER_ADDRESS),
        ):
            # Numbered slots, because not every store can count in one step.
            slots = [self._key(name, f"{who}|{number}") for number in range(limit)]
            free = [key for key, taken in zip(slots, self._engine.get_many(*slots), strict=True) if not taken]
            if not any(self._engine.add(key, b"1", MAIL_LIFETIME) for key in free):
                raise RateLimitError(
                    ErrorCode.TOO_MANY_REQUESTS, f"too many mails {name}", retry_after=MAIL_LIFETIME
                )

    def pause(self, address: str, seconds: int) -> None:
        """Remember that CentralAuth sends the next mail to an address only after a while.

        Where that fails, CentralAuth says so again. The mail is under way, so its asker is told of no error.
        """
        try:
            self._engine.put(self._key("pause", spelled_once(address)), b"1", max(1, min(seconds, 86_400)))
        except ServiceUnavailable as failure:
            log.error("How long an address waits for its next mail was not kept: %s", failure)

    def is_paused(self, address: str) -> bool:
        """Say whether CentralAuth would not send a mail to an address yet."""
        return self._engine.get_many(self._key("pause", spelled_once(address))) != [None]

    def _key(self, use: str, what: str) -> str:
        digest = hashlib.sha256(what.encode("utf-8", "replace")).hexdigest()[:32]
        return f"centralauth:{self._application}:mail_{use}:{digest}"


def new_form_token() -> str:
    """Return what the page with the button has to send back."""
    return secrets.token_urlsafe(24)


def _network(client: str | None) -> str:
    try:
        address = ipaddress.ip_address(client or "")
    except ValueError:
        return ""
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)
