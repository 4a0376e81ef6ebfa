"""Ending the login of a browser, and where the person lands."""

from __future__ import annotations

import logging
from typing import Final

from flask import current_app

from .errors import CentralAuthError, SessionError
from .identity import ANONYMOUS, forget_outcome, set_identity
from .known_logins import Identity
from .notices import notify
from .signals import user_logged_out
from .state import State
from .translations import N_, gettext

log = logging.getLogger("flask_centralauth")

_ELSEWHERE: Final = N_(
    "You are signed out here. CentralAuth could not be reached, so you may still be signed in elsewhere."
)


def sign_out(state: State, *, everywhere: bool | None = None) -> None:
    """End the request's login here, and at CentralAuth when that is wanted.

    Signing out here never waits for CentralAuth to be well.

    :param everywhere: overrides ``CENTRALAUTH_LOGOUT_EVERYWHERE``.
    :raises ServiceUnavailable: the session store cannot be asked, so the login lives on.
    """
    login = state.logins.current()
    record = state.logins.live(login) if login is not None else None
    forget_outcome(state)
    ended = state.logins.end(login)
    if login is None:
        return
    state.users.forget(login)
    set_identity(state, Identity(ANONYMOUS))
    # Of two logouts at once, the one that ended it.
    if record is not None and ended:
        application = current_app._get_current_object()  # type: ignore[attr-defined]
        user_logged_out.send(application, user=record.user, login_id=login.login_id)
    if state.settings.logout_everywhere if everywhere is None else everywhere:
        try:
            state.client.logout(login.token)
        except SessionError as over:
            log.info("The session at CentralAuth was over already: %s", over)
        except CentralAuthError as problem:
            log.warning("Signed out here, but not at CentralAuth: %s", problem)
            notify(state, gettext(_ELSEWHERE))
