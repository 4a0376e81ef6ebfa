"""One structured log record per incident, with the id the person was shown."""

from __future__ import annotations

import logging
from typing import Final

from flask import current_app, request

from .errors import CentralAuthError, ConfigurationError, ErrorCode, ServiceUnavailable, printable
from .signals import login_failed
from .state import EXTENSION_KEY

log = logging.getLogger("flask_centralauth")

#: Being asked to sign in is no incident.
_EVERYDAY: Final = (ErrorCode.TOKEN_MISSING, ErrorCode.AFFIRMATION_REQUIRED)


def record(error: CentralAuthError, status: int) -> None:
    """Log an error once and, when a login failed of it, tell the listeners.

    WARNING for what people and browsers cause, ERROR with traceback for faults of the
    service, the store or the settings. The facts are on the record as ``centralauth``.
    """
    if error.error_code in _EVERYDAY:
        return
    fault = isinstance(error, ServiceUnavailable | ConfigurationError)
    facts = {
        "incident_id": error.incident_id,
        "error_code": printable(error.error_code, 64),
        "family": error.family,
        "status": status,
        "upstream_message": printable(error.message or ""),
        "endpoint": request.endpoint or "",
        "host": printable(request.host, 100),
        "attempt_age": error.attempt.age if error.attempt else "",
        **error.facts,
    }
    log.log(
        logging.ERROR if fault else logging.WARNING,
        "%s %s Hint: %s See docs/errors.md#%s",
        type(error).__name__,
        " ".join(f"{name}={value!r}" for name, value in facts.items() if value != ""),
        error.hint,
        error.docs_anchor,
        extra={"centralauth": facts},
        exc_info=error if fault else None,
    )
    if error.attempt is not None or request.endpoint == f"{EXTENSION_KEY}.callback":
        application = current_app._get_current_object()  # type: ignore[attr-defined]
        login_failed.send(application, user=None, error=error)
