"""The routes below the prefix: HTTP in and out, nothing else."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from flask import Blueprint, Response, after_this_request, current_app, jsonify, request, session
from werkzeug.exceptions import HTTPException

from .attempts import AFFIRM, COOKIE_LOST, LOGIN, Attempt
from .errors import (
    CentralAuthError,
    ErrorCode,
    LoginError,
    PermissionDenied,
    SessionError,
    callback_error,
)
from .identity import ANONYMOUS, Identity, check_policy, identity, set_identity, visitor
from .login_store import Record
from .negotiation import has_bearer, is_htmx, is_prefetch, is_same_site
from .notices import clear_notices, notify, unseen_notice
from .pages import ROUTE_HEADERS, page
from .redirects import origin_of
from .session_guard import require_store
from .signals import user_affirmed, user_logged_in, user_logged_out
from .state import State, state_of
from .translations import N_, gettext
from .user import User
from .user_cache import visitor_digest

log = logging.getLogger("flask_centralauth")

AFFIRMATION_SKEW: Final = 60
JUST_NOW_SECONDS: Final = 30

_ELSEWHERE: Final = N_(
    "You are signed out here. CentralAuth could not be reached, so you may still be signed in elsewhere."
)
_OTHER_USER: Final = N_("Please confirm with the account you are signed in with.")


def create_blueprint(name: str, url_prefix: str) -> Blueprint:
    """Return the blueprint of the auth routes."""
    blueprint = Blueprint(name, __name__, url_prefix=url_prefix, template_folder="templates")
    blueprint.before_request(_refuse_without_effect)
    blueprint.after_request(_protect)
    blueprint.add_url_rule("/login", "login", login, methods=["GET"])
    blueprint.add_url_rule("/callback", "callback", callback, methods=["GET"])
    blueprint.add_url_rule("/user", "user", user, methods=["GET"])
    blueprint.add_url_rule("/logout", "logout", logout, methods=["GET", "POST"])
    blueprint.add_url_rule("/affirm", "affirm", affirm, methods=["GET"])
    return blueprint


def login() -> Response:
    """Start a login: a redirect to CentralAuth."""
    state = state_of()
    _refuse_background()
    return begin_login(
        state,
        return_to=state.safe_return_to(request, request.args.get("return_to")),
        email=request.args.get("email"),
    )


def affirm() -> Response:
    """Let the current user confirm that it is them: a redirect to CentralAuth."""
    state = state_of()
    _refuse_background()
    who = identity()
    if who.problem is not None:
        raise who.problem
    if not isinstance(who.user, User):
        raise SessionError(ErrorCode.TOKEN_MISSING)
    return begin_login(
        state,
        return_to=state.safe_return_to(request, request.args.get("return_to")),
        email=who.user.email,
        purpose=AFFIRM,
        user_id=who.user.id,
    )


def callback() -> Response:
    """End a login: CentralAuth sends the browser here with a code or an error."""
    state = state_of()
    answer = state.flow.read(request.args)
    attempt = state.flow.attempt_of(answer)
    if attempt is None:
        # The back button, a bookmark, a second click: whoever is in stays in.
        if identity().login is not None:
            return _redirect(state.after_login(), 303)
        raise state.flow.unvouched(answer, used_before=state.logins.is_claimed(answer.state))
    state.flow.forget(answer)
    try:
        if answer.error is not None:
            raise callback_error(answer.error, answer.description)
        require_store(session)
        if not state.logins.claim(answer.state, state.settings.login_lifetime):
            if identity().login is not None:
                return _redirect(attempt.return_to, 303)
            raise state.flow.unvouched(answer, used_before=True)
        return _complete(state, attempt)
    except CentralAuthError as error:
        error.attempt = attempt
        raise


def user() -> Response:
    """Return the logged-in user as CentralAuth spells it, or null."""
    who = identity()
    over = isinstance(who.problem, SessionError | PermissionDenied) and not has_bearer(request)
    if who.problem is not None and not over:
        # Not knowing is neither a user nor null.
        raise who.problem
    response = jsonify(who.user.to_dict() if isinstance(who.user, User) else None)
    response.vary.update(("Cookie", "Authorization"))
    return response


def logout() -> Response:
    """Ask for confirmation (GET), or sign out (POST)."""
    state = state_of()
    return_to = state.safe_return_to(request, request.values.get("return_to"))
    if request.method == "GET":
        return page(
            ["centralauth/logout.html"],
            logout_url=request.path,
            return_to=return_to,
            home_url=f"{request.root_path}/",
        )
    if not is_same_site(request):
        raise PermissionDenied(ErrorCode.CROSS_SITE_REQUEST)
    sign_out(state)
    return _redirect(return_to or state.after_logout(), 303)


def begin_login(
    state: State,
    *,
    return_to: str | None = None,
    email: str | None = None,
    purpose: str = LOGIN,
    user_id: str | None = None,
) -> Response:
    """Return the redirect to CentralAuth that starts a login.

    :param return_to: already checked; the setting for after a login when None.
    """
    _refuse_lost_session(state)
    attempt = Attempt(
        code_verifier="",
        redirect_uri=state.callback_url(),
        return_to=return_to or state.after_login(),
        purpose=purpose,
        user_id=user_id,
    )
    address = state.flow.begin(attempt, email=email, banner=unseen_notice() if _has_session() else None)
    return _redirect(address, 302)


def sign_out(state: State, *, everywhere: bool | None = None) -> None:
    """End the request's login here, and at CentralAuth when that is wanted.

    Signing out here never fails and never waits for CentralAuth to be well.

    :param everywhere: overrides ``CENTRALAUTH_LOGOUT_EVERYWHERE``.
    """
    login = state.logins.current()
    state.logins.end(login)
    current = request._get_current_object()  # type: ignore[attr-defined]

    @after_this_request
    def forget(response: Response) -> Response:
        state.attempts.forget_outcome(response, current)
        return response

    if login is None:
        return
    state.users.forget(login)
    set_identity(Identity(ANONYMOUS))
    application = current_app._get_current_object()  # type: ignore[attr-defined]
    user_logged_out.send(application, user=None, login_id=login.login_id)
    if state.settings.logout_everywhere if everywhere is None else everywhere:
        try:
            state.client.logout(login.token)
        except CentralAuthError as problem:
            log.warning("Signed out here, but not at CentralAuth: %s", problem)
            notify(gettext(_ELSEWHERE), state.settings.flash_category)
            state.logins.renew_session_id()


def _complete(state: State, attempt: Attempt) -> Response:
    """Turn a vouched-for code into a login, an affirmation, or an error."""
    tokens = state.flow.redeem()
    who = visitor()
    domain = origin_of(attempt.redirect_uri) or attempt.redirect_uri
    checked = state.client.userinfo(tokens.access_token, domain=domain, visitor=who)
    previous = state.logins.current()
    former = state.logins.live(previous) if previous else None
    if attempt.purpose == AFFIRM:
        _check_affirmation(attempt, checked, former.user if former else None)
    check_policy(checked, state.settings)
    answer = _run_hooks(state, checked)
    started = state.logins.start(
        Record(checked, time.time(), visitor_digest(who)),
        token=tokens.access_token,
        domain=domain,
        lifetime=tokens.lifetime,
    )
    if previous is not None:
        state.users.forget(previous)
    state.users.remember(started, checked, who)
    set_identity(Identity(checked, started))
    clear_notices()
    _remember_success(state, attempt)
    application = current_app._get_current_object()  # type: ignore[attr-defined]
    if attempt.purpose == AFFIRM:
        user_affirmed.send(application, user=checked)
    else:
        switched_from = former.user if former and former.user != checked else None
        user_logged_in.send(application, user=checked, previous=switched_from)
    return answer or _redirect(attempt.return_to, 303)


def _remember_success(state: State, attempt: Attempt) -> None:
    @after_this_request
    def remember(response: Response) -> Response:
        state.attempts.save_outcome(response, 0, secure=attempt.redirect_uri.startswith("https:"))
        return response


def _check_affirmation(attempt: Attempt, checked: User, former: User | None) -> None:
    """Refuse an affirmation by anybody but the user who is logged in (attack: affirm as another)."""
    if former is None or not checked.id == attempt.user_id == former.id:
        raise PermissionDenied(
            ErrorCode.NO_PERMISSION, "affirmed as another user", public_message=gettext(_OTHER_USER)
        )
    date = checked.affirmation_date
    age = None if date is None else time.time() - date.timestamp()
    if age is None or not -AFFIRMATION_SKEW <= age <= attempt.age + AFFIRMATION_SKEW:
        raise PermissionDenied(ErrorCode.NO_PERMISSION, "CentralAuth reports no affirmation of just now")


def _run_hooks(state: State, checked: User) -> Response | None:
    answer: Any = None
    for hook in tuple(state.login_hooks):
        try:
            answer = hook(checked) or answer
        except CentralAuthError:
            raise
        except HTTPException as refusal:
            if refusal.code != 403:
                raise
            raise PermissionDenied(ErrorCode.NO_PERMISSION, "refused by on_login") from refusal
    return None if answer is None else current_app.make_response(answer)


def _refuse_without_effect() -> Response | None:
    """Answer what must change nothing before any view runs."""
    if is_prefetch(request):
        return current_app.response_class(status=204)
    # Flask runs GET views for HEAD; a link checker would use up a login.
    if request.method == "HEAD" and request.endpoint and not request.endpoint.endswith(".user"):
        rule_methods = {"GET", "OPTIONS"} | ({"POST"} if request.endpoint.endswith(".logout") else set())
        refusal = current_app.response_class(status=405)
        refusal.headers["Allow"] = ", ".join(sorted(rule_methods))
        return refusal
    return None


def _refuse_background() -> None:
    """Start nothing for an image, a frame, a script or a fetch (attack: forced login)."""
    mode = request.headers.get("Sec-Fetch-Mode", "navigate")
    destination = request.headers.get("Sec-Fetch-Dest", "document")
    if (
        mode != "navigate"
        or destination != "document"
        or is_htmx(request)
        or "X-Requested-With" in request.headers
    ):
        raise SessionError(ErrorCode.TOKEN_MISSING)


def _protect(response: Response) -> Response:
    response.headers.update(ROUTE_HEADERS)
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    response.vary.add("Cookie")
    return response


def _refuse_lost_session(state: State) -> None:
    """Stop a browser that has just logged in and brings no session: it would go round for ever."""
    last = state.attempts.last_outcome(request)
    if last is not None and last[0] == 0 and last[1] < JUST_NOW_SECONDS and not _has_session():
        raise LoginError(
            ErrorCode.STATE_INVALID,
            "the browser did not keep the session cookie of the login it has just finished",
            public_message=gettext(COOKIE_LOST),
            hint="Check SESSION_COOKIE_SECURE (not on http), SESSION_COOKIE_SAMESITE (Lax), "
            "SESSION_COOKIE_DOMAIN and SESSION_COOKIE_PATH.",
        )


def _has_session() -> bool:
    """Say whether the browser sent a session cookie; asking the session would touch it."""
    return state_of().settings.session_cookie_name in request.cookies


def _redirect(address: str, status: int) -> Response:
    return current_app.response_class(status=status, headers={"Location": address})
