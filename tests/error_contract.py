"""What is promised of each error code, written down apart from the code that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flask_centralauth.errors import ERRORS

#: The table of CentralAuth's documentation.
DOCUMENTED: Final = frozenset(
    """genericError noPermission missingFields sessionMissing sessionNotVerified sessionExpired
    sessionInactive sessionInvalid domainInvalid loginAttemptMissing loginAttemptExpired
    loginAttemptInvalid passkeyDataMissing passkeyDataExpired passkeyDataInvalid
    passkeyWrongOrganization callbackUrlMissing callbackUrlInvalid connectionMissing
    organizationIdMissing tokenInvalid stateMissing stateInvalid codeChallengeMissing
    codeChallengeInvalid captchaInvalid entityMissing entityInvalid""".split()
)
#: What the API's types and the official client add, and OAuth's word for "cancelled".
EXTRA: Final = frozenset(
    "tooManyRequests tokenMissing secretMissing authBaseUrlMissing networkError access_denied".split()
)
UNKNOWN_CODE: Final = "somethingNobodyKnows"

_FAMILIES: Final = {
    "session": """sessionMissing sessionNotVerified sessionExpired sessionInactive sessionInvalid
    tokenInvalid tokenMissing""",
    "login": """loginAttemptMissing loginAttemptExpired loginAttemptInvalid passkeyDataMissing
    passkeyDataExpired passkeyDataInvalid passkeyWrongOrganization captchaInvalid stateMissing
    stateInvalid codeChallengeMissing codeChallengeInvalid genericError access_denied
    somethingNobodyKnows""",
    "permission": "noPermission",
    "configuration": """organizationIdMissing callbackUrlMissing callbackUrlInvalid domainInvalid
    connectionMissing missingFields secretMissing authBaseUrlMissing""",
    "rate_limit": "tooManyRequests",
    "unavailable": "networkError",
    "entity": "entityMissing entityInvalid",
}
#: The family of a code that the callback reports.
FAMILY: Final[Mapping[str, str]] = {code: name for name, codes in _FAMILIES.items() for code in codes.split()}
STATUS: Final = {
    "session": 401,
    "login": 400,
    "permission": 403,
    "configuration": 500,
    "rate_limit": 429,
    "unavailable": 503,
}
#: The code whose sentence a family speaks with when the code itself says nothing to people.
_USUAL_CODE: Final = {"configuration": "missingFields", "unavailable": "networkError"}


def status_of(code: str, family: str) -> int:
    return {"entityMissing": 404, "entityInvalid": 400}[code] if family == "entity" else STATUS[family]


def sentence_of(code: str, family: str) -> str:
    """What people read, CentralAuth's own message aside."""
    if code == UNKNOWN_CODE:
        code = "genericError"
    told = code if FAMILY[code] == family else _USUAL_CODE[family]
    return ERRORS[told].sentence


def shows_message(code: str, family: str) -> bool:
    return FAMILY[code] == family and (family == "entity" or code == UNKNOWN_CODE)
