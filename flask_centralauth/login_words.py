"""The texts and the looks of CentralAuth's login page, for one login."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping

from .setting_checks import InvalidSettingError, OptionalWords, checked_words

log = logging.getLogger("flask_centralauth")


def words_of_today(name: str, words: OptionalWords, allowed: frozenset[str]) -> Mapping[str, str] | None:
    """Return the words for this login; wrong ones are left out, for they must not stop it."""
    if not callable(words):
        return words
    returned = words()
    try:
        return None if returned is None else checked_words(_plain(returned), allowed)
    except InvalidSettingError as problem:
        log.error("What the function for %s returned %s", name, problem)
        return None


def words_of_call(name: str, words: OptionalWords, allowed: frozenset[str]) -> Mapping[str, str] | None:
    """Return the words a view gives for one login, itself or by a function.

    :raises ValueError: naming the key that is unknown, and what was probably meant.
    """
    given = words() if callable(words) else words
    try:
        return None if given is None else checked_words(_plain(given), allowed)
    except InvalidSettingError as problem:
        raise ValueError(f"{name} {problem}") from None


def encoded(words: Mapping[str, str]) -> str:
    """Return words as the login page takes them: base64 of a JSON object."""
    return base64.b64encode(json.dumps(dict(words), separators=(",", ":")).encode()).decode()


def _plain(words: object) -> object:
    # Lazy strings of a translation library are no JSON.
    return {key: str(text) for key, text in words.items()} if isinstance(words, Mapping) else words
