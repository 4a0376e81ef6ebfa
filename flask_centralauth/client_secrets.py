"""Which of the client secrets CentralAuth takes now.

While a secret is replaced there are two: CentralAuth makes the new one, and refuses the old
one from the moment somebody activates the new one there. Both are set here before, so that
no login fails in between.

Source: "CentralAuth: integration" (activate later).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


class ClientSecrets:
    """The secrets there are; thread-safe. ``repr`` shows none of them."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._all = tuple(secrets)
        self._accepted = self._all[0]

    def __iter__(self) -> Iterator[str]:
        """Yield the one that was taken last, then the others."""
        first = self._accepted
        yield first
        yield from (other for other in self._all if other != first)

    def accept(self, secret: str) -> None:
        """Remember which one CentralAuth takes."""
        self._accepted = secret
