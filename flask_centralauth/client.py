"""Every HTTP call to CentralAuth.

Knows nothing of Flask. What comes back is either right, typed and small, or one of our
own errors; exceptions of requests and urllib3, which carry tokens and secrets in their
request objects, end here.

Source: "CentralAuth: verify", "CentralAuth: userinfo", "CentralAuth: logout";
RFC 9700 §4.12 (no redirects), RFC 9110 §10.2.3 (Retry-After).
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final

import requests
from authlib.integrations.requests_client import OAuth2Session
from requests.auth import HTTPBasicAuth
from urllib3.util import Retry

from .breaker import Breaker
from .deadline import DeadlineAdapter, deadline, remaining
from .errors import (
    CentralAuthError,
    ConfigurationError,
    ErrorCode,
    RateLimitError,
    ServiceUnavailable,
    SessionError,
    reply_error,
)
from .protocol import LOGOUT_PATH, USERINFO_PATH, VERIFY_PATH
from .strict_json import UnusableJSON, loads_object
from .user import InvalidUser, User, parse_user
from .visitor import Visitor

if TYPE_CHECKING:
    from .config import Settings

log = logging.getLogger("flask_centralauth")

MAX_REPLY: Final = 64 * 1024
MAX_TOKEN: Final = 8 * 1024
LONGEST_RETRY_AFTER: Final = 3600

_ERROR_CODE: Final = re.compile(r"[A-Za-z]{1,64}")
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a code was exchanged for. ``lifetime`` in seconds; None when unlimited."""

    access_token: str = field(repr=False)
    lifetime: float | None


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply, read to its end and bounded in size."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Counters:
    """How often CentralAuth was asked by this process, for metrics."""

    calls: int = 0
    failures: int = 0
    refused_by_breaker: int = 0


class Transport:
    """One pooled HTTP session per process, with everything dangerous switched off."""

    def __init__(self, *, timeout: float) -> None:
        self.timeout = timeout
        self._session: requests.Session | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def send(self, method: str, url: str, **parts: Any) -> Reply:
        """Send one request and read the reply within the total timeout.

        :raises requests.RequestException: nothing usable came back in time.
        :raises TimeoutError: likewise, between two reads.
        """
        with deadline(self.timeout):
            wait = remaining()
            with self._pooled_session().request(
                method, url, timeout=(wait, wait), allow_redirects=False, stream=True, **parts
            ) as response:
                return Reply(response.status_code, response.headers, _bounded_body(response))

    def _pooled_session(self) -> requests.Session:
        # A connection inherited through fork() delivers other requests' replies.
        if self._session is None or self._owner != os.getpid():
            with self._lock:
                if self._session is None or self._owner != os.getpid():
                    self._session, self._owner = _new_session(), os.getpid()
        return self._session


