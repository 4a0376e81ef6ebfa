"""Starting a login, and turning a vouched-for callback into one."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from flask import Response, after_this_request, current_app, request
from werkzeug.exceptions import Forbidden, HTTPException

from .affirmation import check_affirmation
from .attempts import AFFIRM, COOKIE_LOST, LOGIN, Attempt
from .errors import CentralAuthError, ErrorCode, LoginError, PermissionDenied
from .identity import set_identity, visitor
from .known_logins import Identity
from .login_record import Record
from .notices import clear_notices, unseen_notice
from .policy import check_policy
from .proxy_check import warn_of_private_address
from .redirects import origin_of
from .route_headers import redirect
from .setting_checks import is_loopback
from .signals import user_affirmed, user_logged_in
from .state import State
from .translations import gettext
from .user import User
from .visitor import visitor_digest

if TYPE_CHECKING:
    from .client import Tokens
    from .id_token import IdToken

log = logging.getLogger("flask_centralauth")

JUST_NOW_SECONDS: Final = 30
#: When CentralAuth was last asked about a login that only an id token vouches for.
NEVER: Final = 0.0


def begin_login(
    state: State,
    *,
    return_to: str | None = None,
    email: str | None = None,
    purpose: str = LOGIN,
    user_id: str | None = None,
    affirmed: float | None = None,
    embedded: bool = False,
    translations: Mapping[str, str] | None = None,
    theme: Mapping[str, str] | None = None,
) -> Response:
    """Return the redirect to CentralAuth that starts a login.

    :param return_to: already checked; the setting for after a login when None.
    :param translations: already checked, like ``theme``; the settings when None.
    """
    own_name = _loopback_name_of_callback(state)
    if own_name is not None and purpose == LOGIN:
        address = state.url_for("login", return_to=return_to, email=email)
        return redirect(own_name + address, 302)
    _refuse_lost_session(state)
    attempt = Attempt(
        code_verifier="",
        redirect_uri=state.callback_url(),
        return_to=return_to or state.after_login(),
        purpose=purpose,
        user_id=user_id,
        affirmed=affirmed,
        embedded=embedded,
    )
    banner = unseen_notice(state) if _has_session(state) else None
    address = state.flow.begin(attempt, email=email, banner=banner, translations=translations, theme=theme)
    return redirect(address, 302)


def complete_login(state: State, attempt: Attempt) -> Response:
    """Turn the code of the current request into a login or an affirmation.

    :raises CentralAuthError: it did not work; nobody is logged in who was not before.
    """
    tokens = state.flow.redeem(attempt)
    who = visitor()
    warn_of_private_address(state, who)
    domain = origin_of(attempt.redirect_uri) or attempt.redirect_uri
    told = _told_by_id_token(state, attempt, tokens)
    checked = (
        state.client.userinfo(tokens.access_token, domain=domain, visitor=who) if told is None else told.user
    )
    previous = state.logins.current()
    former = state.logins.live(previous) if previous else None
    affirmed = None
    if attempt.purpose == AFFIRM:
        affirmed = check_affirmation(attempt, checked, former.user if former else None)
    check_policy(checked, state.settings)
    answer = _run_hooks(state, checked)
    record = Record(checked, time.time(), visitor_digest(who))
    if told is not None:
        record = replace(record, checked=NEVER, trusted_until=told.expires)
    started = state.logins.start(
        record, token=tokens.access_token, domain=domain, lifetime=tokens.lifetime, affirmed=affirmed
    )
    if previous is not None:
        state.users.forget(previous)
    state.users.remember(started, record, who)
    set_identity(state, Identity(checked, started))
    clear_notices(state)
    _remember_success(state, attempt)
    application = current_app._get_current_object()  # type: ignore[attr-defined]
    if attempt.purpose == AFFIRM:
        user_affirmed.send(application, user=checked)
    else:
        switched_from = former.user if former and former.user != checked else None
        user_logged_in.send(application, user=checked, previous=switched_from)
    return answer or redirect(attempt.return_to, 303)


def _told_by_id_token(state: State, attempt: Attempt, tokens: Tokens) -> IdToken | None:
    """Return what the id token says, or None when CentralAuth has to be asked who this is."""
    # CentralAuth compares address and browser only when it is asked: a login by mail may have
    # changed both, and a confirmation is about who sits there now.
    if not state.settings.unsafe_local_id_token or attempt.purpose != LOGIN:
        return None
    from .id_token import UnusableIdToken, read_id_token

    try:
        return read_id_token(
            tokens.id_token,
            tokens.access_token,
            secrets=state.settings.client_secrets,
            client_id=state.settings.client_id,
            issuer=state.settings.base_url,
        )
    except UnusableIdToken as problem:
        log.warning("An id token was not used; CentralAuth was asked instead. The token: %s.", problem)
        return None


def _loopback_name_of_callback(state: State) -> str | None:
    """Return the callback's origin when the browser calls this machine by another name.

    ``localhost`` and ``127.0.0.1`` are one machine with two cookie jars: a login started
    at one never finishes at the other.
    """
    if state.settings.callback_url is None:
        return None
    here, there = urlsplit(request.host_url), urlsplit(state.settings.callback_url)
    one_machine = (
        (here.scheme, here.port) == (there.scheme, there.port)
        and is_loopback(here.hostname)
        and is_loopback(there.hostname)
    )
    return origin_of(state.settings.callback_url) if one_machine and here.hostname != there.hostname else None


def _refuse_lost_session(state: State) -> None:
    """Stop a browser that has just logged in and brings no session: it would go round for ever."""
    last = state.attempts.last_outcome(request, secure=state.is_https(request))
    if last is not None and last[0] == 0 and last[1] < JUST_NOW_SECONDS and not _has_session(state):
        raise LoginError(
            ErrorCode.STATE_INVALID,
            "the browser did not keep the session cookie of the login it has just finished",
            public_message=gettext(COOKIE_LOST),
            hint="Check SESSION_COOKIE_SECURE (not on http), SESSION_COOKIE_SAMESITE (Lax), "
            "SESSION_COOKIE_DOMAIN and SESSION_COOKIE_PATH.",
        )


def _has_session(state: State) -> bool:
    """Say whether the browser sent a session cookie; asking the session would touch it."""
    return state.settings.session_cookie_name in request.cookies


def _run_hooks(state: State, checked: User) -> Response | None:
    answer: Any = None
    for hook in tuple(state.login_hooks):
        try:
            answer = hook(checked) or answer
        except CentralAuthError:
            raise
        except HTTPException as refusal:
            if refusal.code != Forbidden.code:
                raise
            own_words = refusal.description if refusal.description != Forbidden.description else None
            raise PermissionDenied(
                ErrorCode.NO_PERMISSION, "refused by on_login", public_message=own_words
            ) from refusal
    return None if answer is None else current_app.make_response(answer)


def _remember_success(state: State, attempt: Attempt) -> None:
    @after_this_request
    def remember(response: Response) -> Response:
        state.attempts.save_outcome(response, 0, secure=attempt.redirect_uri.startswith("https:"))
        return response
