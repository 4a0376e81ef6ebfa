"""The login page, and what happens when somebody answers it."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl

from flask import Flask, Response, g, render_template, request, url_for
from werkzeug.datastructures import MultiDict

from ..protocol import LOGIN_PATH
from .avatars import avatar_svg
from .browser_memory import remember, remembered_user
from .callback_faults import Callback
from .carrying import carried
from .checks import Refusal
from .entities import Attempt, User
from .login_outcome import PASSKEY_CODES, answered, chosen, live_attempt, refused
from .login_request import check_request, check_target, theme_of, translations_of
from .mail_views import answer_on_page, ask_on_page
from .sending_back import login_device, sent_back
from .service import Service
from .settings import CONNECTIONS, SERVICE_CODES
from .store import NextLogin
from .themes import theme_css
from .web import the_checks, the_entry, the_service

SHOWN_USERS: Final = 20
#: Names the attempt of a login page, for a login without a browser.
ATTEMPT_HEADER: Final = "X-Emulator-Attempt"


def register(app: Flask) -> None:
    """Add the pages a person logs in on."""
    app.add_url_rule(LOGIN_PATH, "login", login, methods=["GET"])
    app.add_url_rule(f"{LOGIN_PATH}/<attempt_id>", "login_choice", choose, methods=["POST"])
    app.add_url_rule("/avatar/<user_id>.svg", "avatar", avatar)


def login() -> Response:
    """Check what the application sent, then ask who logs in, unless that is decided already."""
    service, checks = the_service(), the_checks()
    query_string = request.query_string.decode("latin-1")
    organization, redirect_uri = check_target(service, request.args, request.referrer, checks)
    try:
        attempt = check_request(service, organization, request.args, query_string, checks)
    except Refusal as refusal:
        return _refused(service, redirect_uri, refusal)
    service.keep(service.store.attempts, attempt.id, attempt)
    outcome = _decided(service, attempt)
    if outcome is not None:
        return _finish(service, attempt, outcome)
    return _page(service, attempt)


def choose(attempt_id: str) -> Response:
    """End a login the way its page was answered."""
    service = the_service()
    attempt = live_attempt(service, attempt_id)
    form = request.form
    if mail_login := form.get("mail_login"):
        return answer_on_page(service, attempt, mail_login)
    outcome = chosen(form, service.settings)
    email = outcome.user
    if email is None:
        return _finish(service, attempt, outcome)
    try:
        if "mail" in form:
            return ask_on_page(service, attempt, email)
        user = service.user_of(email)
    except ValueError as problem:
        return _page(service, replace(attempt, email=email[:254]), problem=str(problem))
    return remember(service, _finish(service, attempt, outcome, carry=True), user)


def avatar(user_id: str) -> Response:
    """A picture made of the initial of an address."""
    user = the_service().find_user(user_id)
    response = Response(avatar_svg(user.email if user else "?"), content_type="image/svg+xml")
    response.headers["Cache-Control"] = "max-age=3600"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _decided(service: Service, attempt: Attempt) -> NextLogin | None:
    """Return how this visit ends without a question, if it does."""
    with service.lock:
        if service.store.next_logins:
            return service.store.next_logins.popleft()
    if service.autologin:
        return NextLogin(user=service.autologin)
    known = remembered_user(service) if service.settings.autologin and not attempt.affirm else None
    return NextLogin(user=known.email) if known else None


def _finish(service: Service, attempt: Attempt, outcome: NextLogin, *, carry: bool = False) -> Response:
    ip, user_agent = login_device()
    params = answered(service, attempt, outcome, ip=ip, user_agent=user_agent)
    entry = the_entry()
    entry.email = outcome.user
    entry.error_code = dict(params).get("error")
    return sent_back(
        service,
        Callback(attempt.redirect_uri, params),
        email=outcome.user,
        besides=carried(service, attempt, params) if carry else (),
    )


def _refused(service: Service, redirect_uri: str, refusal: Refusal) -> Response:
    # Two states: which of them would be the application's? Neither is sent back.
    states = request.args.getlist("state")
    state = states[0] if len(states) == 1 and states[0] else None
    entry = the_entry()
    entry.error_code, entry.message = refusal.code, refusal.message
    params = refused(state, refusal.code, refusal.message)
    return sent_back(service, Callback(redirect_uri, params), email=None)


def _page(service: Service, attempt: Attempt, *, problem: str | None = None) -> Response:
    sent = MultiDict(parse_qsl(attempt.query_string, keep_blank_values=True))
    texts, unknown_texts = translations_of(sent)
    theme, unknown_theme = theme_of(sent)
    g.style_nonce = secrets.token_urlsafe(16)
    if attempt.embed:
        g.frame_ancestors = " ".join(service.settings.whitelist) or "http: https:"
    page = render_template(
        "login.html",
        organization=service.store.organizations[attempt.organization_id],
        attempt=attempt,
        users=_offered(service, attempt),
        problem=problem,
        codes=SERVICE_CODES,
        connections=CONNECTIONS,
        passkeys=PASSKEY_CODES,
        texts=texts,
        theme=theme,
        theme_css=theme_css(theme),
        checks=the_checks().done,
        unknown=unknown_texts + unknown_theme,
        action=url_for("login_choice", attempt_id=attempt.id),
        sent=list(sent.items(multi=True)),
    )
    response = Response(page, 400 if problem else 200)
    response.headers[ATTEMPT_HEADER] = attempt.id
    return response


def _offered(service: Service, attempt: Attempt) -> list[User]:
    """Return the users with a button: the newest, and first of all who has to confirm."""
    with service.lock:
        users = list(service.store.users.values())
    known = remembered_user(service) if attempt.affirm else None
    rest = [user for user in users if user is not known]
    shown = [*rest[: SHOWN_USERS // 2], *rest[SHOWN_USERS // 2 :][-SHOWN_USERS // 2 :]]
    return [known, *shown] if known else shown
