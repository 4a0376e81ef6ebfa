"""The routes below the prefix: HTTP in and out, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, current_app, has_request_context, jsonify, request, session

from .affirmation import moment_of
from .attempts import AFFIRM, BY_MAIL, CARRIED, CONFIRM, Attempt
from .autologin import begin_own_login, is_of_carried_login, without_page
from .config import Settings
from .direct_login import ask_before_login, confirmed_attempt
from .embedding import break_out, is_framed, wants_embedding
from .errors import CentralAuthError, ErrorCode, PermissionDenied, SessionError, callback_error
from .guarded_views import needs_login
from .identity import identity
from .incidents import record_unanswered
from .negotiation import has_bearer, is_background, is_prefetch, is_same_site
from .pages import page
from .proxy_check import ProxyWatch
from .redirects import origin_of
from .route_headers import protect_route, redirect
from .sign_in import begin_login, complete_login
from .sign_out import sign_out
from .state import State, in_force, put_in_force
from .unavailable_session import require_store
from .user import User

if TYPE_CHECKING:
    from .callback import Callback

#: Bytes of what is posted to a route: a code, a state, a return path.
MAX_FORM: Final = 32 * 1024

_HOST: Final = "centralauth_host"


def create_blueprint(settings: Settings, proxy: ProxyWatch, *, host_matching: bool) -> Blueprint:
    """Return the blueprint of the auth routes of one `CentralAuth` object.

    :param host_matching: whether the application matches hosts; then the routes are on all of them.
    """
    name = settings.identifier
    blueprint = Blueprint(name, __name__, url_prefix=settings.url_prefix, template_folder="templates")
    blueprint.before_request(lambda: _put_in_force(name))
    blueprint.before_request(lambda: proxy.look() if proxy.watching else None)
    blueprint.before_request(_refuse_without_effect)
    blueprint.after_request(protect_route)
    host = f"<{_HOST}>" if host_matching else None
    if host_matching:
        blueprint.url_value_preprocessor(_forget_host)
        blueprint.app_url_defaults(partial(_stay_on_host, name))
    blueprint.add_url_rule("/login", "login", login, methods=["GET"], host=host)
    blueprint.add_url_rule("/callback", "callback", callback, methods=["GET"], host=host)
    blueprint.add_url_rule("/confirm", "confirm", confirm, methods=["POST"], host=host)
    blueprint.add_url_rule("/user", "user", user, methods=["GET"], host=host)
    blueprint.add_url_rule("/logout", "logout", logout, methods=["GET", "POST"], host=host)
    blueprint.add_url_rule("/affirm", "affirm", affirm, methods=["GET"], host=host)
    return blueprint


def _forget_host(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    (values or {}).pop(_HOST, None)


def _put_in_force(name: str) -> None:
    put_in_force(name)


def _stay_on_host(name: str, endpoint: str, values: dict[str, Any]) -> None:
    if endpoint.startswith(f"{name}.") and has_request_context():
        values.setdefault(_HOST, request.host)


def login() -> Response:
    """Start a login: a redirect to CentralAuth."""
    state = in_force()
    embedded = wants_embedding(request)
    if not embedded:
        _refuse_background()
    return begin_login(
        state,
        return_to=state.safe_return_to(request, request.args.get("return_to")),
        email=request.args.get("email"),
        embedded=embedded,
    )


def affirm() -> Response:
    """Let the current user confirm that it is them: a redirect to CentralAuth."""
    state = in_force()
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
        affirmed=moment_of(who.user),
    )


def _recorded(view: Callable[[], Response]) -> Callable[[], Response]:
    """Let a login that fails be recorded, also when a handler of the application answers it."""

    @wraps(view)
    def recorded() -> Response:
        try:
            return view()
        except CentralAuthError as error:
            record_unanswered(error)
            raise

    return recorded


@_recorded
def callback() -> Response:
    """End a login: CentralAuth sends the browser here with a code or an error."""
    state = in_force()
    if is_framed(request) and not is_of_carried_login(state, request):
        return break_out()
    answer = state.flow.read(request.args)
    attempt = state.flow.attempt_of(answer)
    if attempt is None or attempt.purpose == CONFIRM:
        carried_on = begin_own_login(state, answer)
        if carried_on is not None:
            return carried_on
        # Attack: images that nobody sees, each of which pushes another attempt out.
        question = None if is_background(request) else ask_before_login(state, answer)
        if question is not None:
            return question
        # The back button, a bookmark, a second click: whoever is in stays in.
        if identity().login is not None:
            return redirect(state.after_login(), 303)
        raise state.flow.unvouched(answer, used_before=state.logins.is_claimed(answer.state))
    return _complete(state, answer, attempt)


@_recorded
def confirm() -> Response:
    """End a login by mail in another browser than the one it was started in."""
    state = in_force()
    answer = state.flow.read(request.form)
    return _complete(state, answer, confirmed_attempt(state, answer))


def _complete(state: State, answer: Callback, attempt: Attempt) -> Response:
    state.flow.forget(answer)
    try:
        if answer.error is not None:
            raise callback_error(answer.error, answer.description)
        require_store(session)
        first = state.logins.claim(answer.state, state.settings.login_lifetime)
        if (not first or attempt.purpose == CARRIED) and identity().login is not None:
            # Opened twice; or signed in meanwhile, when nobody asked to be somebody else.
            response = redirect(attempt.return_to, 303)
        elif first:
            if attempt.purpose in BY_MAIL:
                state.mail_logins.forget(answer.state)
            response = complete_login(state, attempt)
        else:
            raise state.flow.unvouched(answer, used_before=True)
        return without_page(response) if is_framed(request) else response
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
    state = in_force()
    return_to = state.safe_return_to(request, request.values.get("return_to"))
    if request.method == "GET":
        signed_out = state.logins.current() is None
        return _signed_out_page(state, return_to) if signed_out else _logout_page(state, return_to)
    if not is_same_site(request, state.own_origins(request)):
        raise PermissionDenied(ErrorCode.CROSS_SITE_REQUEST)
    sign_out(state)
    if "sign_in_again" in request.form:
        # "Use another account": the login page is what the person asked for.
        return redirect(state.login_url(return_to), 303)
    target = return_to or state.after_logout()
    if needs_login(state, target):
        # CentralAuth would sign the person in again at once, without a question.
        target = state.url_for("logout", return_to=return_to)
    return redirect(target, 303)


def _logout_page(state: State, return_to: str | None) -> Response:
    response = page(
        ["centralauth/logout.html"],
        logout_url=state.url_for("logout"),
        return_to=return_to,
        home_url=f"{request.root_path}/",
    )
    if return_to is not None and not return_to.startswith("/"):
        # Browsers hold the redirect after a form to form-action, too.
        policy = response.headers["Content-Security-Policy"]
        allowed = f"form-action 'self' {origin_of(return_to)}"
        response.headers["Content-Security-Policy"] = policy.replace("form-action 'self'", allowed)
    return response


def _signed_out_page(state: State, return_to: str | None) -> Response:
    home = f"{request.root_path}/"
    return page(
        ["centralauth/signed_out.html"],
        login_url=state.login_url(return_to),
        home_url=None if needs_login(state, home) else home,
    )


def _refuse_without_effect() -> Response | None:
    """Answer what must change nothing before any view runs."""
    # Attack: a form of gigabytes, which would be read, or written to a file, before it is refused.
    request.max_content_length = MAX_FORM
    if is_prefetch(request):
        return current_app.response_class(status=204)
    if has_bearer(request) and request.endpoint and not request.endpoint.endswith(".user"):
        # Who brings a token has no login to start or end; a cookie beside it stays as it is.
        raise SessionError(ErrorCode.TOKEN_MISSING, "this route is for browsers")
    # Flask runs GET views for HEAD; a link checker would use up a login.
    if request.method == "HEAD" and request.endpoint and not request.endpoint.endswith(".user"):
        rule_methods = {"GET", "OPTIONS"} | ({"POST"} if request.endpoint.endswith(".logout") else set())
        refusal = current_app.response_class(status=405)
        refusal.headers["Allow"] = ", ".join(sorted(rule_methods))
        return refusal
    return None


def _refuse_background() -> None:
    """Start nothing for an image, a frame, a script or a fetch (attack: forced login)."""
    if is_background(request):
        raise SessionError(ErrorCode.TOKEN_MISSING)
