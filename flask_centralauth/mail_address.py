"""E-mail addresses: is it one, and how much of it may a stranger see."""

from __future__ import annotations

import re
from typing import Final

MAX_LENGTH: Final = 254

_ADDRESS: Final = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")


def is_address(text: str) -> bool:
    """Say whether a text looks like an e-mail address of a bearable length."""
    return len(text) <= MAX_LENGTH and bool(_ADDRESS.fullmatch(text))


def masked(address: str) -> str:
    """Return an address that its owner recognizes and nobody else learns."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"
