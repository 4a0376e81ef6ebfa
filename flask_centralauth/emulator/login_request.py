"""May this visit to the login page go on? The checks of the authorization request.

The first group never redirects: until they pass nobody knows whom a redirect would
reach (RFC 6749 §4.1.2.1). Source: ``CentralAuth: login``.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final

from werkzeug.datastructures import MultiDict

from ..errors import ErrorCode
from ..protocol import THEME_KEYS, TRANSLATION_KEYS
from .checks import Checks
from .entities import Attempt, Organization
from .native_assertion import check_assertion
from .origins import is_callback_url, origin_of, whitelisted
from .service import Service

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
BANNER_NAMES: Final = ("error_description", "error_message")
BANNER_LIMIT: Final = 500


def check_target(
    service: Service, query: MultiDict[str, str], referer: str | None, checks: Checks
) -> tuple[Organization, str]:
    """Return the organization and the redirect URI that a visit names.

    :raises Refusal: which must not be redirected.
    """
    client_id = query.get("client_id", "")
    once = len(query.getlist("client_id")) == 1
    organization = checks.found(
        service.store.organizations.get(client_id) if once else None,
        "client_id names an organization",
        ErrorCode.ORGANIZATION_ID_MISSING,
        f"client_id is {client_id[:80]!r}; this emulator knows {', '.join(service.store.organizations)}"
        if client_id
        else "client_id is missing",
    )
    redirect_uri = query.get("redirect_uri", "")
    checks.require(
        redirect_uri, "redirect_uri is there", ErrorCode.CALLBACK_URL_MISSING, "redirect_uri is missing"
    )
    checks.require(
        is_callback_url(redirect_uri) and len(query.getlist("redirect_uri")) == 1,
        "redirect_uri is one absolute http(s) URL without fragment",
        ErrorCode.CALLBACK_URL_INVALID,
        f"redirect_uri {redirect_uri[:200]!r} is not absolute, or has user, fragment or odd characters",
    )
    settings = service.settings
    origin = origin_of(redirect_uri) or ""
    checks.require(
        whitelisted(origin, settings.whitelist, allow_localhost=settings.allow_localhost),
        "redirect_uri is whitelisted",
        ErrorCode.CALLBACK_URL_INVALID,
        f"the origin {origin} is not on the whitelist: {', '.join(settings.whitelist)}",
    )
    if settings.check_referrer or query.get("embed") == "1":
        _check_referrer(service, referer, checks)
    return organization, redirect_uri


def check_request(
    service: Service,
    organization: Organization,
    query: MultiDict[str, str],
    query_string: str,
    checks: Checks,
) -> Attempt:
    """Return the login attempt that a visit starts; it is not stored yet.

    :raises Refusal: to be sent back to the application.
    """
    settings = service.settings
    native = bool(query.get("app_id"))
    checks.require(
        query.getlist("response_type") == ["code"],
        "response_type is code",
        ErrorCode.ENTITY_INVALID,
        f"response_type is {query.get('response_type', '')[:40]!r}, not 'code'",
    )
    state = query.get("state", "")
    checks.require(state, "state is there", ErrorCode.STATE_MISSING, "state is missing or empty")
    checks.require(
        len(query.getlist("state")) == 1,
        "state is there once",
        ErrorCode.STATE_MISSING,
        "state is there more than once",
    )
    _check_challenge(query, checks)
    if settings.strict:
        checks.once(query)
    if native:
        checks.require(
            f"{query['app_id']} {query['redirect_uri']}" in settings.native_apps,
            "app_id and redirect_uri are a registered native application",
            ErrorCode.ENTITY_INVALID,
            f"there is no native application {query['app_id'][:80]!r} with this redirect_uri",
        )
        if settings.native_assertion:
            check_assertion(service, query, checks)
    return Attempt(
        id=service.new_id("attempt"),
        organization_id=organization.id,
        redirect_uri=query["redirect_uri"],
        state=state,
        code_challenge=query["code_challenge"],
        started=service.clock.time(),
        query_string=query_string,
        email=query.get("email", "")[:254],
        banner=banner_of(query),
        affirm=query.get("affirm") == "1",
        embed=query.get("embed") == "1",
        app_id=query.get("app_id") if native else None,
        device_id=query.get("device_id") if native else None,
    )


def _check_referrer(service: Service, referer: str | None, checks: Checks) -> None:
    settings = service.settings
    origin = origin_of(referer or "")
    checks.require(
        origin and whitelisted(origin, settings.whitelist, allow_localhost=settings.allow_localhost),
        "Referer is whitelisted",
        ErrorCode.DOMAIN_INVALID,
        f"the Referer {origin or 'is missing; its origin'} must be on the whitelist",
    )


def _check_challenge(query: MultiDict[str, str], checks: Checks) -> None:
    challenge = query.get("code_challenge", "")
    checks.require(
        challenge, "code_challenge is there", ErrorCode.CODE_CHALLENGE_MISSING, "code_challenge is missing"
    )
    checks.require(
        _CHALLENGE.fullmatch(challenge),
        "code_challenge is 43 base64url characters",
        ErrorCode.CODE_CHALLENGE_INVALID,
        f"code_challenge has {len(challenge)} characters or is not base64url; S256 makes 43",
    )
    checks.require(
        query.getlist("code_challenge_method") == ["S256"],
        "code_challenge_method is S256",
        ErrorCode.CODE_CHALLENGE_INVALID,
        f"code_challenge_method is {query.get('code_challenge_method', '')[:40]!r}, not 'S256'",
    )


def banner_of(query: MultiDict[str, str]) -> str:
    """Return the message the application wants shown; the docs and the client name it differently."""
    return next((query[name][:BANNER_LIMIT] for name in BANNER_NAMES if query.get(name)), "")


def translations_of(query: MultiDict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the page's texts that the application replaced, and the keys nobody knows."""
    return _texts(query.get("translations", ""), TRANSLATION_KEYS)


def theme_of(query: MultiDict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the theme settings that the application sent, and the keys nobody knows."""
    return _texts(query.get("theme_settings", ""), THEME_KEYS)


def _texts(encoded: str, known: frozenset[str]) -> tuple[dict[str, str], list[str]]:
    # An invalid object is ignored: the person still has to be able to log in.
    try:
        padded = encoded.replace("-", "+").replace("_", "/") + "=" * (-len(encoded) % 4)
        value: Any = json.loads(base64.b64decode(padded, validate=True)) if encoded else {}
    except (ValueError, RecursionError):
        return {}, []
    if not isinstance(value, dict):
        return {}, []
    unknown = sorted(str(key)[:60] for key in value if key not in known)
    texts = {k: v for k, v in value.items() if k in known and isinstance(v, str)}
    # A lone surrogate cannot be sent as UTF-8: it would turn the page into a 500.
    return {k: v.encode("utf-8", "replace").decode() for k, v in texts.items()}, unknown
