"""Every HTTP call to CentralAuth.

Knows nothing of Flask. What comes back is either right, typed and small, or one of our
own errors; exceptions of requests and urllib3, which carry tokens and secrets in their
request objects, end here.

Source: "CentralAuth: verify", "CentralAuth: userinfo", "CentralAuth: logout";
RFC 9700 §4.12 (no redirects).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import requests
from authlib.integrations.requests_client import OAuth2Session
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import HTTPError

from .access_token import MAX_TOKEN
from .breaker import Breaker
from .client_secrets import ClientSecrets
from .dates import parse_date
from .deadline import Reply, Transport
from .errors import (
    CentralAuthError,
    ConfigurationError,
    ErrorCode,
    RateLimitError,
    ServiceUnavailable,
    SessionError,
)
from .protocol import AUTHENTICATE_DIRECT_PATH, LOGOUT_PATH, USERINFO_PATH, VERIFY_PATH
from .replies import (
    is_outage,
    json_of,
    refusal,
    refuses_client,
    retry_after,
    unusable_answers,
    wait_of_one_address,
)
from .strict_json import UnusableJSON
from .tally import Tally
from .user import User, parse_user
from .visitor import Visitor

if TYPE_CHECKING:
    from .config import Settings

#: How the codes begin that say definitely that a login is over.
_OVER: Final = ("session", "token")
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a code was exchanged for. ``lifetime`` in seconds; None when unlimited."""

    access_token: str = field(repr=False)
    lifetime: float | None
    #: As it came: whoever trusts it has to look into it.
    id_token: str | None = field(default=None, repr=False)


class TokenSession(OAuth2Session):  # type: ignore[misc]  # Authlib ships no types
    """Authlib's session for the code exchange, on our transport and with our errors."""

    def __init__(self, send: Callable[..., Reply], **options: Any) -> None:
        super().__init__(**options)
        self._send = send

    def request(
        self, method: str, url: str, withhold_token: bool = False, auth: Any = None, **parts: Any
    ) -> Reply:
        # Authlib's own authentication knows one secret.
        return self._send(method, url, **parts)

    def parse_response_token(self, resp: Reply) -> dict[str, Any]:
        # Authlib takes the JSON of a 4xx reply for a token unless it has "error".
        return json_of(resp)


