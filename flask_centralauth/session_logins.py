"""Which logins a session holds, and how long it has to live for them.

Each `CentralAuth` object of an application has one login in it at most, under a key of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from .session_encoding import Stored

#: Where Flask keeps whether a session outlives the browser's window.
PERMANENT_KEY: Final = "_permanent"


class Held(NamedTuple):
    """What a session has to know of a login in it.

    :param until: epoch seconds after which it is over, or None.
    :param companion: the key of its record, which lives as long as the session.
    """

    until: float | None
    companion: str

    @property
    def is_over(self) -> bool:
        return self.until is not None and self.until <= time.time()


#: Reads what is under a session key; None when that is no login of this application.
Reader = Callable[[object], Held | None]


class SessionLogins:
    """Finds the logins of every `CentralAuth` object of one application in a session."""

    def __init__(self) -> None:
        self._readers: dict[str, Reader] = {}
        self.may_be_several = False

    def read_with(self, key: str, reader: Reader) -> None:
        """Find logins under one more session key."""
        self._readers[key] = reader
        self.may_be_several = len(self._readers) > 1

    def held_by(self, content: Mapping[str, Any]) -> dict[str, Held]:
        """Return the logins in a session by their keys, as far as its content tells."""
        found = {key: reader(content.get(key)) for key, reader in self._readers.items()}
        return {key: held for key, held in found.items() if held is not None and not held.is_over}

    def bind(self, content: Mapping[str, Any], stored: Stored) -> None:
        """Let a session live as long as the longest of its logins, and their records as long as it does."""
        held = self.held_by(content).values()
        limits = [login.until for login in held if login.until is not None]
        stored.until = max(limits) if limits and len(limits) == len(held) else None
        stored.companions = tuple(login.companion for login in held)

    def drop_over(self, content: dict[str, Any], stored: Stored) -> bool:
        """Empty the content of a session of all but its logins when one of them is over; say whether it was.

        A session with one login is gone from the store by then. This one lives on for the other's sake.
        """
        found = [reader(content.get(key)) for key, reader in self._readers.items()]
        if not any(held is not None and held.is_over for held in found):
            return False
        kept = {key: content[key] for key in (PERMANENT_KEY, *self.held_by(content)) if key in content}
        content.clear()
        content.update(kept)
        if not kept.keys() <= {PERMANENT_KEY}:
            self.bind(content, stored)
        return True
