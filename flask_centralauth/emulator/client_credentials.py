"""Which organization is calling? HTTP Basic, or the body where the service allows it.

Source: ``CentralAuth: verify``; RFC 6749 §2.3.1, RFC 7617.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from urllib.parse import unquote_plus

from werkzeug.datastructures import MultiDict

from ..errors import ErrorCode
from .checks import Checks
from .entities import Organization
from .service import Service


def basic_credentials(header: str | None) -> tuple[str, str] | None:
    """Return id and secret of an HTTP Basic header, or None when it is none."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    client_id, colon, secret = text.partition(":")
    return (client_id, secret) if colon else None


def require_client(
    service: Service, authorization: str | None, checks: Checks, *, form: MultiDict[str, str] | None = None
) -> Organization:
    """Return the organization whose secret was sent.

    :param form: where the secret may stand instead (``CentralAuth: verify``).
    :raises Refusal: when there is no secret, or a wrong one.
    """
    credentials = basic_credentials(authorization)
    if credentials is None and form is not None and form.get("client_secret"):
        credentials = form.get("client_id", ""), form["client_secret"]
    client_id, secret = checks.found(
        credentials,
        "client authentication is there",
        ErrorCode.NO_PERMISSION,
        "send client id and secret with HTTP Basic"
        if not authorization
        else "the Authorization header is not HTTP Basic with id and secret",
    )
    organizations = service.store.organizations
    # RFC 6749 §2.3.1 form-encodes both before Basic; the official clients do not.
    organization = checks.found(
        organizations.get(client_id) or organizations.get(unquote_plus(client_id)),
        "client id is known",
        ErrorCode.ORGANIZATION_ID_MISSING,
        f"there is no organization {client_id[:80]!r}",
    )
    checks.require(
        _same(secret, organization.secret) or _same(unquote_plus(secret), organization.secret),
        "client secret is right",
        ErrorCode.NO_PERMISSION,
        "the client secret is wrong, or an old one",
    )
    if form is not None and form.get("client_secret"):
        checks.require(
            _same(form["client_secret"], organization.secret),
            "client secret in the body is right",
            ErrorCode.NO_PERMISSION,
            "the client secret in the body is wrong",
        )
    return organization


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())
