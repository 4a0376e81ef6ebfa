"""What CentralAuth sends a browser back with, judged before anything is done about it.

Source: "CentralAuth: callback"; OAuth 2.1 §4.1.2, RFC 9207 (``iss``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from werkzeug.datastructures import MultiDict

from .errors import ErrorCode, LoginError
from .protocol import CALLBACK_ERROR_NAMES

MAX_STATE: Final = 512
MAX_CODE: Final = 2048
MAX_PARAMETERS: Final = 20

_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_ERROR_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Callback:
    """What a well-formed callback carries: a code, or an error."""

    state: str = field(repr=False)
    code: str | None = field(repr=False)
    error: str | None
    description: str | None = field(repr=False)


def read_callback(query: MultiDict[str, str], *, raw: bytes, issuer: str) -> Callback:
    """Return the callback a query string or form carries.

    :param raw: the query string as it came.
    :param issuer: who the callback has to be from, where it says so.
    :raises LoginError: a parameter is missing, empty, repeated or out of bounds.
    """
    # Not len(query): that counts one name ten thousand times as one.
    if sum(map(len, query.listvalues())) > MAX_PARAMETERS or not _is_utf8(raw):
        raise LoginError(ErrorCode.STATE_INVALID, "too many parameters, or no UTF-8")
    state = _single(query, "state", MAX_STATE, ErrorCode.STATE_INVALID)
    code = _single(query, "code", MAX_CODE, ErrorCode.STATE_INVALID)
    named = _single(query, "iss", MAX_CODE, ErrorCode.STATE_INVALID)
    if state is None:
        raise LoginError(ErrorCode.STATE_MISSING, "the callback has no state")
    if named not in (None, issuer):
        raise LoginError(ErrorCode.STATE_INVALID, "iss names another service")
    error, description = _reported_error(query)
    if error is None and code is None:
        raise LoginError(ErrorCode.STATE_INVALID, "the callback has neither code nor error")
    if error is not None and code is not None:
        raise LoginError(ErrorCode.STATE_INVALID, "the callback has both code and error")
    return Callback(state, code, error, description)


def _is_utf8(query: bytes) -> bool:
    # Werkzeug leaves what it cannot decode as it is: a code "%ff" would look fine.
    try:
        unquote_to_bytes(query).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _single(query: MultiDict[str, str], name: str, limit: int, code: ErrorCode) -> str | None:
    """Return a parameter that may come once (OAuth 2.1 §4.1.2); an empty one is an error."""
    values = query.getlist(name)
    if not values:
        return None
    if len(values) > 1 or len(values[0]) > limit or not _VISIBLE.fullmatch(values[0]):
        raise LoginError(code, f"the callback has an empty, repeated or malformed {name}")
    return values[0]


def _reported_error(query: MultiDict[str, str]) -> tuple[str | None, str | None]:
    for name, description_name in CALLBACK_ERROR_NAMES:
        if name in query:
            names, descriptions = query.getlist(name), query.getlist(description_name)
            if len(names) > 1 or len(descriptions) > 1 or not _ERROR_NAME.fullmatch(names[0]):
                raise LoginError(ErrorCode.STATE_INVALID, f"the callback has a repeated or malformed {name}")
            return names[0], descriptions[0] if descriptions else None
    return None, None
