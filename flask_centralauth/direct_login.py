"""Login by a mail that a form of the application asks for, without CentralAuth's login page.

CentralAuth mails a link that comes back to our callback. In the browser that asked, the
attempt's cookie vouches for it as for any login. Anywhere else (another device, a mail
scanner, a link somebody was given) nothing happens until a person presses a button.

Source: "CentralAuth: direct authentication"; the IETF's cross-device flows: security best
current practice (no silent login).
"""

from __future__ import annotations

import hmac
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from flask import Response, after_this_request, request

from .attempts import CONFIRM, DIRECT, Attempt
from .dates import parse_date
from .errors import ConfigurationError, EntityError, ErrorCode, PermissionDenied
from .identity import visitor
from .login_words import words_of_today
from .mail_address import is_address, masked
from .mail_logins import WaitingLogin, new_form_token
from .negotiation import is_same_site
from .pages import page
from .protocol import TRANSLATION_KEYS
from .request_notes import current_request
from .state import State
from .translations import N_, gettext

if TYPE_CHECKING:
    from .callback import Callback

log = logging.getLogger("flask_centralauth")

_NO_ADDRESS: Final = N_("Please enter a valid e-mail address.")


def authenticate_direct(state: State, email: str, *, return_to: str | None = None) -> None:
    """Let CentralAuth mail a login link to an address.

    Returns the same whether or not anybody has the address, or may sign in.

    :param return_to: already checked; the setting for after a login when None.
    """
    if request.method in ("GET", "HEAD"):
        raise RuntimeError(
            "authenticate_direct() sends a mail. Call it from a view that a form posts to, so that no "
            "link, image or prefetch can."
        )
    # Attack: another site lets this browser log in as somebody else, or fill a mailbox.
    if not is_same_site(request, state.own_origins(request)):
        raise PermissionDenied(ErrorCode.CROSS_SITE_REQUEST)
    address = email.strip()
    if not is_address(address):
        raise EntityError(ErrorCode.ENTITY_INVALID, public_message=gettext(_NO_ADDRESS))
    state.mail_logins.admit(address, visitor().ip)
    attempt = Attempt(
        code_verifier="",
        redirect_uri=state.callback_url(),
        return_to=return_to or state.after_login(),
        purpose=DIRECT,
        started=int(time.time()),
    )
    oauth_state = state.attempts.new_state()
    waiting = WaitingLogin(
        redirect_uri=attempt.redirect_uri, return_to=attempt.return_to, address=masked(address)
    )
    state.mail_logins.begin(oauth_state, waiting)
    _keep(state, oauth_state, attempt)
    if not state.mail_logins.is_paused(address):
        _ask_for_mail(state, address, oauth_state, attempt.redirect_uri)


def ask_before_login(state: State, callback: Callback) -> Response | None:
    """Return the page with the button, for a link that was opened where nobody asked for it.

    Asks CentralAuth nothing: whoever else opens this address does not use up its code.
    None when no login by mail waits for this callback.
    """
    waiting = None if callback.code is None else state.mail_logins.find(callback.state)
    if waiting is None or state.logins.is_claimed(callback.state):
        return None
    token = new_form_token()
    question = Attempt(
        code_verifier="",
        redirect_uri=waiting.redirect_uri,
        return_to=waiting.return_to,
        purpose=CONFIRM,
        form_token=token,
        started=int(time.time()),
    )
    _keep(state, callback.state, question)
    return page(
        ["centralauth/confirm_login.html"],
        confirm_url=state.url_for("confirm"),
        address=waiting.address,
        code=callback.code,
        state=callback.state,
        form_token=token,
        home_url=f"{request.root_path}/",
    )


def confirmed_attempt(state: State, callback: Callback) -> Attempt:
    """Return the attempt of a person who pressed the button on our page.

    :raises CentralAuthError: it was not our page, not this browser, or not in time.
    """
    if not is_same_site(request, state.own_origins(request)):
        raise PermissionDenied(ErrorCode.CROSS_SITE_REQUEST)
    attempt = state.flow.attempt_of(callback)
    sent = request.form.get("form_token", "")
    if (
        attempt is None
        or attempt.purpose != CONFIRM
        or not attempt.form_token
        or not hmac.compare_digest(sent.encode("utf-8", "replace"), attempt.form_token.encode())
        or state.mail_logins.find(callback.state) is None
    ):
        raise state.flow.unvouched(callback, used_before=state.logins.is_claimed(callback.state))
    return attempt


def _ask_for_mail(state: State, address: str, oauth_state: str, redirect_uri: str) -> None:
    content: dict[str, Any] = {"email": address, "redirect_uri": redirect_uri, "state": oauth_state}
    if words := words_of_today("translations", state.settings.translations, TRANSLATION_KEYS):
        content["translations"] = dict(words)
    try:
        answer = state.client.authenticate_direct(content)
    except (EntityError, ConfigurationError) as refusal:
        # Attack: finding out who has an account. The organization may not let everybody in.
        if refusal.error_code not in (
            ErrorCode.ENTITY_INVALID,
            ErrorCode.ENTITY_MISSING,
            ErrorCode.NO_PERMISSION,
        ):
            raise
        log.warning("CentralAuth sent no mail to an address that asked to sign in: %s", refusal)
        return
    until = _seconds_until(answer.get("allowedDate"))
    if until:
        state.mail_logins.pause(address, until)


def _seconds_until(date: object) -> int:
    """Return the whole seconds until CentralAuth's date; 0 when it is over or unreadable."""
    if not isinstance(date, str):
        return 0
    try:
        return max(0, round(parse_date(date).timestamp() - time.time()))
    except ValueError:
        return 0


def _keep(state: State, oauth_state: str, attempt: Attempt) -> None:
    current = current_request()

    @after_this_request
    def save(response: Response) -> Response:
        state.attempts.save(response, current, oauth_state, attempt)
        return response
