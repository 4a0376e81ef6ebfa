"""The API an application calls. HTTP in and out only.

Source: ``CentralAuth: verify, userinfo, logout``.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify, request

from ..errors import ErrorCode
from ..protocol import (
    DISCOVERY_PATH,
    EMULATOR_DISCOVERY_MARK,
    LOGIN_PATH,
    LOGOUT_PATH,
    USERINFO_PATH,
    VERIFY_PATH,
)
from .code_exchange import exchange
from .entities import Session
from .sessions import end_session, userinfo
from .web import the_checks, the_entry, the_service


def register(app: Flask) -> None:
    """Add the API routes."""
    app.add_url_rule(DISCOVERY_PATH, "discovery", discovery)
    app.add_url_rule(VERIFY_PATH, "verify", verify, methods=["POST"])
    app.add_url_rule(USERINFO_PATH, "userinfo", show_user, methods=["POST"])
    app.add_url_rule(LOGOUT_PATH, "logout", logout, methods=["POST"])
    app.add_url_rule("/api/v1/client_challenge/<client_id>", "client_challenge", client_challenge)
    app.add_url_rule("/deeplink/app_callback", "deeplink", deeplink)
    app.add_url_rule("/canary", "canary", canary, methods=["GET", "POST"])


def discovery() -> dict[str, Any]:
    """The OpenID Connect discovery document, with the emulator's mark."""
    service = the_service()
    api = service.internal_url or service.public_url
    return {
        "issuer": service.public_url,
        "authorization_endpoint": service.public_url + LOGIN_PATH,
        "token_endpoint": api + VERIFY_PATH,
        "userinfo_endpoint": api + USERINFO_PATH,
        "end_session_endpoint": api + LOGOUT_PATH,
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        EMULATOR_DISCOVERY_MARK: True,
    }


def verify() -> Response:
    """A code for tokens."""
    tokens, session = exchange(
        the_service(), request.headers.get("Authorization"), request.form, the_checks()
    )
    _about(session)
    return jsonify(tokens)


def show_user() -> Response:
    """The user behind a token."""
    user, session = userinfo(
        the_service(),
        request.headers.get("Authorization"),
        request.get_data(),
        request.args.get("domain"),
        request.headers,
        the_checks(),
    )
    _about(session)
    return jsonify(user)


def logout() -> Response:
    """The end of a session."""
    _about(end_session(the_service(), request.headers.get("Authorization"), request.get_data(), the_checks()))
    return Response(b"", 200, content_type="text/plain; charset=utf-8")


def client_challenge(client_id: str) -> dict[str, Any]:
    """A nonce for a native application's assertion."""
    service = the_service()
    the_checks().require(
        client_id in service.store.organizations,
        "client id is known",
        ErrorCode.ORGANIZATION_ID_MISSING,
        f"there is no organization {client_id[:80]!r}",
    )
    nonce = service.new_id("nonce")
    service.keep(service.store.nonces, nonce, True)
    return {"nonce": nonce, "challenge": service.new_id("nonce")}


def deeplink() -> Response:
    """Where the browser of a native application ends; the system opens the application."""
    return Response(b"You can close this page.\n", 200, content_type="text/plain; charset=utf-8")


def canary() -> Response:
    """Where redirect faults lead: whoever comes here followed one with a secret in hand."""
    return Response(b"this address is a canary\n", 200, content_type="text/plain; charset=utf-8")


def _about(session: Session) -> None:
    entry = the_entry()
    entry.session_id, entry.email = session.id, session.email
