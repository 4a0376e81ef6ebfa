"""One structured log record per incident, with the id the person was shown."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from flask import Response, current_app, request
from werkzeug.exceptions import SecurityError

from .errors import CentralAuthError, ConfigurationError, ErrorCode, LoginError, ServiceUnavailable, printable
from .names import spelled_for
from .request_notes import leave_for_last, notes
from .signals import login_failed
from .state import about, in_force, is_auth_route, state_about

log = logging.getLogger("flask_centralauth")

#: Being asked to sign in is no incident, unless a login failed or ended of it.
_EVERYDAY: Final = (ErrorCode.TOKEN_MISSING, ErrorCode.AFFIRMATION_REQUIRED)
_REDIRECTS: Final = range(300, 400)
# Noted on the request: errors that need a record before the request ends, why its login could
# not be checked, and whether there is a record.
_UNANSWERED: Final = "_centralauth_unanswered"
_UNCHECKED: Final = "_centralauth_unchecked"
_LOGGED: Final = "_centralauth_logged"


def explain(error: CentralAuthError) -> None:
    """Add to an error what the request tells about its cause."""
    error.identifier = in_force().identifier
    error.hint = spelled_for(error.identifier, error.hint)
    facts = {
        "incident_id": error.incident_id,
        "error_code": printable(error.error_code, 64),
        "family": error.family,
        "upstream_message": printable(error.message or ""),
        "endpoint": request.endpoint or "",
        # Of several CentralAuth objects the one it is about.
        **({"name": in_force().name} if in_force().name else {}),
        # Without the query, which may carry a code.
        "path": printable(request.path),
        "host": printable(_host(), 100),
        "cookies_sent": bool(request.cookies),
        "attempt_age": error.attempt.age if error.attempt else "",
    }
    if error.row.about_addresses and "callback_url" not in error.facts:
        facts["callback_url"] = sent = printable(_callback_url(error), 500)
        error.hint = f"{error.hint} The callback URL sent was {sent}"
    error.facts = {**facts, **error.facts, "attempt_age": facts["attempt_age"]}


def record(error: CentralAuthError, status: int) -> None:
    """Log an error once and, when a login failed of it, tell the listeners.

    WARNING for what people and browsers cause, ERROR with traceback for faults of the
    service, the store or the settings; INFO for a program that was asked to sign in. Who was
    refused because such a fault was found just before is one line at WARNING, not an alarm each. The
    facts are on the record as ``centralauth``, and on the error.
    """
    _log(error, status)
    failed_at_callback = _at_callback() and error.ended_login is None
    if error.attempt is not None or isinstance(error, LoginError) or failed_at_callback:
        application = current_app._get_current_object()  # type: ignore[attr-defined]
        login_failed.send(application, user=None, error=error)


def _log(error: CentralAuthError, status: int, *, shown: bool = True) -> None:
    error.facts["status"] = status
    level = _level(error, status, shown=shown)
    if level is None:
        return
    notes()[_LOGGED] = True
    log.log(
        level,
        "%s %s Hint: %s See docs/errors.md#%s",
        type(error).__name__,
        " ".join(f"{name}={_told(value)}" for name, value in error.facts.items() if value != ""),
        error.hint,
        error.docs_anchor,
        extra={"centralauth": error.facts},
        exc_info=error if level == logging.ERROR else None,
    )


def record_unanswered(error: CentralAuthError) -> None:
    """See to it that an error of this request is recorded when `handle_error` never sees it.

    A page open to everybody is served although a login ended meanwhile, and an
    application may have a handler of its own.
    """
    error.identifier = in_force().identifier
    leave_for_last().setdefault(_UNANSWERED, []).append(error)


def record_unchecked(problem: CentralAuthError) -> None:
    """See to it that a login that cannot be checked now is logged, unless an error is anyway.

    A page open to everybody is served to its user as to a guest, which only a record explains.
    """
    problem.identifier = in_force().identifier
    leave_for_last().setdefault(_UNCHECKED, problem)


def record_rest(noted: Mapping[str, Any], response: Response) -> None:
    """Record what was left to the end of the request.

    :param noted: on the request.

    Not by ``after_this_request``: an ``after_request`` function of the application may be
    the first to ask who is logged in, and then that would be too late.
    """
    for error in noted.get(_UNANSWERED, ()):
        if "status" not in error.facts:
            with about(state_about(error)):
                explain(error)
                record(error, response.status_code)
    problem = noted.get(_UNCHECKED)
    if problem is not None and _LOGGED not in noted:
        with about(state_about(problem)):
            explain(problem)
        _log(problem, response.status_code, shown=False)


def _level(error: CentralAuthError, status: int, *, shown: bool) -> int | None:
    if not error.was_asked:
        # Thousands per second, of one fault that has its own record.
        return logging.WARNING if shown else logging.INFO
    if isinstance(error, ServiceUnavailable | ConfigurationError):
        return logging.ERROR
    if error.error_code in _EVERYDAY and error.attempt is None and error.ended_login is None:
        # Only a program was shown the id.
        return None if status in _REDIRECTS else logging.INFO
    return logging.WARNING


def _host() -> str:
    try:
        return request.host
    except SecurityError:
        # None of TRUSTED_HOSTS. Flask answers that itself, and what it answers is not ours to break.
        return request.headers.get("Host", "")


def _callback_url(error: CentralAuthError) -> str:
    if error.attempt is not None:
        return error.attempt.redirect_uri
    try:
        return in_force().callback_url()
    except SecurityError as refusal:
        return f"not known: {refusal.description}"


def _told(value: object) -> str:
    # One line, whatever a fact holds (attack: log injection).
    return repr(printable(value, 500)) if isinstance(value, str) else printable(repr(value), 500)


def _at_callback() -> bool:
    endpoint = request.endpoint or ""
    return endpoint.endswith(".callback") and is_auth_route(endpoint)
