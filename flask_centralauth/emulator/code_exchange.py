"""The code for tokens, once.

Source: ``CentralAuth: verify``; RFC 7636 §4.6; RFC 9700 §4.8.2.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Any, Final
from urllib.parse import urlsplit

from werkzeug.datastructures import MultiDict

from ..errors import ErrorCode
from .checks import Checks, Refusal
from .client_credentials import require_client
from .entities import Code, Organization, Session, User
from .origins import origin_of
from .service import Service

_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def s256(verifier: str) -> str:
    """Return the PKCE challenge of a verifier (RFC 7636 §4.2)."""
    digest = hashlib.sha256(verifier.encode("utf-8", "replace")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def exchange(
    service: Service, authorization: str | None, form: MultiDict[str, str], checks: Checks
) -> tuple[dict[str, Any], Session]:
    """Return tokens and the session they stand for.

    :raises Refusal: with the code of the rule that is broken.
    """
    native = bool(form.get("app_id")) and not authorization
    missing = [name for name in ("code", "redirect_uri") if not form.get(name)]
    checks.require(
        not missing,
        "code and redirect_uri are there",
        ErrorCode.MISSING_FIELDS,
        f"missing: {', '.join(missing)}",
    )
    if service.settings.strict:
        checks.once(form)
    organization = None if native else require_client(service, authorization, checks, form=form)
    with service.lock:
        code = _known_code(service, form, organization, checks)
        _check_binding(service, code, form, checks)
        return _redeem(service, code)


def _known_code(
    service: Service, form: MultiDict[str, str], organization: Organization | None, checks: Checks
) -> Code:
    known = service.store.codes.get(form["code"])
    fits = known is not None and (
        known.organization_id == organization.id
        if organization is not None
        else known.app_id is not None and known.app_id == form.get("app_id")
    )
    code = checks.found(
        known if fits else None,
        "code is known to this organization",
        ErrorCode.SESSION_MISSING,
        "this code was never given to this client",
    )
    if code.session_id is not None and (session := service.store.sessions.get(code.session_id)):
        # A second use means that two parties hold the code (RFC 6749 §4.1.2).
        session.end(ErrorCode.SESSION_INVALID)
    checks.require(
        code.session_id is None,
        "code is used for the first time",
        ErrorCode.SESSION_INVALID,
        "this code was used before; the session it opened is ended",
    )
    if code.app_id is not None:
        checks.require(
            (code.device_id or "") == form.get("device_id", ""),
            "device_id is the login's",
            ErrorCode.ENTITY_INVALID,
            "device_id differs from the one of the login",
        )
    checks.require(
        service.clock.time() - code.issued <= service.settings.code_lifetime,
        "code is fresh",
        ErrorCode.SESSION_EXPIRED,
        f"this code is older than {service.settings.code_lifetime} seconds",
    )
    return code


def _check_binding(service: Service, code: Code, form: MultiDict[str, str], checks: Checks) -> None:
    rule = service.settings.redirect_uri_rule
    checks.require(
        _comparable(form["redirect_uri"], rule) == _comparable(code.redirect_uri, rule),
        f"redirect_uri is the login's ({rule})",
        ErrorCode.CALLBACK_URL_INVALID,
        "redirect_uri differs from the one of the login",
    )
    verifier = form.get("code_verifier", "")
    if code.code_challenge is None:
        checks.require(
            not verifier or not service.settings.strict,
            "no code_verifier where there was no challenge",
            ErrorCode.CODE_CHALLENGE_INVALID,
            "a code_verifier came for a login without code_challenge",
        )
        return
    checks.require(verifier, "code_verifier is there", ErrorCode.MISSING_FIELDS, "missing: code_verifier")
    checks.require(
        not service.settings.strict or _VERIFIER.fullmatch(verifier),
        "code_verifier has 43 to 128 unreserved characters",
        ErrorCode.CODE_CHALLENGE_INVALID,
        f"code_verifier has {len(verifier)} characters or unusual ones; RFC 7636 wants 43 to 128",
    )
    checks.require(
        len(verifier) <= 128 and hmac.compare_digest(s256(verifier), code.code_challenge),
        "code_verifier belongs to code_challenge",
        ErrorCode.CODE_CHALLENGE_INVALID,
        "code_verifier is not the one behind code_challenge",
    )


def _comparable(uri: str, rule: str) -> str | None:
    if rule == "exact":
        return uri
    if rule == "origin":
        return origin_of(uri)
    try:
        return f"{origin_of(uri)}{urlsplit(uri).path}"
    except ValueError:
        return None


def _redeem(service: Service, code: Code) -> tuple[dict[str, Any], Session]:
    organization = service.store.organizations[code.organization_id]
    user = _user_by_id(service, code.user_id)
    now = service.clock.now()
    settings = service.settings
    domains = {origin_of(code.redirect_uri) or ""}
    if settings.autologin:
        domains.update(settings.whitelist)
    session = _joined(service, code, domains) or service.new_session(
        user,
        organization,
        domains,
        ip=code.ip,
        user_agent=code.user_agent,
        device_id=code.device_id,
        affirmed_at=now if code.affirm else None,
    )
    code.session_id = session.id
    user.last_login = now
    return service.issue_tokens(session, user, organization), session


def _joined(service: Service, code: Code, domains: set[str]) -> Session | None:
    """Return the session that another domain opened with the same login, if it still holds."""
    if code.login is None:
        return None
    opened = [other.session_id for other in service.store.codes.values() if other.login == code.login]
    for session in (service.store.sessions.get(session_id or "") for session_id in opened):
        if session is not None and session.active:
            session.domains |= domains
            return session
    return None


def _user_by_id(service: Service, user_id: str) -> User:
    user = service.find_user(user_id)
    if user is None:
        raise Refusal(ErrorCode.ENTITY_MISSING, "the user of this code was deleted")
    return user
