"""Is this session still good, and for whom: userinfo and logout.

Source: ``CentralAuth: userinfo`` (order of checks: see ``docs/fidelity.md``).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any, overload

from werkzeug.datastructures import Headers

from ..errors import ErrorCode
from .checks import Checks, Refusal
from .client_credentials import require_client
from .entities import Organization, Session, User
from .login_outcome import SESSION_CODES, magic_code
from .origins import is_origin, origin_of, whitelisted
from .service import Service
from .tokens import TokenUnreadable, read_token


def session_of_token(service: Service, organization: Organization, body: bytes, checks: Checks) -> Session:
    """Return the session that a token in a request body stands for, whatever its state.

    :raises Refusal: when there is no token, or nothing behind it.
    """
    token = body.decode("utf-8", "replace").strip()
    checks.require(token, "token is in the body", ErrorCode.TOKEN_MISSING, "the body holds no token")
    try:
        claims = read_token(organization.secret, token)
    except TokenUnreadable:
        claims = {}
    checks.require(
        claims,
        "token is this organization's",
        ErrorCode.TOKEN_INVALID,
        "the body is not a token of this organization",
    )
    session = service.store.sessions.get(claims["sessionId"])
    return checks.found(
        session if session and session.organization_id == organization.id else None,
        "session is known",
        ErrorCode.SESSION_MISSING,
        "there is no such session",
    )


def userinfo(
    service: Service,
    authorization: str | None,
    body: bytes,
    domain: str | None,
    headers: Headers,
    checks: Checks,
) -> tuple[dict[str, Any], Session]:
    """Return the user behind a token, and the session.

    :raises Refusal: with the code of the rule that is broken.
    """
    organization = require_client(service, authorization, checks)
    with service.lock:
        session = session_of_token(service, organization, body, checks)
        _check_alive(service, session, checks)
        user = checks.found(
            service.find_user(session.user_id),
            "user exists",
            ErrorCode.SESSION_MISSING,
            "the user was deleted",
        )
        _check_user(user, checks)
        _check_domain(service, session, domain, checks)
        _check_hijack(service, session, headers, checks)
        session.last_seen = service.clock.now()
        return service.user_object(user, session), session


def end_session(service: Service, authorization: str | None, body: bytes, checks: Checks) -> Session:
    """End the session of a token for every application (``CentralAuth: logout``).

    A second time is fine.

    :raises Refusal: when there is no such session.
    """
    organization = require_client(service, authorization, checks)
    with service.lock:
        session = session_of_token(service, organization, body, checks)
        session.end(ErrorCode.SESSION_INACTIVE)
    return session


def _check_alive(service: Service, session: Session, checks: Checks) -> None:
    checks.require(
        session.active,
        "session is active",
        session.reason or ErrorCode.SESSION_INACTIVE,
        "the session was ended",
    )
    now = service.clock.now()
    settings = service.settings
    age, idle = (now - session.created).total_seconds(), (now - session.last_seen).total_seconds()
    if settings.max_session_time:
        checks.require(
            age < settings.max_session_time,
            "session is younger than max_session_time",
            ErrorCode.SESSION_EXPIRED,
            f"the session is {age:.0f} seconds old; {settings.max_session_time} are allowed",
        )
    if settings.max_inactivity_time:
        checks.require(
            idle < settings.max_inactivity_time,
            "session was used within max_inactivity_time",
            ErrorCode.SESSION_INACTIVE,
            f"the session was not used for {idle:.0f} seconds; {settings.max_inactivity_time} are allowed",
        )
    checks.require(
        session.verified,
        "session is verified",
        ErrorCode.SESSION_NOT_VERIFIED,
        "the session was never confirmed",
    )


def _check_user(user: User, checks: Checks) -> None:
    magic = magic_code(user.email)
    if magic in SESSION_CODES:
        checks.require(False, "user is not a magic one", magic or "", f"{user.email} always ends like this")


def _check_domain(service: Service, session: Session, domain: str | None, checks: Checks) -> None:
    settings = service.settings
    # The official PHP client sends its whole callback URL.
    sent = domain or ""
    origin = checks.found(
        origin_of(sent) if is_origin(sent) or not settings.strict else None,
        "domain is an origin",
        ErrorCode.DOMAIN_INVALID,
        f"domain is {sent[:200]!r}; send the application's origin, like https://app.example.com",
    )
    checks.require(
        whitelisted(origin, settings.whitelist, allow_localhost=settings.allow_localhost),
        "domain is whitelisted",
        ErrorCode.DOMAIN_INVALID,
        f"{origin} is not on the whitelist: {', '.join(settings.whitelist)}",
    )
    checks.require(
        origin in session.domains,
        "domain is activated for the session",
        ErrorCode.DOMAIN_INVALID,
        f"the login was for {', '.join(sorted(session.domains))}, not for {origin}",
    )


def _check_hijack(service: Service, session: Session, headers: Headers, checks: Checks) -> None:
    settings = service.settings
    if settings.hijack_ip:
        sent = headers.get("auth-ip", "").strip()
        checks.require(sent, "auth-ip is there", ErrorCode.MISSING_FIELDS, "the header auth-ip is missing")
        address = _address(sent)
        checks.require(
            address,
            "auth-ip is one address",
            ErrorCode.ENTITY_INVALID,
            f"auth-ip {sent[:80]!r} is not one IP address",
        )
        session.ip = session.ip or address
        _same_browser(session, "auth-ip", _address(session.ip or "") == address, checks)
    if settings.hijack_user_agent:
        sent = headers.get("user-agent", "")
        session.user_agent = sent if session.user_agent is None else session.user_agent
        _same_browser(session, "user-agent", session.user_agent == sent, checks)
    if settings.hijack_device_id and session.device_id is not None:
        _same_browser(session, "device-id", headers.get("device-id") == session.device_id, checks)


def _same_browser(session: Session, what: str, same: bool, checks: Checks) -> None:
    if not same:
        session.end(ErrorCode.SESSION_INVALID)
    checks.require(
        same,
        f"{what} is the login's",
        ErrorCode.SESSION_INVALID,
        f"{what} differs from the login's; the session is ended",
    )


def _address(text: str) -> str | None:
    """Return an address in its one spelling, or None."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return None if address.is_unspecified else str(address)


