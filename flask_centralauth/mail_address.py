"""E-mail addresses: is it one, and how much of it may a stranger see."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_LENGTH: Final = 254

_ADDRESS: Final = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")


def is_address(text: str) -> bool:
    """Say whether a text looks like an e-mail address of a bearable length."""
    return len(text) <= MAX_LENGTH and bool(_ADDRESS.fullmatch(text))


def spelled_once(address: str) -> str:
    """Return one spelling for an address that can be written in many (attack: mail bombing).

    Mail goes to the same mailbox however its domain is written: full-width letters, other
    dots, soft hyphens, a dot at the end.
    """
    local, _, domain = unicodedata.normalize("NFKC", address).replace("\u00ad", "").rpartition("@")
    return f"{local}@{domain.replace(chr(0x3002), '.').rstrip('.')}".casefold()


def masked(address: str) -> str:
    """Return an address that its owner recognizes and nobody else learns."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"
