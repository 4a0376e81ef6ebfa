"""The assertion of a desktop application: that it has just asked for a challenge.

Its claims are checked and its signature is not: whose key it is, is not documented.
Source: the official Rust client.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from werkzeug.datastructures import MultiDict

from ..errors import ErrorCode
from .checks import Checks
from .service import Service


def check_assertion(service: Service, query: MultiDict[str, str], checks: Checks) -> None:
    """Accept the ``client_assertion`` of a login, once.

    :raises Refusal: naming the claim that is wrong.
    """
    claims = _claims(query.get("client_assertion", ""))
    checks.require(
        claims, "client_assertion is a JWT", ErrorCode.ENTITY_INVALID, "client_assertion is missing or no JWT"
    )
    expires = claims.get("exp")
    fresh = isinstance(expires, (int, float)) and expires > service.clock.time()
    right = {
        "iss": claims.get("iss") == query["app_id"],
        "aud": claims.get("aud") == service.public_url,
        "exp": fresh,
    }
    for name, holds in right.items():
        checks.require(
            holds,
            f"client_assertion has the right {name}",
            ErrorCode.ENTITY_INVALID,
            f"{name} of client_assertion is {claims.get(name)!r:.80}",
        )
    nonce = claims.get("nonce")
    with service.lock:
        known = isinstance(nonce, str) and service.store.nonces.pop(nonce, None) is not None
    checks.require(
        known,
        "client_assertion has a nonce of client_challenge, for the first time",
        ErrorCode.ENTITY_INVALID,
        "nonce of client_assertion was never given out, or used before",
    )


def _claims(assertion: str) -> dict[str, Any]:
    parts = assertion.split(".")
    try:
        encoded = parts[1] if len(parts) == 3 else ""
        value = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
