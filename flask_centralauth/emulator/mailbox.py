"""The mails that a real service would have sent. ``emulator.mailbox`` is a :class:`Mailbox`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from .entities import Mail
from .service import Service


class Mailbox(Sequence[Mail]):
    """The mails so far, oldest first."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def _now(self) -> list[Mail]:
        with self._service.lock:
            return list(self._service.store.mails)

    @overload
    def __getitem__(self, index: int) -> Mail: ...
    @overload
    def __getitem__(self, index: slice) -> list[Mail]: ...
    def __getitem__(self, index: int | slice) -> Mail | list[Mail]:
        return self._now()[index]

    def __len__(self) -> int:
        return len(self._now())

    def __iter__(self) -> Iterator[Mail]:
        return iter(self._now())

    def latest(self, to: str | None = None) -> Mail:
        """Return the newest mail, to an address or at all.

        :raises LookupError: when there is none.
        """
        for mail in reversed(self._now()):
            if to is None or mail.to.lower() == to.lower():
                return mail
        raise LookupError(f"there is no mail to {to}" if to else "the mailbox is empty")
