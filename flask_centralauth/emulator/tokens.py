"""The tokens: JWEs under the organization's secret, marked as an emulator's.

Source: ``CentralAuth: verify``; RFC 7516 (compact serialization), RFC 7518 §4.5 (``dir``).
"""

from __future__ import annotations

import json
from typing import Any, Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwe import JWERegistry
from joserfc.jwk import OctKey

from ..protocol import EMULATOR_TOKEN_MARK, SECRET_LENGTHS

ENC_BY_LENGTH: Final[dict[int, str]] = dict(
    zip(SECRET_LENGTHS, ("A128GCM", "A192GCM", "A256GCM", "A192CBC-HS384", "A256CBC-HS512"), strict=True)
)
_ENCODINGS: Final = (*ENC_BY_LENGTH.values(), "A128CBC-HS256")


class TokenUnreadable(Exception):
    """This is no token of this organization."""


def check_secret(secret: str) -> str:
    """Return a secret that can be the key of a token.

    :raises ValueError: when its length in bytes fits no content encryption.
    """
    length = len(secret.encode())
    if length not in ENC_BY_LENGTH:
        lengths = ", ".join(str(n) for n in SECRET_LENGTHS)
        raise ValueError(f"a client secret has {lengths} bytes, this one has {length}")
    return secret


def issue_token(secret: str, claims: dict[str, Any]) -> str:
    """Return a token with these claims."""
    key_bytes = secret.encode()
    header = {"alg": "dir", "enc": ENC_BY_LENGTH[len(key_bytes)], EMULATOR_TOKEN_MARK: True}
    return jwe.encrypt_compact(
        header, json.dumps(claims).encode(), OctKey.import_key(key_bytes), registry=_registry()
    )


def read_token(secret: str, token: str) -> dict[str, Any]:
    """Return the claims of a token of the organization with this secret.

    :raises TokenUnreadable: for anything else, however it is broken.
    """
    key = OctKey.import_key(secret.encode())
    try:
        claims = json.loads(jwe.decrypt_compact(token, key, registry=_registry()).plaintext or b"")
    # joserfc raises plain ValueErrors and TypeErrors for a malformed token.
    except (JoseError, ValueError, TypeError, RecursionError):
        raise TokenUnreadable from None
    if not isinstance(claims, dict) or not isinstance(claims.get("sessionId"), str):
        raise TokenUnreadable
    return claims


def _registry() -> JWERegistry:
    # Our mark is a header parameter of our own: the strict registry refuses those.
    return JWERegistry(algorithms=["dir", *_ENCODINGS], strict_check_header=False)
