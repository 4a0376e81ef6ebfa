"""What an emulator remembers: organizations, users, login attempts, codes, sessions, mails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from .clock import read_time, wire_time

_TIMES: Final = {
    "created": "created",
    "updated": "updated",
    "lastLogin": "last_login",
    "affirmationDate": "affirmation_date",
}
_WIRE_NAMES: Final = {
    "organization_id": "organizationId",
    "last_login": "lastLogin",
    "affirmation_date": "affirmationDate",
}


@dataclass(kw_only=True)
class Organization:
    """An OAuth client. The secret is also the key of its tokens."""

    id: str
    secret: str = field(repr=False)
    name: str
    #: Generated, not yet active ("CentralAuth: integration").
    next_secret: str | None = field(default=None, repr=False)


@dataclass(kw_only=True)
class User:
    """A person. ``extra`` rides along in the user object as it is."""

    id: str
    email: str
    created: datetime
    updated: datetime
    organization_id: str | None
    gravatar: str | None = None
    verified: bool = True
    blocked: bool = False
    last_login: datetime | None = None
    affirmation_date: datetime | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def change(self, fields: Mapping[str, object]) -> None:
        """Set fields by their wire names or by Python names.

        Names CentralAuth does not have become ``extra``: applications must cope with
        fields that are new.

        :raises ValueError: when a known field gets a value of the wrong type.
        """
        for name, value in fields.items():
            wire_name = _WIRE_NAMES.get(name, name)
            if wire_name in _TIMES:
                setattr(self, _TIMES[wire_name], None if value is None else read_time(value))
            elif wire_name in ("verified", "blocked"):
                if not isinstance(value, bool):
                    raise ValueError(f"{wire_name} must be true or false, not {value!r}")
                setattr(self, wire_name, value)
            elif wire_name == "email":
                self.email = checked_email(value)
            elif wire_name in ("id", "gravatar", "organizationId"):
                if not (isinstance(value, str) or (value is None and wire_name != "id")):
                    raise ValueError(f"{wire_name} must be text, not {value!r}")
                setattr(self, "organization_id" if wire_name == "organizationId" else wire_name, value)
            else:
                self.extra[wire_name] = value

    def to_wire(
        self, *, base_url: str, affirmed_at: datetime | None, skew: timedelta = timedelta(0)
    ) -> dict[str, Any]:
        """Return the user object of ``CentralAuth: userinfo``.

        :param skew: by how much its times are off.
        """

        def told(moment: datetime | None) -> str | None:
            return wire_time(moment + skew if moment else None)

        return {
            "id": self.id,
            "email": self.email,
            "gravatar": self.gravatar or f"{base_url}/avatar/{quote(self.id, safe='')}.svg",
            "verified": self.verified,
            "blocked": self.blocked,
            "organizationId": self.organization_id,
            "created": told(self.created),
            "updated": told(self.updated),
            "lastLogin": told(self.last_login),
            "affirmationDate": told(affirmed_at),
            **self.extra,
        }


def checked_email(value: object) -> str:
    """Return an e-mail address without surrounding spaces.

    :raises ValueError: when it cannot be one.
    """
    text = value.strip() if isinstance(value, str) else ""
    name, at, domain = text.rpartition("@")
    if (
        not (name and at and domain)
        or len(text) > 254
        or any(c.isspace() or not c.isprintable() for c in text)
    ):
        raise ValueError(f"{str(value)[:60]!r} is not an e-mail address")
    return text


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A visit to the login page that passed its checks: what a login needs to end."""

    id: str
    organization_id: str
    redirect_uri: str
    state: str
    code_challenge: str | None
    started: float
    query_string: str = ""
    email: str = ""
    banner: str = ""
    affirm: bool = False
    embed: bool = False
    app_id: str | None = None
    device_id: str | None = None


@dataclass(kw_only=True)
class Code:
    """A one-time code and what the login behind it was bound to."""

    value: str = field(repr=False)
    organization_id: str
    user_id: str
    redirect_uri: str
    code_challenge: str | None
    issued: float
    ip: str | None = None
    user_agent: str | None = None
    app_id: str | None = None
    device_id: str | None = None
    affirm: bool = False
    session_id: str | None = None
    #: Codes of one login at several domains open one session.
    login: str | None = None


@dataclass(kw_only=True)
class Session:
    """A login at CentralAuth. ``reason`` is the error code that its end answers."""

    id: str
    user_id: str
    email: str
    organization_id: str
    domains: set[str]
    created: datetime
    last_seen: datetime
    #: None: a login without a browser; the first userinfo call decides.
    ip: str | None = None
    user_agent: str | None = None
    device_id: str | None = None
    affirmed_at: datetime | None = None
    #: False: made by a mail link that was opened on another device and not confirmed.
    verified: bool = True
    active: bool = True
    reason: str | None = None

    def end(self, reason: str) -> None:
        """End the session for every application; the first reason stays."""
        if self.active:
            self.active = False
            self.reason = str(reason)


@dataclass(kw_only=True)
class Mail:
    """A message that a real service would have sent. Nothing ever leaves the machine."""

    number: int
    to: str
    subject: str
    sent: datetime
    attempt_id: str
    link: str
    undo_link: str
    sentence: str
    code: str | None = None


@dataclass(kw_only=True)
class MailLogin:
    """A login that waits for somebody to open a mail.

    ``kind`` is ``link``, ``challenge`` (pick the right of three numbers) or ``code``
    (type it in); ``method`` says which browser gets logged in: ``local`` the one that
    opens the mail, ``remote`` the one that asked, ``userPick`` either.
    """

    id: str
    token: str = field(repr=False)
    organization_id: str
    user_id: str
    email: str
    redirect_uri: str
    state: str
    started: float
    sentence: str
    kind: str = "link"
    method: str = "local"
    code_challenge: str | None = None
    affirm: bool = False
    page_attempt_id: str | None = None
    numbers: tuple[str, ...] = ()
    answer: str = field(default="", repr=False)
    confirmed: bool = False
    dead: bool = False
    code: str | None = field(default=None, repr=False)
