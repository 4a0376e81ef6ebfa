"""What the application and its browsers sent, in order, with a verdict each.

``emulator.requests`` is a :class:`Journal`: iterate it, or ask for an endpoint.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, overload

from werkzeug.datastructures import Headers, MultiDict

from .checks import Check

BROWSER: Final = "browser"
API: Final = "api"
KEPT: Final = 5000


@dataclass(kw_only=True)
class JournalEntry:
    """One request.

    ``connection`` is the number of the TCP connection it came in on, counted from 1;
    0 when it used no socket. ``verdict`` is ``ok``, ``refused`` (a rule was broken, see
    ``error_code`` and ``failed_check``), ``fault`` (a fault answered) or ``open`` while
    nothing was answered yet.
    """

    number: int
    at: datetime
    kind: str
    endpoint: str
    method: str
    path: str
    query_string: str
    query: MultiDict[str, str]
    headers: Headers
    body: bytes
    form: MultiDict[str, str]
    connection: int
    remote_addr: str
    status: int | None = None
    verdict: str = "open"
    error_code: str | None = None
    message: str | None = None
    checks: list[Check] = field(default_factory=list)
    fault: str | None = None
    reply: bytes = b""
    location: str | None = None
    session_id: str | None = None
    email: str | None = None
    #: An answer nobody should have read to its end was taken whole.
    read_to_the_end: bool = False

    @property
    def failed_check(self) -> Check | None:
        """The rule that was broken, or None."""
        return next((check for check in self.checks if not check.passed), None)

    @property
    def text(self) -> str:
        """The body as text; the token, for userinfo and logout."""
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The body read as JSON, or None when it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def authorization(self) -> str:
        """The scheme of the Authorization header in lower case, or an empty text."""
        return self.headers.get("Authorization", "").partition(" ")[0].lower()

    def __str__(self) -> str:
        outcome = self.error_code or self.fault or self.verdict
        return f"#{self.number} {self.method} {self.path} -> {self.status} {outcome}"


class Journal(Sequence[JournalEntry]):
    """The requests so far, oldest first. Safe to read while the emulator serves."""

    def __init__(self, limit: int = KEPT) -> None:
        self._entries: deque[JournalEntry] = deque(maxlen=limit)
        self._changed = threading.Condition()
        self._last_number = 0
        self._version = 0

    # Writing, done by the emulator only.

    def open(self, make: Callable[[int], JournalEntry]) -> JournalEntry:
        """Append the entry that ``make`` builds from its number."""
        with self._changed:
            self._last_number += 1
            entry = make(self._last_number)
            self._entries.append(entry)
            self._note_change()
        return entry

    def close(self, entry: JournalEntry, *, status: int, verdict: str, reply: bytes) -> None:
        """Note what was answered."""
        with self._changed:
            entry.status, entry.verdict, entry.reply = status, verdict, reply
            self._note_change()

    def note_read_to_the_end(self, entry: JournalEntry) -> None:
        """Note that an endless answer was taken whole."""
        with self._changed:
            entry.read_to_the_end = True
            self._note_change()

    def clear(self) -> None:
        """Forget everything; numbers start again."""
        with self._changed:
            self._entries.clear()
            self._last_number = 0
            self._note_change()

    def wake(self) -> None:
        """Let whoever waits for a change look again."""
        with self._changed:
            self._note_change()

    def _note_change(self) -> None:
        self._version += 1
        self._changed.notify_all()

    # Reading.

    def _now(self) -> list[JournalEntry]:
        with self._changed:
            return list(self._entries)

    @overload
    def __getitem__(self, index: int) -> JournalEntry: ...
    @overload
    def __getitem__(self, index: slice) -> list[JournalEntry]: ...
    def __getitem__(self, index: int | slice) -> JournalEntry | list[JournalEntry]:
        return self._now()[index]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[JournalEntry]:
        return iter(self._now())

    @property
    def api(self) -> list[JournalEntry]:
        """The calls an application made."""
        return [entry for entry in self if entry.kind == API]

    @property
    def browser(self) -> list[JournalEntry]:
        """The pages a person visited."""
        return [entry for entry in self if entry.kind == BROWSER]

    @property
    def last(self) -> JournalEntry:
        """The newest request."""
        return self[-1]

    def of(self, endpoint: str) -> list[JournalEntry]:
        """Return the requests of an endpoint, oldest first."""
        return [entry for entry in self if entry.endpoint == endpoint]

    def count(self, endpoint: Any = None) -> int:
        """Return how many requests an endpoint had; without one, all API calls."""
        return len(self.api if endpoint is None else self.of(endpoint))

    def one(self, endpoint: str) -> JournalEntry:
        """Return the only request of an endpoint.

        :raises AssertionError: listing what there was instead.
        """
        found = self.of(endpoint)
        if len(found) != 1:
            raise AssertionError(f"expected one {endpoint} request, got {len(found)}{self._told()}")
        return found[0]

    def none(self, endpoint: str | None = None) -> bool:
        """Return True when an endpoint had no request; without one, when no API call was made.

        :raises AssertionError: listing what there was.
        """
        if found := self.count(endpoint):
            raise AssertionError(f"expected no {endpoint or 'API'} request, got {found}{self._told()}")
        return True

    @property
    def connections(self) -> int:
        """How many TCP connections the API calls used."""
        return len({entry.connection for entry in self.api if entry.connection})

    def wait_for(self, endpoint: str, *, count: int = 1, timeout: float = 5.0) -> JournalEntry:
        """Return the request that makes ``count`` of an endpoint, waiting until it has arrived.

        It may not be answered yet: with a ``hang`` fault it is held.

        :raises TimeoutError: when it does not come.
        """
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: sum(entry.endpoint == endpoint for entry in self._entries) >= count, timeout
            )
        if not arrived:
            raise TimeoutError(f"no {endpoint} request number {count} within {timeout} s{self._told()}")
        return self.of(endpoint)[count - 1]

    def wait_for_change(self, version: int, timeout: float) -> int:
        """Return the journal's version once it differs from the given one, or after the timeout."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version, timeout)
            return self._version

    def _told(self) -> str:
        lines = "".join(f"\n  {entry}" for entry in self)
        return f"; the journal:{lines}" if lines else "; the journal is empty"

    def __repr__(self) -> str:
        return f"<Journal of {len(self)} requests>"
