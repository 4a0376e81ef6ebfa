"""Something a client of the emulator does that it should not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

ERROR: Final = "error"
WARNING: Final = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something the client does that it should not."""

    id: str
    level: str
    text: str
    #: Number of the request in the journal; None when it is about the settings.
    request: int | None = None


Found = Iterator[Finding]
