"""How a login ends: a one-time code, a denial or an error, carried back by the browser.

Source: ``CentralAuth: callback``; RFC 6749 §4.1.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from ..errors import ErrorCode
from .checks import Refusal
from .entities import Attempt, Code, User
from .service import Service
from .settings import SERVICE_CODES, Settings
from .store import NextLogin

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
Params = list[tuple[str, str]]
DENIED_MESSAGE: Final = "The login was denied."
#: How a simulated passkey can fail, by the word on the page.
PASSKEY_CODES: Final[Mapping[str, str]] = {
    "missing": ErrorCode.PASSKEY_DATA_MISSING,
    "expired": ErrorCode.PASSKEY_DATA_EXPIRED,
    "invalid": ErrorCode.PASSKEY_DATA_INVALID,
    "other organization": ErrorCode.PASSKEY_WRONG_ORGANIZATION,
}


def magic_code(email: str) -> str | None:
    """Return the error code that a magic user stands for: ``error+sessionExpired@...``."""
    local_part = email.rpartition("@")[0].lower()
    return _BY_LOWER.get(local_part[len(MAGIC) :]) if local_part.startswith(MAGIC) else None


def callback_url(redirect_uri: str, params: Params) -> str:
    """Return the redirect URI with parameters added; its own query stays as it is."""
    joint = "&" if "?" in redirect_uri else "?"
    return f"{redirect_uri}{joint}{urlencode(params)}"


def granted(
    service: Service, attempt: Attempt, user: User, *, ip: str | None, user_agent: str | None
) -> Params:
    """Return the callback parameters of a login that worked: a fresh one-time code.

    The address and browser are what hijack protection compares with later.
    """
    if (magic := magic_code(user.email)) and magic not in SESSION_CODES:
        return refused(attempt.state, magic, f"{user.email} always ends like this.")
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
    return code_params(code, attempt.state)


def code_params(code: Code, state: str) -> Params:
    """Return the callback parameters that carry a code."""
    params = [("code", code.value), ("state", state)]
    if code.affirm:
        params.append(("affirm", "1"))
    return params


def refused(state: str | None, code: str, message: str) -> Params:
    """Return the callback parameters of a login that failed."""
    params = [("error", str(code)), ("error_description", message)]
    if state is not None:
        params.append(("state", state))
    return params


def chosen(form: Mapping[str, str], settings: Settings) -> NextLogin:
    """Return how a person answered the login page.

    :raises Refusal: for an answer that is on no page.
    """
    if "deny" in form:
        return NextLogin(deny=True)
    if code := form.get("error"):
        if code not in SERVICE_CODES:
            raise Refusal(ErrorCode.ENTITY_INVALID, f"There is no error code {code[:80]!r}.")
        return NextLogin(error=code, message=form.get("message") or None)
    connection = form.get("connection", "email")
    if connection not in settings.connections:
        return NextLogin(
            error=ErrorCode.CONNECTION_MISSING, message=f"The connection {connection[:40]!r} is not enabled."
        )
    if form.get("captcha") == "wrong":
        return NextLogin(error=ErrorCode.CAPTCHA_INVALID, message="The captcha was not solved.")
    if connection == "passkey" and (code := PASSKEY_CODES.get(form.get("passkey", ""))):
        return NextLogin(error=code, message="The passkey did not work.")
    return NextLogin(user=form.get("email", "").strip())


def answered(
    service: Service, attempt: Attempt, outcome: NextLogin, *, ip: str | None, user_agent: str | None
) -> Params:
    """Return the callback parameters of an outcome that was decided beforehand."""
    if outcome.deny:
        return refused(attempt.state, ErrorCode.ACCESS_DENIED, outcome.message or DENIED_MESSAGE)
    if outcome.error is not None:
        return refused(
            attempt.state, str(outcome.error), outcome.message or f"The login ended with {outcome.error}."
        )
    try:
        user = service.user_of(outcome.user or "")
    except ValueError as problem:
        return refused(attempt.state, ErrorCode.ENTITY_INVALID, str(problem))
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