class SessionList(Sequence[Session]):
    """The sessions so far, oldest first. ``emulator.sessions`` is one."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def _now(self) -> list[Session]:
        with self._service.lock:
            return list(self._service.store.sessions.values())

    @overload
    def __getitem__(self, index: int) -> Session: ...
    @overload
    def __getitem__(self, index: slice) -> list[Session]: ...
    def __getitem__(self, index: int | slice) -> Session | list[Session]:
        return self._now()[index]

    def __len__(self) -> int:
        return len(self._now())

    def __iter__(self) -> Iterator[Session]:
        return iter(self._now())

    @property
    def last(self) -> Session:
        """The newest session."""
        return self[-1]

    @property
    def active(self) -> list[Session]:
        """The sessions that still hold."""
        return [session for session in self if session.active]

    def of(self, email: str) -> list[Session]:
        """Return the sessions of a user."""
        return [session for session in self if session.email.lower() == email.lower()]

    def end(self, session: Session | str | None = None, *, reason: str = ErrorCode.SESSION_INACTIVE) -> None:
        """End one session, or every one; userinfo answers the reason from now on.

        :raises Refusal: when there is no session of this id.
        """
        with self._service.lock:
            for found in self._now() if session is None else [self._find(session)]:
                found.end(str(reason))

    def _find(self, session: Session | str) -> Session:
        if isinstance(session, Session):
            return session
        found = self._service.store.sessions.get(session)
        if found is None:
            raise Refusal(ErrorCode.ENTITY_MISSING, f"there is no session {session[:80]!r}")
        return found