def _new_session() -> requests.Session:
    session = requests.Session()
    # No proxies, CA bundle or .netrc credentials from the environment.
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # Compressed replies may expand beyond any limit.
    session.headers["Accept-Encoding"] = "identity"
    retries = Retry(
        total=1, connect=1, read=0, redirect=0, status=0, other=0,
        allowed_methods=None, respect_retry_after_header=False, backoff_factor=0,
    )  # fmt: skip
    adapter = DeadlineAdapter(max_retries=retries, pool_maxsize=32)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _bounded_body(response: requests.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(8192):
        remaining()
        body += chunk
        if len(body) > MAX_REPLY:
            raise requests.exceptions.ContentDecodingError("the reply is too large")
    return bytes(body)


class TokenSession(OAuth2Session):  # type: ignore[misc]  # Authlib ships no types
    """Authlib's session for the code exchange, on our transport and with our errors."""

    def __init__(self, send: Callable[..., Reply], **options: Any) -> None:
        super().__init__(**options)
        self._send = send

    def request(
        self, method: str, url: str, withhold_token: bool = False, auth: Any = None, **parts: Any
    ) -> Reply:
        return self._send(method, url, auth=auth, **parts)

    def parse_response_token(self, reply: Reply) -> dict[str, Any]:
        # Authlib takes the JSON of a 4xx reply for a token unless it has "error".
        return _json_of(reply)


class CentralAuthClient:
    """The calls of one application. Thread-safe and fork-safe.

    Every method raises a `CentralAuthError` of the family that fits, and nothing else.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._basic = HTTPBasicAuth(settings.client_id, settings.client_secret)
        self.transport = Transport(timeout=settings.timeout)
        self.breaker = Breaker()
        self.counters = Counters()
        #: What Authlib makes its sessions with.
        self.token_session = partial(TokenSession, self._send)

    def tokens(self, answer: Mapping[str, Any]) -> Tokens:
        """Return the checked tokens of a successful ``verify`` reply."""
        with _unusable_answers(VERIFY_PATH):
            access_token = answer.get("access_token")
            if not isinstance(access_token, str) or not _is_token(access_token):
                raise UnusableJSON("access_token is missing or malformed")
            return Tokens(access_token, _lifetime(answer))

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
            with _unusable_answers(USERINFO_PATH):
                return parse_user(_json_of(reply))
        except (SessionError, ConfigurationError, RateLimitError, ServiceUnavailable):
            raise
        except CentralAuthError as error:
            # A code that makes no sense here says nothing about the login.
            raise ServiceUnavailable(ErrorCode.NETWORK_ERROR, str(error)) from None

    def logout(self, access_token: str) -> None:
        """End the session behind a token for every application of the organization."""
        reply = self._post(LOGOUT_PATH, access_token, headers={"Content-Type": "text/plain"})
        if reply.status != 200:
            raise _refusal(reply)

    def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Reply:
        """Return the unread reply to a GET without credentials, for ``flask centralauth check``."""
        return self._send("GET", url, headers=headers)

    def _post(self, path: str, token: str, **parts: Any) -> Reply:
        return self._send(
            "POST", self._settings.base_url + path, data=token.encode(), auth=self._basic, **parts
        )

    def _send(self, method: str, url: str, **parts: Any) -> Reply:
        if not self.breaker.admits():
            self.counters.refused_by_breaker += 1
            raise ServiceUnavailable(
                ErrorCode.NETWORK_ERROR,
                "not asked: it failed repeatedly",
                retry_after=self.breaker.retry_after(),
            )
        self.counters.calls += 1
        try:
            reply = self.transport.send(method, url, **parts)
        except (requests.RequestException, OSError, ValueError) as failure:
            self.counters.failures += 1
            self.breaker.failed()
            # The exception holds the request with token and secret: only its name goes on.
            raise ServiceUnavailable(
                ErrorCode.NETWORK_ERROR, f"no reply ({type(failure).__name__})"
            ) from None
        if reply.status == 429 or reply.status >= 500:
            self.counters.failures += 1
            self.breaker.failed(retry_after=_retry_after(reply))
        else:
            self.breaker.succeeded()
        return reply


def _json_of(reply: Reply) -> dict[str, Any]:
    """Return the object of a 200 reply; raise what any other status means."""
    if reply.status != 200:
        raise _refusal(reply)
    with _unusable_answers("reply"):
        return loads_object(reply.body)


def _refusal(reply: Reply) -> CentralAuthError:
    """Return what a reply other than 200 means."""
    retry_after = _retry_after(reply)
    try:
        said = loads_object(reply.body)
    except UnusableJSON:
        said = {}
    code, message = said.get("errorCode"), said.get("message")
    code = code if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else None
    message = message if isinstance(message, str) and message else None
    if code is None and message is None and reply.status != 429:
        # A proxy's page, not CentralAuth's word.
        return ServiceUnavailable(
            ErrorCode.NETWORK_ERROR, f"HTTP {reply.status} without an error code", retry_after=retry_after
        )
    return reply_error(code, message, status=reply.status, retry_after=retry_after)


@contextmanager
def _unusable_answers(what: str) -> Iterator[None]:
    try:
        yield
    except (UnusableJSON, InvalidUser) as problem:
        raise ServiceUnavailable(ErrorCode.NETWORK_ERROR, f"unusable answer to {what}: {problem}") from None


def _retry_after(reply: Reply) -> int | None:
    value = reply.headers.get("Retry-After", "")
    if value.isascii() and value.isdigit() and len(value) < 8:
        return min(int(value), LONGEST_RETRY_AFTER)
    try:
        seconds = (parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds()
    except (TypeError, ValueError, IndexError):
        return None
    return max(0, min(int(seconds), LONGEST_RETRY_AFTER))


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
    try:
        until = datetime.fromisoformat(moment[:-1] + "+00:00" if moment.endswith("Z") else moment).timestamp()
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise UnusableJSON("expires_at is not an ISO 8601 date") from None
    if until <= time.time():
        raise UnusableJSON("expires_at is in the past")
    return until - time.time()