class CentralAuthClient:
    """The calls of one application. Thread-safe and fork-safe.

    Every method raises a `CentralAuthError` of the family that fits, and nothing else.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._secrets = ClientSecrets(settings.client_secrets)
        self.transport = Transport(timeout=settings.timeout)
        self.breaker = Breaker(longest_call=settings.timeout + 1)
        #: Calls made, and those that failed for reasons of the service or the network.
        self.calls: Final = Tally()
        self.failures: Final = Tally()
        #: What Authlib makes its sessions with.
        self.token_session = partial(TokenSession, self._ask)

    def tokens(self, answer: Mapping[str, Any]) -> Tokens:
        """Return the checked tokens of a successful ``verify`` reply."""
        with unusable_answers(VERIFY_PATH):
            access_token = answer.get("access_token")
            if not isinstance(access_token, str) or not _is_token(access_token):
                raise UnusableJSON("access_token is missing or malformed")
            id_token = answer.get("id_token")
            return Tokens(access_token, _lifetime(answer), id_token if isinstance(id_token, str) else None)

    def userinfo(self, access_token: str, *, domain: str, visitor: Visitor) -> User:
        """Return the user of an access token, as CentralAuth sees them now.

        :param domain: origin of the application, as whitelisted.
        :raises SessionError: this login is definitely over.
        :raises ServiceUnavailable: it cannot be known now.
        """
        headers = {"user-agent": visitor.user_agent, "Content-Type": "text/plain"}
        if visitor.ip:
            headers["auth-ip"] = visitor.ip
        if visitor.device_id:
            headers["device-id"] = visitor.device_id
        try:
            reply = self._post(USERINFO_PATH, access_token, params={"domain": domain}, headers=headers)
            with unusable_answers(USERINFO_PATH):
                return parse_user(json_of(reply))
        except (ConfigurationError, RateLimitError, ServiceUnavailable):
            raise
        except CentralAuthError as error:
            if isinstance(error, SessionError) and error.error_code.startswith(_OVER):
                raise
            # A code that makes no sense here says nothing about the login.
            raise ServiceUnavailable(ErrorCode.NETWORK_ERROR, str(error)) from None

    def logout(self, access_token: str) -> None:
        """End the session behind a token for every application of the organization."""
        reply = self._post(
            LOGOUT_PATH, access_token, headers={"Content-Type": "text/plain"}, wants_json=False
        )
        if reply.status != 200:
            raise refusal(reply)

    def authenticate_direct(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Let CentralAuth mail a login link; return what it says about it.

        An address that has to wait for its next mail is no error: ``allowedDate`` says how long.
        """
        reply = self._ask("POST", self._settings.base_url + AUTHENTICATE_DIRECT_PATH, json=content)
        return wait_of_one_address(reply) or json_of(reply)

    def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Reply:
        """Return the reply to a GET, as it came, without credentials, for ``flask centralauth check``."""
        return self._send("GET", url, headers=headers, wants_json=False)

    def _post(self, path: str, token: str, **parts: Any) -> Reply:
        return self._ask("POST", self._settings.base_url + path, data=token.encode(), **parts)

    def _ask(self, method: str, url: str, **parts: Any) -> Reply:
        """Send as this client: with its other secret where CentralAuth refuses the first."""
        for secret in self._secrets:
            reply = self._send(method, url, auth=HTTPBasicAuth(self._settings.client_id, secret), **parts)
            if not refuses_client(reply):
                self._secrets.accept(secret)
                break
        return reply

    def _send(self, method: str, url: str, *, wants_json: bool = True, **parts: Any) -> Reply:
        if not self.breaker.admits():
            raise ServiceUnavailable(
                ErrorCode.NETWORK_ERROR,
                "not asked: it failed repeatedly",
                retry_after=self.breaker.retry_after(),
                facts={"asked": False},
            )
        self.calls.add()
        try:
            reply = self.transport.send(method, url, **parts)
        except (requests.RequestException, HTTPError, OSError, ValueError) as failure:
            self._failed(None)
            # The exception holds the request with token and secret: only names go on.
            raise ServiceUnavailable(ErrorCode.NETWORK_ERROR, f"no reply ({_names(failure)})") from None
        if is_outage(reply, wants_json=wants_json):
            self._failed(retry_after(reply))
        else:
            self.breaker.succeeded()
        return reply

    def _failed(self, retry_after: int | None) -> None:
        self.failures.add()
        self.breaker.failed(retry_after=retry_after)


def _names(failure: BaseException) -> str:
    """Return the kinds of an exception and of those behind it, and nothing they carry."""
    names: list[str] = []
    link: BaseException | None = failure
    while link is not None and len(names) < 4:
        names.append(type(link).__name__)
        link = link.__cause__ or link.__context__
    return ", ".join(names)


def _is_token(value: str) -> bool:
    return len(value) <= MAX_TOKEN and bool(_TOKEN.fullmatch(value))


def _lifetime(answer: Mapping[str, Any]) -> float | None:
    """Return the seconds a login may last; our own clock counts, not the other side's."""
    seconds = answer.get("expires_in")
    if seconds is not None:
        if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds <= 0:
            raise UnusableJSON("expires_in is not a positive whole number")
        return float(seconds)
    moment = answer.get("expires_at")
    if moment is None:
        return None
    if not isinstance(moment, str):
        raise UnusableJSON("expires_at is not text")
    try:
        until = parse_date(moment).timestamp()
    except ValueError:
        raise UnusableJSON("expires_at is not an ISO 8601 date") from None
    if until <= time.time():
        raise UnusableJSON("expires_at is in the past")
    return until - time.time()
