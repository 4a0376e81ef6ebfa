"""What an emulator remembers, and what a reset forgets."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from .entities import Attempt, Code, Mail, MailLogin, Organization, Session, User


@dataclass(frozen=True, kw_only=True)
class NextLogin:
    """How the next visit to the login page ends, without a question."""

    user: str | None = None
    deny: bool = False
    error: str | None = None
    message: str | None = None


@dataclass
class Store:
    """What a reset forgets."""

    users: dict[str, User] = field(default_factory=dict)
    organizations: dict[str, Organization] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)
    mail_logins: dict[str, MailLogin] = field(default_factory=dict)
    #: By address: when the next mail may be asked for, and the wait before it.
    mail_waits: dict[str, tuple[float, int]] = field(default_factory=dict)
    #: By client: when it called.
    calls: dict[str, deque[float]] = field(default_factory=dict)
    #: By cookie: the id of who is logged in with that browser.
    browsers: dict[str, str] = field(default_factory=dict)
    #: Given to desktop applications and not used yet.
    nonces: dict[str, bool] = field(default_factory=dict)
    next_logins: deque[NextLogin] = field(default_factory=deque)
