"""Messages for the person that have to survive a redirect.

They are flashed like any other message of the application. Because CentralAuth's own page
may show them first, we remember which are ours: a login that works removes those that
nobody has seen.
"""

from __future__ import annotations

from typing import Final

from flask import flash, session

from .names import notices_key
from .state import State

FLASHES_KEY: Final = "_flashes"


def notify(state: State, message: str, *, until_seen: bool = False) -> None:
    """Flash a message and remember that it is ours.

    :param message: plain text; a lazy string would not survive the session's serializer.
    :param until_seen: a login that works does not make it untrue, so it stays.
    """
    category = state.settings.flash_category
    notice = [category, message]
    if notice in _entries(FLASHES_KEY):
        return
    unseen = _unseen(state)
    flash(message, category)
    if not until_seen:
        session[notices_key(state.identifier)] = [*unseen, notice]


def unseen_notice(state: State) -> str | None:
    """Return the latest message of ours that no page has shown yet."""
    unseen = _unseen(state)
    return unseen[-1][1] if unseen else None


def clear_notices(state: State) -> None:
    """Remove our messages that nobody has seen."""
    key = notices_key(state.identifier)
    if key not in session:
        return
    ours = _unseen(state)
    kept = [flashed for flashed in _entries(FLASHES_KEY) if flashed not in ours]
    for name in (key, FLASHES_KEY):
        session.pop(name, None)
    if kept:
        session[FLASHES_KEY] = kept


def _unseen(state: State) -> list[list[str]]:
    flashed = _entries(FLASHES_KEY)
    return [notice for notice in _entries(notices_key(state.identifier)) if notice in flashed]


def _entries(key: str) -> list[list[str]]:
    """Return pairs of category and message, whatever a damaged session holds in their place."""
    entries = session.get(key)
    if not isinstance(entries, list):
        return []
    return [list(entry) for entry in entries if isinstance(entry, list | tuple) and len(entry) == 2]
