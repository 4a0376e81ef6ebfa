"""The person who is logged in, as CentralAuth describes them.

Source: "CentralAuth: userinfo".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from .dates import parse_date

MAX_TEXT: Final = 1024

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class InvalidUser(ValueError):
    """A user object has a member that is missing or of the wrong type."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class User:
    """A logged-in user. Immutable; equal to another when organization and id are.

    ``email`` is for display: people are told apart by ``id``. Dates are aware
    datetimes. ``is_stale`` is true while CentralAuth cannot be asked and this is what
    it said last.
    """

    id: str
    email: str | None = None
    gravatar: str | None = None
    verified: bool = False
    blocked: bool = False
    organization_id: str | None = None
    created: datetime | None = None
    updated: datetime | None = None
    last_login: datetime | None = None
    affirmation_date: datetime | None = None
    is_stale: bool = False
    _received: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def raw(self) -> Mapping[str, Any]:
        """The object as CentralAuth sent it, read-only, unknown members included."""
        members: Mapping[str, Any] = _read_only(self._received)
        return members

    def received(self) -> dict[str, Any]:
        """Return the object as CentralAuth sent it, for `parse_user` to read again."""
        # A copy down to the last list: other requests share this user.
        return deepcopy(dict(self._received))

    def to_dict(self) -> dict[str, Any]:
        """Return the user in CentralAuth's own camelCase, ready for JSON.

        Unknown members are kept; a picture address that no page should load is not.
        """
        known = {member: _plain(getattr(self, name)) for name, member in _MEMBERS.items()}
        return {**known, **self.received(), "gravatar": self.gravatar}

    def stale(self) -> User:
        """Return the same user, marked as last known and not as just checked."""
        return replace(self, is_stale=True)

    def __eq__(self, other: object) -> bool:
        # current_user is a proxy: its __class__ says User, its type does not.
        if not isinstance(other, User):
            return NotImplemented
        return (self.organization_id, self.id) == (other.organization_id, other.id)

    def __hash__(self) -> int:
        return hash((self.organization_id, self.id))

    def __repr__(self) -> str:
        return f"<User {self.id!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self.received(), self.is_stale)


_MEMBERS: Final = {
    "id": "id",
    "email": "email",
    "gravatar": "gravatar",
    "verified": "verified",
    "blocked": "blocked",
    "organization_id": "organizationId",
    "created": "created",
    "updated": "updated",
    "last_login": "lastLogin",
    "affirmation_date": "affirmationDate",
}


def member_name(attribute: str) -> str:
    """Return CentralAuth's name of an attribute of `User`; other names stay as they are."""
    return _MEMBERS.get(attribute, attribute)


class AnonymousUser:
    """Nobody: the attributes of `User`, all empty."""

    __slots__ = ()

    id: None = None
    email: None = None
    gravatar: None = None
    verified: bool = False
    blocked: bool = False
    organization_id: None = None
    created: None = None
    updated: None = None
    last_login: None = None
    affirmation_date: None = None
    is_stale: bool = False

    @property
    def is_authenticated(self) -> bool:
        return False

    @property
    def raw(self) -> Mapping[str, Any]:
        return MappingProxyType({})

    def to_dict(self) -> dict[str, Any]:
        return {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnonymousUser)

    def __hash__(self) -> int:
        return hash(AnonymousUser)

    def __repr__(self) -> str:
        return "<AnonymousUser>"


def parse_user(received: Mapping[str, Any]) -> User:
    """Return the user of CentralAuth's JSON object.

    New members are kept in ``raw``, missing optional ones are empty. ``blocked`` has
    to be there: a missing answer must not read as "not blocked".

    :raises InvalidUser: names the member that is wrong, never its value.
    """
    return User(
        id=_identity(received),
        email=_text(received, "email"),
        gravatar=_picture(received),
        verified=_flag(received, "verified", required=False),
        blocked=_flag(received, "blocked", required=True),
        organization_id=_text(received, "organizationId"),
        created=_date(received, "created"),
        updated=_date(received, "updated"),
        last_login=_date(received, "lastLogin"),
        affirmation_date=_date(received, "affirmationDate"),
        _received=received,
    )


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _unpickle(received: dict[str, Any], is_stale: bool) -> User:
    user = parse_user(received)
    return user.stale() if is_stale else user


def _read_only(value: Any) -> Any:
    if isinstance(value, Mapping):
        return MappingProxyType({key: _read_only(member) for key, member in value.items()})
    if isinstance(value, list):
        return tuple(_read_only(member) for member in value)
    return value


def _identity(received: Mapping[str, Any]) -> str:
    identity = _text(received, "id")
    if not identity or not identity.strip():
        raise InvalidUser("id is missing")
    return identity


def _text(received: Mapping[str, Any], name: str) -> str | None:
    value = received.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidUser(f"{name} is not a string")
    # A line break in an address forges mail headers and log lines (attack: hostile user fields).
    if len(value) > MAX_TEXT or _CONTROL.search(value):
        raise InvalidUser(f"{name} is too long or has control characters")
    return value


def _flag(received: Mapping[str, Any], name: str, *, required: bool) -> bool:
    if name not in received and not required:
        return False
    value = received.get(name)
    # "false" is a true string: only a real boolean decides who gets in.
    if not isinstance(value, bool):
        raise InvalidUser(f"{name} is not a boolean")
    return value


def _picture(received: Mapping[str, Any]) -> str | None:
    value = _text(received, "gravatar")
    if value is None:
        return None
    try:
        url = urlsplit(value)
        secure = url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK)
    except ValueError:
        return None
    # Anything else (javascript:, an address inside the network) is not put on a page.
    return value if secure else None


def _date(received: Mapping[str, Any], name: str) -> datetime | None:
    value = _text(received, name)
    if value is None:
        return None
    try:
        return parse_date(value)
    except ValueError:
        raise InvalidUser(f"{name} is not an ISO 8601 date") from None
