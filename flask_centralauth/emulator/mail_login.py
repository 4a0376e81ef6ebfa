"""Logins that go through a mailbox: asked for by the application or on the login page.

No mail is sent: ``service.store.mails`` is the mailbox.
Source: ``CentralAuth: direct authentication``; waiting times and words: ``docs/fidelity.md``.
"""

from __future__ import annotations

import hmac
import math
import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from ..errors import ErrorCode
from .checks import Checks, Refusal
from .client_credentials import require_client
from .clock import moment_of, wire_time
from .entities import Attempt, Code, Mail, MailLogin, Organization, User, checked_email
from .login_outcome import Params, code_params
from .origins import is_callback_url, origin_of, whitelisted
from .service import Service

_WORDS: Final = ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heron", "iris", "juniper")


def ask_for_mail(service: Service, authorization: str | None, sent: object, checks: Checks) -> dict[str, Any]:
    """Return what authenticate_direct answers; a login link lies in the mailbox.

    :raises Refusal: with the code of the rule that is broken.
    """
    organization = require_client(service, authorization, checks)
    checks.require(
        isinstance(sent, dict),
        "body is a JSON object",
        ErrorCode.ENTITY_INVALID,
        "the body is not a JSON object",
    )
    fields: Mapping[str, Any] = sent if isinstance(sent, dict) else {}
    missing = [name for name in ("email", "redirect_uri", "state") if not fields.get(name)]
    checks.require(
        not missing,
        "email, redirect_uri and state are there",
        ErrorCode.MISSING_FIELDS,
        f"missing: {', '.join(missing)}",
    )
    redirect_uri, state = fields["redirect_uri"], fields["state"]
    checks.require(
        isinstance(redirect_uri, str) and isinstance(state, str),
        "redirect_uri and state are text",
        ErrorCode.ENTITY_INVALID,
        "redirect_uri and state must be text",
    )
    _check_target(service, redirect_uri, checks)
    user = _user(service, fields["email"], checks)
    with service.lock:
        allowed = _wait_for_next(service, user.email)
        login = _new_login(service, organization, user, redirect_uri, state, kind="link", method="local")
        _write_mail(service, login, organization)
    return {
        "loginAttemptId": login.id,
        "token": service.new_id("poll"),
        "sentence": login.sentence,
        "allowedDate": allowed,
    }


def mail_for_page(service: Service, attempt: Attempt, email: str) -> MailLogin:
    """Return the mail login that a person on the login page asked for.

    :raises ValueError: when that is no address, or users are not made here.
    :raises Refusal: when the last mail to the address is too young.
    """
    settings = service.settings
    with service.lock:
        user = service.user_of(email)
        _wait_for_next(service, user.email)
        organization = service.store.organizations[attempt.organization_id]
        login = _new_login(
            service,
            organization,
            user,
            attempt.redirect_uri,
            attempt.state,
            kind=settings.login_attempt_type,
            method=settings.login_method,
            code_challenge=attempt.code_challenge,
            affirm=attempt.affirm,
            page_attempt_id=attempt.id,
        )
        _write_mail(service, login, organization)
    return login


def open_link(service: Service, login_id: str, token: str) -> MailLogin:
    """Return the login that a link from the mailbox stands for, still good.

    :raises Refusal: when it is unknown, too old, used, undone, or the token is wrong.
    """
    with service.lock:
        login = service.store.mail_logins.get(login_id)
    if login is None:
        raise Refusal(ErrorCode.LOGIN_ATTEMPT_MISSING, "This login attempt is not known here.")
    if not hmac.compare_digest(token.encode("utf-8", "replace"), login.token.encode()):
        raise Refusal(ErrorCode.LOGIN_ATTEMPT_INVALID, "This link is not the one from the mail.")
    if login.dead:
        raise Refusal(ErrorCode.LOGIN_ATTEMPT_INVALID, "This login attempt was used or undone.")
    if service.clock.time() - login.started > service.settings.mail_lifetime:
        raise Refusal(ErrorCode.LOGIN_ATTEMPT_EXPIRED, "This login attempt is too old.")
    return login


def check_answer(login: MailLogin, answer: str) -> None:
    """Accept the number or code that a person gives; a wrong one ends the attempt.

    :raises Refusal: when it is wrong.
    """
    if not login.answer or hmac.compare_digest(
        answer.strip().encode("utf-8", "replace"), login.answer.encode()
    ):
        return
    login.dead = True
    raise Refusal(ErrorCode.LOGIN_ATTEMPT_INVALID, "That is not what the mail says.")


