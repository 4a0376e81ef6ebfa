"""The engine: everything an emulator remembers, and the few acts that change it.

Pages, API, control API and the Python API are thin layers over one :class:`Service`.
"""

from __future__ import annotations

import itertools
import random
import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from ..errors import ErrorCode
from .clock import Clock, moment_of, wire_time
from .entities import Organization, Session, User, checked_email
from .faults import FaultRules
from .journal import Journal
from .settings import Settings
from .store import NextLogin, Store
from .tokens import check_secret, issue_token

DEFAULT_CLIENT_ID: Final = "emulator"
DEFAULT_USERS: Final[tuple[Mapping[str, object], ...]] = (
    {"email": "alice@example.com"},
    {"email": "bob@example.com"},
    {"email": "blocked@example.com", "blocked": True},
    {"email": "unverified@example.com", "verified": False},
)
KEPT: Final = 10_000
SeedUser = str | Mapping[str, object]
T = TypeVar("T")


class Service:
    """A CentralAuth in memory. ``lock`` guards the store; every act takes it itself."""

    def __init__(
        self,
        settings: Settings,
        *,
        client_id: str = DEFAULT_CLIENT_ID,
        client_secret: str | None = None,
        users: Iterable[SeedUser] | None = None,
        seed: int | None = None,
    ) -> None:
        self.lock = threading.RLock()
        #: Set when the server stops: answers without end, end.
        self.closing = threading.Event()
        self.clock = Clock()
        self.journal = Journal()
        self.faults = FaultRules(seed)
        #: Where browsers reach it; the server fills it in. Discovery never follows Host.
        self.public_url = "http://127.0.0.1:9797"
        #: Where applications reach it, when that is another address.
        self.internal_url: str | None = None
        self.seed = seed
        self._seed_settings = settings
        self._seed_secret = check_secret(client_secret or secrets.token_hex(16))
        self._seed_client_id = client_id
        self._seed_users = [
            {"email": user} if isinstance(user, str) else dict(user)
            for user in (DEFAULT_USERS if users is None else users)
        ]
        self._seed_autologin: str | None = None
        self._begin()

    def _begin(self) -> None:
        self._dice = random.Random(self.seed) if self.seed is not None else None
        self._counters: dict[str, itertools.count[int]] = {}
        self.settings = self._seed_settings.changed({})
        self.store = Store()
        #: The e-mail of whoever every login page answers with, or None.
        self.autologin: str | None = self._seed_autologin
        #: By how much the times it reports are off; its own clock is right.
        self.skew = timedelta(0)
        self.add_organization(self._seed_client_id, self._seed_secret)
        for fields in self._seed_users:
            self.add_user(**fields)

    def reset(self, *, keep_users: bool = False) -> None:
        """Go back to how it was started: users, settings, clock, faults, journal, sessions."""
        with self.lock:
            users = self.store.users
            self.faults.clear()
            self.clock.reset()
            self._begin()
            if keep_users:
                self.store.users = users
            self.journal.clear()

    def set_autologin(self, email: str | None) -> None:
        """Answer every login page with this user until the next reset; None asks again."""
        self.autologin = email

    def start_with_autologin(self, email: str | None) -> None:
        """Answer every login page with this user, after a reset too."""
        self._seed_autologin = self.autologin = email

    # Identifiers

    def new_id(self, kind: str) -> str:
        """Return an identifier nobody can guess; numbered when the emulator is seeded."""
        if self._dice is None:
            return secrets.token_urlsafe(32)
        with self.lock:
            number = next(self._counters.setdefault(kind, itertools.count(1)))
        return f"{kind}_{number:04d}".ljust(43, "0") if kind == "code" else f"{kind}_{number:04d}"

    # Organizations

    @property
    def organization(self) -> Organization:
        """The first organization: the one the settings are about."""
        return next(iter(self.store.organizations.values()))

    def add_organization(self, client_id: str, secret: str | None = None) -> Organization:
        """Register another OAuth client."""
        with self.lock:
            organization = Organization(
                id=client_id,
                secret=check_secret(secret or secrets.token_hex(16)),
                name=self.settings.organization_name,
            )
            self.store.organizations[client_id] = organization
        return organization

    def rotate_secret(self, organization: Organization | None = None) -> str:
        """Return a new secret that is not active yet ("CentralAuth: integration")."""
        with self.lock:
            changed = organization or self.organization
            changed.next_secret = secrets.token_hex(len(changed.secret.encode()) // 2)
            return changed.next_secret

    def activate_secret(self, organization: Organization | None = None) -> str:
        """Make the secret of :meth:`rotate_secret` the only one: the old one is refused.

        :raises ValueError: when none is waiting.
        """
        with self.lock:
            changed = organization or self.organization
            if changed.next_secret is None:
                raise ValueError("no new secret is waiting; rotate first")
            changed.secret, changed.next_secret = changed.next_secret, None
            return changed.secret

    # Users

    def add_user(self, *, email: object, **fields: object) -> User:
        """Register a person, or change the one with this e-mail.

        :raises ValueError: naming the field that is wrong.
        """
        with self.lock:
            address = checked_email(email)
            user = self.find_user(address)
            if user is None:
                now = self.clock.now()
                user = User(
                    id=self.new_id("user"),
                    email=address,
                    created=now,
                    updated=now,
                    organization_id=self.organization.id,
                )
            return self.change_user(user, fields)

    def change_user(self, user: User, fields: Mapping[str, object]) -> User:
        """Set fields of a person, the e-mail included.

        :raises ValueError: naming the field that is wrong; nothing is changed then.
        """
        with self.lock:
            changed = replace(user, extra=dict(user.extra))
            changed.change(fields)
            taken = self.store.users.get(changed.email.lower())
            if taken is not None and taken.id != user.id:
                raise ValueError(f"{changed.email} belongs to somebody else")
            if changed.email.lower() != user.email.lower():
                self.store.users.pop(user.email.lower(), None)
            user.change(fields)
            self.store.users[user.email.lower()] = user
        return user

    def find_user(self, who: str) -> User | None:
        """Return the user with this e-mail or id."""
        with self.lock:
            found = self.store.users.get(who.strip().lower())
            return found or next((u for u in self.store.users.values() if u.id == who), None)

    def user_of(self, email: str) -> User:
        """Return the user with this e-mail, made now when that is allowed.

        :raises ValueError: when it is no e-mail, or users are not made here.
        """
        with self.lock:
            user = self.find_user(checked_email(email))
            if user is None:
                if not self.settings.enable_user_creation:
                    raise ValueError(f"{email} has no account here")
                user = self.add_user(email=email)
            return user

    def remove_user(self, user: User) -> None:
        """Delete a person; their sessions end."""
        with self.lock:
            self.store.users = {key: u for key, u in self.store.users.items() if u is not user}
            for session in self.store.sessions.values():
                if session.user_id == user.id:
                    session.end(ErrorCode.SESSION_MISSING)

    # Attempts, codes, sessions

    def keep(self, shelf: dict[str, T], key: str, value: T) -> T:
        """Put a value on a shelf of the store; the oldest fall off."""
        with self.lock:
            shelf[key] = value
            while len(shelf) > KEPT:
                del shelf[next(iter(shelf))]
        return value

    def new_session(
        self, user: User, organization: Organization, domains: Iterable[str], **bound_to: Any
    ) -> Session:
        """Return a new login of a user, bound to the browser the facts name."""
        now = self.clock.now()
        session = Session(
            id=self.new_id("session"),
            user_id=user.id,
            email=user.email,
            organization_id=organization.id,
            domains=set(domains),
            created=now,
            last_seen=now,
            **bound_to,
        )
        return self.keep(self.store.sessions, session.id, session)

    def user_object(self, user: User, session: Session) -> dict[str, Any]:
        """Return the user as userinfo answers it for a session."""
        affirmed_at = session.affirmed_at or user.affirmation_date or session.created
        return user.to_wire(base_url=self.public_url, affirmed_at=affirmed_at, skew=self.skew)

    def issue_tokens(self, session: Session, user: User, organization: Organization) -> dict[str, Any]:
        """Return the answer of verify ("CentralAuth: verify")."""
        issued = int((self.clock.now() + self.skew).timestamp())
        lifetime = self.settings.max_session_time or None
        claims: dict[str, Any] = {"sessionId": session.id, "iat": issued}
        if lifetime is not None:
            claims["exp"] = issued + lifetime
        expires_at = None if lifetime is None else wire_time(moment_of(issued + lifetime))
        with_user = {**claims, "user": self.user_object(user, session)}
        return {
            "access_token": issue_token(organization.secret, claims),
            "id_token": issue_token(organization.secret, with_user),
            "expires_in": lifetime,
            "expires_at": expires_at,
        }

    def tokens_for(
        self, email: str, *, domain: str, ip: str | None = None, user_agent: str | None = None
    ) -> dict[str, Any]:
        """Return tokens of a new session of a user, as if a login had just ended.

        :raises ValueError: when there cannot be such a user.
        """
        with self.lock:
            user = self.user_of(email)
            session = self.new_session(user, self.organization, {domain}, ip=ip, user_agent=user_agent)
            return self.issue_tokens(session, user, self.organization)

    def next_login(self, outcome: NextLogin) -> None:
        """Queue how the next visit to the login page ends."""
        with self.lock:
            self.store.next_logins.append(outcome)
