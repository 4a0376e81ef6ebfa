"""How a login ends: a one-time code, a denial or an error, carried back by the browser.

Source: ``CentralAuth: callback``; RFC 6749 §4.1.2.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from ..errors import ErrorCode
from .checks import Refusal
from .entities import Attempt, Code, User
from .service import NextLogin, Service
from .settings import SERVICE_CODES

MAGIC: Final = "error+"
#: Codes that userinfo answers later; the login itself works for such a magic user.
SESSION_CODES: Final = frozenset(
    str(code)
    for code in (
        ErrorCode.SESSION_MISSING,
        ErrorCode.SESSION_NOT_VERIFIED,
        ErrorCode.SESSION_EXPIRED,
        ErrorCode.SESSION_INACTIVE,
        ErrorCode.SESSION_INVALID,
        ErrorCode.TOKEN_MISSING,
        ErrorCode.TOKEN_INVALID,
        ErrorCode.TOO_MANY_REQUESTS,
    )
)
_BY_LOWER: Final = {code.lower(): code for code in SERVICE_CODES}
DENIED_MESSAGE: Final = "The login was denied."


def magic_code(email: str) -> str | None:
    """Return the error code that a magic user stands for: ``error+sessionExpired@...``."""
    local_part = email.rpartition("@")[0].lower()
    return _BY_LOWER.get(local_part[len(MAGIC) :]) if local_part.startswith(MAGIC) else None


def callback_url(redirect_uri: str, params: list[tuple[str, str]]) -> str:
    """Return the redirect URI with parameters added; its own query stays as it is."""
    joint = "&" if "?" in redirect_uri else "?"
    return f"{redirect_uri}{joint}{urlencode(params)}"


def granted(
    service: Service, attempt: Attempt, user: User, *, ip: str | None, user_agent: str | None
) -> list[tuple[str, str]]:
    """Return the callback parameters of a login that worked: a fresh one-time code.

    The address and browser are what hijack protection compares with later.
    """
    if (magic := magic_code(user.email)) and magic not in SESSION_CODES:
        return refused(attempt, magic, f"{user.email} always ends like this.")
    code = Code(
        value=service.new_id("code"),
        organization_id=attempt.organization_id,
        user_id=user.id,
        redirect_uri=attempt.redirect_uri,
        code_challenge=attempt.code_challenge,
        issued=service.clock.time(),
        ip=service.settings.login_ip or ip,
        user_agent=user_agent,
        app_id=attempt.app_id,
        device_id=attempt.device_id,
        affirm=attempt.affirm,
    )
    service.keep(service.store.codes, code.value, code)
    params = [("code", code.value)]
    if attempt.state is not None:
        params.append(("state", attempt.state))
    if attempt.affirm:
        params.append(("affirm", "1"))
    return params


def refused(attempt: Attempt, code: str, message: str) -> list[tuple[str, str]]:
    """Return the callback parameters of a login that failed."""
    params = [("error", str(code)), ("error_description", message)]
    if attempt.state is not None:
        params.append(("state", attempt.state))
    return params


def answered(
    service: Service, attempt: Attempt, outcome: NextLogin, *, ip: str | None, user_agent: str | None
) -> list[tuple[str, str]]:
    """Return the callback parameters of an outcome that was decided beforehand."""
    if outcome.deny:
        return refused(attempt, ErrorCode.ACCESS_DENIED, outcome.message or DENIED_MESSAGE)
    if outcome.error is not None:
        return refused(attempt, outcome.error, outcome.message or f"The login ended with {outcome.error}.")
    try:
        user = service.user_of(outcome.user or "")
    except ValueError as problem:
        return refused(attempt, ErrorCode.ENTITY_INVALID, str(problem))
    return granted(service, attempt, user, ip=ip, user_agent=user_agent)


def live_attempt(service: Service, attempt_id: str) -> Attempt:
    """Return a login attempt that may still end.

    :raises Refusal: when nobody knows it, or it is too old.
    """
    with service.lock:
        attempt = service.store.attempts.get(attempt_id)
    if attempt is None:
        raise Refusal(
            ErrorCode.LOGIN_ATTEMPT_MISSING,
            "This login attempt is not known here. Start again from the application.",
        )
    age = service.clock.time() - attempt.started
    if age > service.settings.attempt_lifetime:
        raise Refusal(
            ErrorCode.LOGIN_ATTEMPT_EXPIRED,
            "This login attempt is too old. Start again from the application.",
        )
    return attempt
