"""authenticate_direct, and the pages behind a mail's links."""

from __future__ import annotations

from flask import Flask, Response, jsonify, render_template, request, url_for

from ..errors import ErrorCode
from ..protocol import AUTHENTICATE_DIRECT_PATH
from .callback_faults import Callback
from .checks import Refusal
from .entities import Attempt, MailLogin
from .mail_login import ask_for_mail, check_answer, mail_for_page, open_link, redeem, undo
from .sending_back import login_device, sent_back
from .service import Service
from .web import the_checks, the_entry, the_service


def register(app: Flask) -> None:
    """Add the routes of logins that go through a mailbox."""
    app.add_url_rule(AUTHENTICATE_DIRECT_PATH, "authenticate_direct", authenticate_direct, methods=["POST"])
    app.add_url_rule("/login_attempt/<login_id>", "login_attempt", follow, methods=["GET", "POST"])
    app.add_url_rule("/login_attempt/<login_id>/undo", "login_undo", undo_login, methods=["GET"])


def authenticate_direct() -> Response:
    """A login by mail that the application asks for."""
    sent = request.get_json(force=True, silent=True)
    service = the_service()
    if isinstance(sent, dict) and isinstance(sent.get("email"), str):
        the_entry().email = sent["email"]
    return jsonify(ask_for_mail(service, request.headers.get("Authorization"), sent, the_checks()))


def follow(login_id: str) -> Response:
    """A link from the mailbox: here, on the other device, or first a question."""
    service = the_service()
    login = open_link(service, login_id, _token())
    the_entry().email = login.email
    asks = login.kind == "challenge" or login.method == "userPick"
    if asks and request.method == "GET":
        return Response(
            render_template("mail_question.html", login=login, organization=_name(service, login))
        )
    if login.kind == "challenge":
        check_answer(login, request.form.get("number", ""))
    if login.method == "remote" or (login.method == "userPick" and request.form.get("where") == "there"):
        login.confirmed = True
        return _message("Confirmed", "Go on in the browser where you started.")
    return _log_in(service, login)


def undo_login(login_id: str) -> Response:
    """The link for a person who did not ask for the mail."""
    undo(the_service(), login_id, _token())
    return _message("Undone", "This login cannot be used any more; a session it opened is ended.")


def _token() -> str:
    """Return the link's token; two different ones are none."""
    sent = set(request.values.getlist("token"))
    return sent.pop() if len(sent) == 1 else ""


def ask_on_page(service: Service, attempt: Attempt, email: str) -> Response:
    """Write a mail for somebody on the login page, and show where to go on.

    :raises ValueError: when that is no address.
    """
    return _waiting(service, attempt, mail_for_page(service, attempt, email))


def answer_on_page(service: Service, attempt: Attempt, login_id: str) -> Response:
    """Go on in the browser where a mail was asked for: with its code, or once it is confirmed."""
    with service.lock:
        login = service.store.mail_logins.get(login_id)
    if login is None or login.page_attempt_id != attempt.id or login.dead:
        raise Refusal(
            ErrorCode.LOGIN_ATTEMPT_INVALID, "This is not a mail of this login attempt, or it was used."
        )
    if service.clock.time() - login.started > service.settings.mail_lifetime:
        raise Refusal(ErrorCode.LOGIN_ATTEMPT_EXPIRED, "This login attempt is too old.")
    if login.kind == "code":
        check_answer(login, request.form.get("mail_code", ""))
    elif not login.confirmed:
        return _waiting(service, attempt, login)
    return _log_in(service, login)


def _log_in(service: Service, login: MailLogin) -> Response:
    ip, user_agent = login_device()
    params = redeem(service, login, ip=ip, user_agent=user_agent)
    return sent_back(service, Callback(login.redirect_uri, params), email=login.email)


def _waiting(service: Service, attempt: Attempt, login: MailLogin) -> Response:
    page = render_template(
        "mail_sent.html",
        login=login,
        organization=_name(service, login),
        action=url_for("login_choice", attempt_id=attempt.id),
    )
    return Response(page)


def _message(title: str, text: str) -> Response:
    return Response(render_template("message.html", title=title, text=text))


def _name(service: Service, login: MailLogin) -> str:
    return service.store.organizations[login.organization_id].name
