"""Control API: users, sessions, mails, logins."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, current_app, request

from ..errors import ErrorCode
from .checks import Refusal
from .clock import wire_time
from .control import add_all, only, required, sent_object
from .entities import Mail, Session, User
from .headless import LoginRefused, authorize
from .mailbox import Mailbox
from .origins import origin_of
from .store import NextLogin
from .web import the_service

Json = dict[str, Any]


def add_routes(blueprint: Blueprint) -> None:
    add_all(
        blueprint,
        [
            ("/users", "users", list_users, ("GET",)),
            ("/users", "add_user", add_user, ("POST",)),
            ("/users/<who>", "user", show_user, ("GET",)),
            ("/users/<who>", "change_user", change_user, ("PATCH",)),
            ("/users/<who>", "remove_user", remove_user, ("DELETE",)),
            ("/sessions", "sessions", list_sessions, ("GET",)),
            ("/sessions/<session_id>/<act>", "change_session", change_session, ("POST",)),
            ("/mailbox", "mailbox", list_mails, ("GET",)),
            ("/mailbox/latest", "latest_mail", latest_mail, ("GET",)),
            ("/authorize", "authorize", log_in, ("POST",)),
            ("/token", "token", make_tokens, ("POST",)),
            ("/autologin", "autologin", set_autologin, ("POST",)),
            ("/next", "next", queue_login, ("POST",)),
        ],
    )


def _user(user: User) -> Json:
    return user.to_wire(base_url=the_service().public_url, affirmed_at=user.affirmation_date)


def _found(who: str) -> User:
    user = the_service().find_user(who)
    if user is None:
        raise Refusal(ErrorCode.ENTITY_MISSING, f"there is no user {who[:80]!r}")
    return user


def list_users() -> Json:
    """Everybody."""
    return {"users": [_user(user) for user in list(the_service().store.users.values())]}


def add_user() -> tuple[Json, int]:
    """Register a person, or change the one with this e-mail."""
    sent = sent_object()
    return _user(the_service().add_user(email=required(sent, "email"), **_without(sent, "email"))), 201


def show_user(who: str) -> Json:
    """One person, by e-mail or id."""
    return _user(_found(who))


def change_user(who: str) -> Json:
    """Change fields of a person."""
    user = _found(who)
    the_service().change_user(user, sent_object())
    return _user(user)


def remove_user(who: str) -> Json:
    """Delete a person; their sessions end."""
    the_service().remove_user(_found(who))
    return {"status": "ok"}


def _session(session: Session) -> Json:
    return {
        "id": session.id,
        "email": session.email,
        "organizationId": session.organization_id,
        "domains": sorted(session.domains),
        "created": wire_time(session.created),
        "lastSeen": wire_time(session.last_seen),
        "ip": session.ip,
        "userAgent": session.user_agent,
        "deviceId": session.device_id,
        "verified": session.verified,
        "active": session.active,
        "reason": session.reason,
    }


def list_sessions() -> Json:
    """The sessions, oldest first."""
    return {"sessions": [_session(session) for session in list(the_service().store.sessions.values())]}


def change_session(session_id: str, act: str) -> Json:
    """``end`` (with a ``reason``), ``expire``, ``unverify`` or ``rebind`` a session to another browser."""
    service = the_service()
    session = service.store.sessions.get(session_id)
    if session is None or act not in ("end", "expire", "rebind", "unverify"):
        raise Refusal(
            ErrorCode.ENTITY_MISSING,
            "there is no such session, or no such act (end, expire, rebind, unverify)",
        )
    text = (str, type(None))
    if act == "rebind":
        sent = only(sent_object(), ip=text, user_agent=text, device_id=text)
        for name, value in sent.items():
            setattr(session, name, value)
    elif act == "unverify":
        session.verified = False
    else:
        usual = ErrorCode.SESSION_INACTIVE if act == "end" else ErrorCode.SESSION_EXPIRED
        session.end(only(sent_object(), reason=str).get("reason", usual))
    return _session(session)


def _mail(mail: Mail) -> Json:
    return {
        "number": mail.number,
        "to": mail.to,
        "subject": mail.subject,
        "sent": wire_time(mail.sent),
        "loginAttemptId": mail.attempt_id,
        "link": mail.link,
        "undoLink": mail.undo_link,
        "sentence": mail.sentence,
        "code": mail.code,
    }


def list_mails() -> Json:
    """The mailbox, oldest first."""
    return {"mails": [_mail(mail) for mail in Mailbox(the_service())]}


def latest_mail() -> Json:
    """The newest mail, or the newest one ``to`` an address."""
    try:
        return _mail(Mailbox(the_service()).latest(request.args.get("to")))
    except LookupError as problem:
        raise Refusal(ErrorCode.ENTITY_MISSING, str(problem)) from None


def log_in() -> Json:
    """Log in without a browser: ``url`` is where the application sent it; the answer is where it goes."""
    text = (str, type(None))
    sent = only(sent_object(), url=str, user=str, ip=text, user_agent=text, deny=bool, error=str, referer=str)
    url = required(sent, "url")
    how: dict[str, Any] = {"user": "alice@example.com", **_without(sent, "url")}
    try:
        callback = authorize(
            current_app._get_current_object(),  # type: ignore[attr-defined]
            the_service(),
            url,
            **how,
        )
    except LoginRefused as refused:
        raise Refusal(
            refused.code or ErrorCode.GENERIC_ERROR, refused.message or str(refused), status=400
        ) from None
    return {"callback": callback}


def make_tokens() -> Json:
    """Tokens of a new session, without a browser or an application."""
    text = (str, type(None))
    sent = only(sent_object(), user=str, domain=str, ip=text, user_agent=text)
    domain = origin_of(required(sent, "domain"))
    if domain is None:
        raise Refusal(ErrorCode.ENTITY_INVALID, "domain is the application's origin")
    return the_service().tokens_for(
        required(sent, "user"), domain=domain, ip=sent.get("ip"), user_agent=sent.get("user_agent")
    )


def set_autologin() -> Json:
    """Answer every login page with ``user``; null asks again."""
    service = the_service()
    user = only(sent_object(), user=(str, type(None))).get("user")
    service.set_autologin(user)
    return {"user": user}


def queue_login() -> Json:
    """Decide how the next visit to the login page ends: ``user``, ``deny`` or ``error``."""
    sent = only(sent_object(), user=str, deny=bool, error=str, message=str)
    if not sent:
        raise Refusal(ErrorCode.MISSING_FIELDS, "say user, deny or error")
    the_service().next_login(NextLogin(**sent))
    return {"status": "ok"}


def _without(sent: Json, name: str) -> Json:
    return {key: value for key, value in sent.items() if key != name}
