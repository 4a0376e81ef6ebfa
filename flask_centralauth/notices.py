"""Messages for the person that have to survive a redirect.

They are flashed like any other message of the application. Because CentralAuth's own page
may show them first, we remember which are ours: a login that works removes those that
nobody has seen.
"""

from __future__ import annotations

from typing import Final

from flask import flash, session

NOTICES_KEY: Final = "_centralauth_notices"
FLASHES_KEY: Final = "_flashes"


def notify(message: str, category: str, *, until_seen: bool = False) -> None:
    """Flash a message and remember that it is ours.

    :param message: plain text; a lazy string would not survive the session's serializer.
    :param until_seen: a login that works does not make it untrue, so it stays.
    """
    notice = [category, message]
    if notice in _entries(FLASHES_KEY):
        return
    unseen = _unseen()
    flash(message, category)
    if not until_seen:
        session[NOTICES_KEY] = [*unseen, notice]


def unseen_notice() -> str | None:
    """Return the latest message of ours that no page has shown yet."""
    unseen = _unseen()
    return unseen[-1][1] if unseen else None


def clear_notices() -> None:
    """Remove our messages that nobody has seen."""
    if NOTICES_KEY not in session:
        return
    ours = _unseen()
    kept = [flashed for flashed in _entries(FLASHES_KEY) if flashed not in ours]
    for key in (NOTICES_KEY, FLASHES_KEY):
        session.pop(key, None)
    if kept:
        session[FLASHES_KEY] = kept


def _unseen() -> list[list[str]]:
    flashed = _entries(FLASHES_KEY)
    return [notice for notice in _entries(NOTICES_KEY) if notice in flashed]


def _entries(key: str) -> list[list[str]]:
    """Return pairs of category and message, whatever a damaged session holds in their place."""
    entries = session.get(key)
    if not isinstance(entries, list):
        return []
    return [list(entry) for entry in entries if isinstance(entry, list | tuple) and len(entry) == 2]
