"""The login page, and what happens when somebody answers it."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final
from urllib.parse import parse_qsl

from flask import Flask, Response, g, render_template, request, url_for
from werkzeug.datastructures import Headers, MultiDict

from ..errors import ErrorCode
from ..protocol import LOGIN_PATH
from .avatars import avatar_svg
from .callback_faults import Callback, tampered
from .checks import Refusal
from .entities import Attempt
from .faults import RequestFacts
from .login_outcome import answered, callback_url, live_attempt, refused
from .login_request import check_request, check_target, theme_of, translations_of
from .service import NextLogin, Service
from .settings import SERVICE_CODES
from .themes import theme_css
from .web import the_checks, the_entry, the_service

SHOWN_USERS: Final = 20
#: Names the attempt of a login page, for a login without a browser.
ATTEMPT_HEADER: Final = "X-Emulator-Attempt"
#: Keys of the WSGI environ by which a login without a browser says who it is.
LOGIN_IP: Final = "flask_centralauth.emulator.login_ip"
LOGIN_USER_AGENT: Final = "flask_centralauth.emulator.login_user_agent"


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
        return _sent_back_refused(redirect_uri, refusal)
    service.keep(service.store.attempts, attempt.id, attempt)
    outcome = _decided(service)
    if outcome is not None:
        return _finish(service, attempt, outcome)
    return _page(service, attempt)


def choose(attempt_id: str) -> Response:
    """End a login the way its page was answered."""
    service = the_service()
    attempt = live_attempt(service, attempt_id)
    code = request.form.get("error", "")
    email = request.form.get("email", "").strip()
    if "deny" in request.form:
        return _finish(service, attempt, NextLogin(deny=True))
    if code:
        if code not in SERVICE_CODES:
            raise Refusal(ErrorCode.ENTITY_INVALID, f"There is no error code {code[:80]!r}.")
        return _finish(service, attempt, NextLogin(error=code, message=request.form.get("message") or None))
    try:
        service.user_of(email)
    except ValueError as problem:
        return _page(service, replace(attempt, email=email[:254]), problem=str(problem))
    return _finish(service, attempt, NextLogin(user=email))


def avatar(user_id: str) -> Response:
    """A picture made of the initial of an address."""
    user = the_service().find_user(user_id)
    response = Response(avatar_svg(user.email if user else "?"), content_type="image/svg+xml")
    response.headers["Cache-Control"] = "max-age=3600"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _decided(service: Service) -> NextLogin | None:
    with service.lock:
        if service.store.next_logins:
            return service.store.next_logins.popleft()
        return NextLogin(user=service.autologin) if service.autologin else None


def _finish(service: Service, attempt: Attempt, outcome: NextLogin) -> Response:
    # A headless login may leave both open: then the first userinfo call decides them.
    ip = request.environ.get(LOGIN_IP, request.remote_addr)
    agent = request.environ.get(LOGIN_USER_AGENT, request.headers.get("User-Agent", ""))
    params = answered(service, attempt, outcome, ip=ip, user_agent=agent)
    if (entry := the_entry()) is not None:
        entry.email = outcome.user
        entry.error_code = dict(params).get("error")
    return _sent_back(service, Callback(attempt.redirect_uri, params), email=outcome.user)


def _sent_back_refused(redirect_uri: str, refusal: Refusal) -> Response:
    state = request.args.getlist("state")
    attempt = Attempt(
        id="",
        organization_id="",
        redirect_uri=redirect_uri,
        # Two states: which of them would be the application's? Neither is sent back.
        state=state[0] if len(state) == 1 and state[0] else None,
        code_challenge=None,
        started=0,
    )
    if (entry := the_entry()) is not None:
        entry.error_code, entry.message = refusal.code, refusal.message
    params = refused(attempt, refusal.code, refusal.message)
    return _sent_back(the_service(), Callback(redirect_uri, params), email=None)


def _sent_back(service: Service, callback: Callback, *, email: str | None) -> Response:
    """Redirect the browser to the application, tampered with when a fault says so."""
    fault = service.faults.take(RequestFacts("callback", None, email, Headers(request.headers)))
    if fault is not None:
        fault.hold()
        callback = tampered(service, fault, callback)
        if (entry := the_entry()) is not None:
            entry.fault = f"callback: {fault}"
    location = callback_url(callback.redirect_uri, callback.params)
    # Not flask.redirect(): the redirect URI goes back byte for byte.
    response = Response(b"", 302, content_type="text/plain; charset=utf-8")
    response.headers["Location"] = location
    return response


def _page(service: Service, attempt: Attempt, *, problem: str | None = None) -> Response:
    organization = service.store.organizations[attempt.organization_id]
    args = MultiDict(parse_qsl(attempt.query_string, keep_blank_values=True))
    texts, unknown_texts = translations_of(args)
    theme, unknown_theme = theme_of(args)
    g.style_nonce = secrets.token_urlsafe(16)
    if attempt.embed:
        listed = " ".join(service.settings.whitelist)
        g.frame_ancestors = listed or "http: https:"
    with service.lock:
        users = list(service.store.users.values())
    page = render_template(
        "login.html",
        organization=organization,
        attempt=attempt,
        users=users[-SHOWN_USERS:] if len(users) > SHOWN_USERS else users,
        problem=problem,
        codes=SERVICE_CODES,
        texts=texts,
        theme=theme,
        theme_css=theme_css(theme),
        checks=the_checks().done,
        unknown=unknown_texts + unknown_theme,
        action=url_for("login_choice", attempt_id=attempt.id),
        sent=list(args.items(multi=True)),
    )
    response = Response(page, 400 if problem else 200)
    response.headers[ATTEMPT_HEADER] = attempt.id
    return response
