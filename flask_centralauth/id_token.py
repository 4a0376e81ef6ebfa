"""Who an id token says has logged in, decrypted here instead of asked about.

Both tokens of a login are JWEs under the client secret, so whoever has the secret can make
one. Used only with `CENTRALAUTH_UNSAFE_LOCAL_ID_TOKEN`.

Source: "CentralAuth: verify"; RFC 7516 §7.1 (compact serialization), RFC 7518 §4.5 (``dir``),
RFC 8725 §3 (algorithms, keys and claims are compared with what is expected).
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwe import JWERegistry
from joserfc.jwk import OctKey

from .protocol import EMULATOR_TOKEN_MARK, SECRET_LENGTHS
from .strict_json import UnusableJSON, loads_object
from .user import InvalidUser, User, parse_user

MAX_ID_TOKEN: Final = 16 * 1024
#: How far CentralAuth's clock may be ahead of ours.
CLOCK_SKEW: Final = 60

_ENCODINGS: Final = ("A128GCM", "A192GCM", "A256GCM", "A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512")
#: Not zip (attack: a small token that unpacks to gigabytes), cty (a token in the token), crit, or a key.
_HEADER_MEMBERS: Final = frozenset({"alg", "enc", "typ", "kid", EMULATOR_TOKEN_MARK})
#: The part of the encrypted key is empty: the client secret is the key.
_DIRECT_JWE: Final = re.compile(r"[A-Za-z0-9_-]+\.(?:\.[A-Za-z0-9_-]+){3}")


class UnusableIdToken(Exception):
    """Says what is wrong with a token, and nothing that is in it."""


@dataclass(frozen=True, slots=True)
class IdToken:
    """What an id token says. ``expires`` in epoch seconds."""

    user: User
    expires: float


def read_id_token(
    id_token: str | None, access_token: str, *, secrets: Sequence[str], client_id: str, issuer: str
) -> IdToken:
    """Return what the id token of a login says, when everything about it is as expected.

    :param access_token: the token it came with, which has to be of the same session.
    :param secrets: the client secret, and the other one while it is replaced.
    :param issuer: what a token that names its maker has to name.
    :raises UnusableIdToken: in every other case, however the token is broken.
    """
    claims = _claims(id_token or "", secrets)
    if claims["sessionId"] != _claims(access_token, secrets)["sessionId"]:
        raise UnusableIdToken("it is of another session than the access token")
    received = claims.get("user")
    try:
        user = parse_user(received if isinstance(received, dict) else {})
    except InvalidUser as problem:
        raise UnusableIdToken(f"its user is malformed: {problem}") from None
    _check_parties(claims, user, client_id, issuer)
    return IdToken(user, _expiry(claims))


def _claims(token: str, secrets: Sequence[str]) -> dict[str, Any]:
    """Return the claims of a token under one of the secrets, its session id among them."""
    _check_form(token)
    registry = JWERegistry(algorithms=["dir", *_ENCODINGS], strict_check_header=False)
    for secret in secrets:
        if len(secret) not in SECRET_LENGTHS:
            continue
        try:
            key = OctKey.import_key(secret.encode())
            plaintext = jwe.decrypt_compact(token, key, registry=registry).plaintext
        # joserfc raises plain ValueErrors and TypeErrors for a malformed token.
        except (JoseError, ValueError, TypeError):
            continue
        try:
            claims = loads_object(plaintext or b"")
        except UnusableJSON as problem:
            raise UnusableIdToken(f"its content is unusable: {problem}") from None
        if not isinstance(claims.get("sessionId"), str) or not claims["sessionId"]:
            raise UnusableIdToken("it names no session")
        return claims
    raise UnusableIdToken("it is not sealed with the client secret")


def _check_form(token: str) -> None:
    """Refuse what is no token of ours before a key is used on it."""
    if len(token) > MAX_ID_TOKEN or not _DIRECT_JWE.fullmatch(token):
        raise UnusableIdToken("it is missing, too long or no JWE under a shared key")
    header = token.partition(".")[0]
    try:
        members = loads_object(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except ValueError:
        raise UnusableIdToken("its header is malformed") from None
    if members.get("alg") != "dir" or members.get("enc") not in _ENCODINGS:
        raise UnusableIdToken("its algorithm is not one of CentralAuth's")
    if not members.keys() <= _HEADER_MEMBERS:
        raise UnusableIdToken("its header has more than an algorithm")


def _check_parties(claims: Mapping[str, Any], user: User, client_id: str, issuer: str) -> None:
    """Compare what a token says of its maker and its reader, where it says it."""
    audience = claims.get("aud", client_id)
    if client_id not in (audience if isinstance(audience, list) else [audience]):
        raise UnusableIdToken("it is for another organization")
    if user.organization_id not in (None, client_id):
        raise UnusableIdToken("its user is of another organization")
    if claims.get("iss", issuer) != issuer:
        raise UnusableIdToken("it is of another service")
    if claims.get("sub", user.id) != user.id:
        raise UnusableIdToken("its subject is not its user")


def _expiry(claims: Mapping[str, Any]) -> float:
    now = time.time()
    issued, expires = _moment(claims, "iat"), _moment(claims, "exp")
    begins = _moment(claims, "nbf") if "nbf" in claims else issued
    if max(issued, begins) > now + CLOCK_SKEW:
        raise UnusableIdToken("it is from the future")
    if expires <= now:
        raise UnusableIdToken("it has expired")
    return expires


def _moment(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    # Without an end it would be trusted for ever.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnusableIdToken(f"its {name} is missing or no date")
    return float(value)