def redeem(service: Service, login: MailLogin, *, ip: str | None, user_agent: str | None) -> Params:
    """Return the callback parameters of a mail login that worked, once.

    :raises Refusal: when somebody else was faster.
    """
    with service.lock:
        if login.dead:
            raise Refusal(ErrorCode.LOGIN_ATTEMPT_INVALID, "This login attempt was used or undone.")
        login.dead = True
        code = Code(
            value=service.new_id("code"),
            organization_id=login.organization_id,
            user_id=login.user_id,
            redirect_uri=login.redirect_uri,
            code_challenge=login.code_challenge,
            issued=service.clock.time(),
            ip=service.settings.login_ip or ip,
            user_agent=user_agent,
            affirm=login.affirm,
        )
        service.keep(service.store.codes, code.value, code)
        login.code = code.value
    return code_params(code, login.state)


def undo(service: Service, login_id: str, token: str) -> None:
    """End an attempt that the person did not make, and the session it may have opened.

    :raises Refusal: when the link is not the one from the mail.
    """
    with service.lock:
        login = service.store.mail_logins.get(login_id)
        if login is None:
            raise Refusal(ErrorCode.LOGIN_ATTEMPT_MISSING, "This login attempt is not known here.")
        if not hmac.compare_digest(token.encode("utf-8", "replace"), login.token.encode()):
            raise Refusal(ErrorCode.LOGIN_ATTEMPT_INVALID, "This link is not the one from the mail.")
        login.dead = True
        code = service.store.codes.get(login.code or "")
        session = service.store.sessions.get(code.session_id or "") if code else None
        if session is not None:
            session.end(ErrorCode.SESSION_INVALID)


def _check_target(service: Service, redirect_uri: str, checks: Checks) -> None:
    settings = service.settings
    origin = origin_of(redirect_uri) or ""
    checks.require(
        is_callback_url(redirect_uri)
        and whitelisted(origin, settings.whitelist, allow_localhost=settings.allow_localhost),
        "redirect_uri is whitelisted",
        ErrorCode.CALLBACK_URL_INVALID,
        f"redirect_uri {redirect_uri[:200]!r} is no callback URL on the whitelist",
    )


def _user(service: Service, email: object, checks: Checks) -> User:
    try:
        user: User | None = service.user_of(checked_email(email))
        told = ""
    except ValueError as problem:
        user, told = None, str(problem)
    return checks.found(user, "email is an address", ErrorCode.ENTITY_INVALID, told)


def _wait_for_next(service: Service, email: str) -> str | None:
    """Return when the address may ask again, twice as long each time.

    :raises Refusal: when it is too early.
    """
    now, waits = service.clock.time(), service.store.mail_waits
    allowed_at, wait = waits.get(email.lower(), (0.0, 0))
    if now < allowed_at:
        raise Refusal(
            ErrorCode.TOO_MANY_REQUESTS,
            f"the next mail to {email} may be asked for in {allowed_at - now:.0f} seconds",
            retry_after=math.ceil(allowed_at - now),
            facts={"allowedDate": wire_time(moment_of(allowed_at) + service.skew)},
        )
    wait = wait * 2 or service.settings.mail_wait
    service.keep(waits, email.lower(), (now + wait, wait))
    return wire_time(moment_of(now + wait) + service.skew)


def _new_login(
    service: Service,
    organization: Organization,
    user: User,
    redirect_uri: str,
    state: str,
    **more: Any,
) -> MailLogin:
    login = MailLogin(
        id=service.new_id("attempt"),
        token=secrets.token_urlsafe(32),
        organization_id=organization.id,
        user_id=user.id,
        email=user.email,
        redirect_uri=redirect_uri,
        state=state,
        started=service.clock.time(),
        sentence=" ".join(secrets.SystemRandom().sample(_WORDS, 3)),
        **more,
    )
    if login.kind == "challenge":
        login.numbers = tuple(str(n) for n in secrets.SystemRandom().sample(range(10, 100), 3))
        login.answer = secrets.choice(login.numbers)
    elif login.kind == "code":
        login.answer = f"{secrets.randbelow(1_000_000):06d}"
    return service.keep(service.store.mail_logins, login.id, login)


def _write_mail(service: Service, login: MailLogin, organization: Organization) -> None:
    link = f"{service.public_url}/login_attempt/{login.id}"
    token = urlencode({"token": login.token})
    mails = service.store.mails
    mails.append(
        Mail(
            number=mails[-1].number + 1 if mails else 1,
            to=login.email,
            subject=f"Sign in to {organization.name}",
            sent=service.clock.now(),
            attempt_id=login.id,
            link=f"{link}?{token}",
            undo_link=f"{link}/undo?{token}",
            sentence=login.sentence,
            code=login.answer if login.kind == "code" else None,
        )
    )
    del mails[:-1000]
