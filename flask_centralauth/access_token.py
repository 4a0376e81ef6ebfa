"""The shape of an access token, judged before anybody is asked about it.

A token is a compact JWE: header, encrypted key (empty here), nonce, content and tag.

Source: RFC 7516 §7.1, RFC 6750 §2.1.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Final

from .protocol import EMULATOR_TOKEN_MARK

MAX_TOKEN: Final = 8 * 1024

_COMPACT_JWE: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+){3}")


def is_well_formed(token: str) -> bool:
    """Say whether a text can be an access token at all (attack: bearer amplification)."""
    return len(token) <= MAX_TOKEN and _COMPACT_JWE.fullmatch(token) is not None


def is_of_an_emulator(token: str) -> bool:
    """Say whether a token's protected header carries the emulator's mark."""
    header = token.partition(".")[0]
    try:
        members = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (ValueError, RecursionError):
        return False
    return isinstance(members, dict) and EMULATOR_TOKEN_MARK in members
