"""How a session becomes bytes in the store, and a session again. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

#: What we note beside the application's own keys; never in the session it sees.
NOTES_KEY: Final = "_centralauth_stored"
#: Session keys of this package; what is in them is replaced, never changed inside.
OWN_KEYS: Final = "_centralauth"
#: Epoch seconds of the year 9999: what is later, or no number, stores cannot count with.
LAST_MOMENT: Final = 253_402_300_800

_NESTED: Final = (dict, list)


class CorruptSessionError(Exception):
    """A session record that is no session."""


@dataclass(slots=True)
class Stored:
    """What the store has of a session, as far as one request knows.

    :param sid: the id it is stored under; None when it is not.
    :param value: the bytes that are stored, to notice a change deep inside.
    :param due: epoch seconds after which its life is to be extended; None when it is not.
    :param until: epoch seconds after which it must be gone, or None.
    :param companions: keys that live as long as the session.
    """

    sid: str | None = None
    value: bytes | None = None
    due: float | None = None
    until: float | None = None
    companions: tuple[str, ...] = ()
    #: This request removed it, so the browser may forget its cookie.
    removed: bool = False
    #: This request gave it a new id, and stored it under that.
    renewed: bool = False
    #: When it did, the old id was dead already: another request had removed or renewed the session.
    overtaken: bool = False
    #: Somebody else removed it: nothing of this request is kept, and the browser's cookie,
    #: which may be a newer session's by now, stays.
    outlived: bool = False


class SessionEncoding:
    """Flask-Session's serializer, or the application's own, without the last resort of unpickling."""

    def __init__(self, serializer: Any) -> None:
        # Flask-Session tries two decoders and then unpickles (attack: pickle in the store);
        # its own encode() fails over a missing logger when it should report what failed.
        self._encoder = getattr(serializer, "encoder", serializer)
        self._decoders = [
            getattr(serializer, name)
            for name in ("decoder", "alternate_decoder")
            if hasattr(serializer, name)
        ] or [serializer]

    def encode(self, session: Mapping[str, Any], stored: Stored) -> bytes:
        """Return the bytes of a session.

        :raises TypeError: the application put something in that cannot be stored.
        """
        notes = [stored.due, stored.until, stored.companions]
        encoded: bytes = self._encoder.encode({**session, NOTES_KEY: notes})
        return encoded

    def decode(self, value: bytes, sid: str) -> tuple[dict[str, Any], Stored]:
        """Return a session's content and what is noted beside it.

        :raises CorruptSessionError: these bytes are no session.
        """
        content = self._content(value)
        # What plain Flask-Session wrote says nothing of its age.
        due, until, companions = _whole(content.pop(NOTES_KEY, (0.0, None, ())))
        return content, Stored(sid, value, due, until, companions)

    def is_changed_inside(self, session: Mapping[str, Any], value: bytes) -> bool:
        """Notice what no dictionary reports: ``session["cart"].append(...)``."""
        nested = {
            key: inner
            for key, inner in session.items()
            if isinstance(inner, _NESTED) and not key.startswith(OWN_KEYS)
        }
        if not nested:
            return False
        content = self._content(value)
        return any(content.get(key) != inner for key, inner in nested.items())

    def _content(self, value: bytes) -> dict[str, Any]:
        for decoder in self._decoders:
            try:
                content = decoder.decode(value)
            # The application's own serializer may raise anything.
            except Exception:  # noqa: S112 - what nobody can read is reported below
                continue
            if isinstance(content, dict):
                return content
        raise CorruptSessionError


def _whole(notes: Any) -> tuple[float | None, float | None, tuple[str, ...]]:
    """Return notes of the types that `SessionEncoding.encode` gives them.

    :raises CorruptSessionError: the record is damaged: no request may fail over it later.
    """
    match notes:
        case [None | int() | float() as due, None | int() | float() as until, [*companions]]:
            # Without loops of our own: every request with a session comes by here.
            usable = 0 <= (due or 0.0) < LAST_MOMENT and 0 <= (until or 0.0) < LAST_MOMENT
            if usable and {*map(type, companions)} <= {str}:
                return due, until, tuple(companions)
        case _:
            pass
    raise CorruptSessionError
