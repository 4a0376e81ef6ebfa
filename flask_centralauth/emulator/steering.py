"""Steering an engine and looking at it, from Python. No sockets, no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .clock import Clock
from .entities import Session, User
from .faults import Fault, FaultRules
from .finding import Finding
from .journal import Journal
from .lint import lint
from .mailbox import Mailbox
from .scenarios import play
from .service import Service
from .sessions import SessionList
from .settings import Settings
from .state_file import exported, import_state
from .store import NextLogin


class Steering:
    """What a test does with an emulator besides talking to it.

    ``sessions`` are the logins so far, ``mailbox`` the mails nobody sent.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.sessions = SessionList(service)
        self.mailbox = Mailbox(service)

    @property
    def requests(self) -> Journal:
        """What was sent to it, oldest first."""
        return self.service.journal

    @property
    def clock(self) -> Clock:
        """Its clock; ``clock.advance(seconds)`` instead of sleeping."""
        return self.service.clock

    @property
    def faults(self) -> FaultRules:
        """What goes wrong; :meth:`fail` and :meth:`scenario` add to it, ``faults.clear()`` ends it."""
        return self.service.faults

    @property
    def users(self) -> list[User]:
        """Everybody it knows."""
        with self.service.lock:
            return list(self.service.store.users.values())

    @property
    def settings(self) -> Settings:
        """How it behaves now; :meth:`configure` changes it."""
        return self.service.settings

    def configure(self, **changes: object) -> None:
        """Change settings until the next reset.

        :raises ValueError: naming the setting that is wrong.
        """
        with self.service.lock:
            self.service.settings = self.service.settings.changed(changes)

    def reset(self) -> None:
        """Go back to how it was made: users, settings, clock, faults, sessions, journal."""
        self.service.reset()

    def add_user(self, *, email: str, **fields: object) -> User:
        """Register a person, or change the fields of the one with this e-mail.

        Fields by wire name or Python name; unknown ones are sent along as they are.

        :raises ValueError: naming the field that is wrong.
        """
        return self.service.add_user(email=email, **fields)

    def fail(self, endpoint: str, **how: Any) -> Fault:
        """Make the next call of an endpoint go wrong; see :func:`~.faults.make_fault`.

        ``emulator.fail("userinfo", error_code="sessionInactive")``,
        ``fail("verify", status=503, times=2)``, ``fail("userinfo", hang=True)``.

        :raises ValueError: for an endpoint, action or combination that does not exist.
        """
        return self.service.faults.fail(endpoint, **how)

    def scenario(self, name: str, **how: float) -> list[Fault]:
        """Begin a bundle of faults: ``outage``, ``flaky``, ``slow`` and the others of ``scenarios``.

        ``scenario("clock_skew", seconds=-600)`` says by how much.

        :raises ValueError: when there is no such scenario.
        """
        return play(self.service, name, **how)

    def lint(self) -> list[Finding]:
        """Return what is wrong with the client that talks to it, errors first."""
        return lint(self.service)

    def export(self) -> dict[str, Any]:
        """Return settings, organizations, users and sessions as JSON can carry them."""
        return exported(self.service)

    def load(self, state: Mapping[str, Any]) -> None:
        """Replace what it remembers by what :meth:`export` returned.

        :raises ValueError: when it is something else; nothing is changed then.
        """
        import_state(self.service, state)

    def next_login(
        self,
        *,
        user: str | None = None,
        deny: bool = False,
        error: str | None = None,
        message: str | None = None,
    ) -> None:
        """Decide how the next visit to the login page ends; several calls queue up."""
        self.service.next_login(
            NextLogin(user=user, deny=deny, error=str(error) if error else None, message=message)
        )

    def autologin(self, email: str | None) -> None:
        """Answer every login page with this user until the next reset; None asks again."""
        self.service.set_autologin(email)

    def tokens(
        self, *, user: str, domain: str, ip: str | None = None, user_agent: str | None = None
    ) -> dict[str, Any]:
        """Return tokens of a new session, as verify would, without any request.

        :param domain: the application's origin.
        """
        return self.service.tokens_for(user, domain=domain, ip=ip, user_agent=user_agent)

    def end_session(self, session: Session | str | None = None, *, reason: str = "sessionInactive") -> None:
        """End a session, or all: userinfo answers the reason from now on."""
        self.sessions.end(session, reason=reason)

    def rotate_secret(self, *, activate: bool = True) -> str:
        """Return a new client secret; once active the old one is refused."""
        waiting = self.service.rotate_secret()
        return self.service.activate_secret() if activate else waiting
