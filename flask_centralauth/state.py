"""What one application has of one `CentralAuth` object: ``app.extensions["centralauth"]``.

Which object a request is about, where an application has several, says `in_force`: the one
whose guard let the person in, or whose route it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app, has_request_context, request, url_for
from werkzeug.exceptions import SecurityError

from .attempts import AttemptCookies
from .bearer import BearerUsers
from .config import Settings
from .errors import CentralAuthError
from .known_logins import Admission
from .login_store import LoginStore
from .mail_logins import MailLogins
from .names import UNNAMED, name_of
from .redirects import origin_of, safe_return_to
from .request_notes import IN_FORCE, identity_key, notes
from .shared_states import SharedStates
from .user import User
from .user_cache import UserCache

if TYPE_CHECKING:
    from flask import Request

    from .client import CentralAuthClient
    from .login_flow import LoginFlow
    from .proxy_check import ProxyWatch
    from .session_guard import SessionGuard

LoginHook = Callable[[User], Any]


@dataclass(eq=False)
class Application:
    """What the `CentralAuth` objects of one application have in common."""

    guard: SessionGuard
    proxy: ProxyWatch
    attempts: list[AttemptCookies] = field(default_factory=list, repr=False)
    states: list[State] = field(default_factory=list, repr=False)


@dataclass(eq=False)
class State:
    """The parts of one application, wired in ``init_app``.

    What needs Authlib and requests is made at first use: importing them costs more than
    everything else together.
    """

    application: Application
    settings: Settings
    attempts: AttemptCookies
    shared_states: SharedStates
    logins: LoginStore
    mail_logins: MailLogins
    login_hooks: list[LoginHook]
    identifier: str = field(init=False)
    identity_key: str = field(init=False, repr=False)
    users: UserCache = field(init=False)
    admits: Admission = field(init=False, repr=False)
    bearers: BearerUsers = field(init=False)
    warned_of_private_address: bool = field(default=False, init=False)
    _client: CentralAuthClient | None = field(default=None, init=False, repr=False)
    _flow: LoginFlow | None = field(default=None, init=False, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)

    def __post_init__(self) -> None:
        self.identifier = self.settings.identifier
        self.identity_key = identity_key(self.identifier)
        self.application.states.append(self)
        self.users = UserCache(self.settings, self.logins, lambda: self.client)
        self.admits = self.users.admission(self, self.identifier, self.application)
        self.bearers = BearerUsers(self.settings, lambda: self.client)

    @property
    def name(self) -> str | None:
        """What the `CentralAuth` object was named, if anything."""
        return name_of(self.identifier)

    @property
    def siblings(self) -> tuple[State, ...]:
        """The states of every `CentralAuth` object of the application, this one included."""
        return tuple(self.application.states)

    @property
    def client(self) -> CentralAuthClient:
        """Every HTTP call to CentralAuth."""
        if self._client is not None:
            return self._client
        from .client import CentralAuthClient

        with self._lock:
            if self._client is None:
                self._client = CentralAuthClient(self.settings)
        return self._client

    @property
    def flow(self) -> LoginFlow:
        """Begins and completes logins."""
        if self._flow is not None:
            return self._flow
        from .login_flow import LoginFlow

        with self._lock:
            if self._flow is None:
                self._flow = LoginFlow(
                    self.settings, self.attempts, self.shared_states, self.client, self.callback_url
                )
        return self._flow

    def callback_url(self) -> str:
        """Return the redirect URI of this request: the same bytes at both ends of a login.

        :raises SecurityError: it would have to be built from a Host header that is no host.
        """
        if self.settings.callback_url is not None:
            return self.settings.callback_url
        built = self.url_for("callback", _external=True)
        if origin_of(built) is None:
            raise SecurityError("The Host header does not name a host.")
        return built

    def is_https(self, request: Request) -> bool:
        """Say whether people see this application on https. Never raises, whatever the Host header is."""
        set_url = self.settings.callback_url
        return set_url.startswith("https:") if set_url else request.is_secure

    def own_origins(self, request: Request) -> tuple[str, ...]:
        """Return the origins people see this application at: the request's, and the callback's.

        They differ behind a proxy that ends TLS when nothing tells the application so.
        """
        origin = request.host_url.rstrip("/")
        return (origin, self.settings.callback_url) if self.settings.callback_url else (origin,)

    def safe_return_to(self, request: Request, value: object) -> str | None:
        """Return a checked return path of this application, or None."""
        root = request.root_path.rstrip("/")
        return safe_return_to(
            value,
            own_origins=self.own_origins(request),
            own_routes=[root + route for state in self.siblings for route in state.settings.own_routes],
            return_origins=self.settings.return_origins,
        )

    def login_url(self, return_to: str | None = None) -> str:
        """Return where people sign in: the application's own page, or our login route."""
        endpoint = self.settings.login_view or self.endpoint("login")
        return url_for(endpoint, return_to=return_to) if return_to else url_for(endpoint)

    def endpoint(self, route: str) -> str:
        """Return the endpoint of one of the auth routes."""
        return f"{self.identifier}.{route}"

    def url_for(self, route: str, **values: Any) -> str:
        """Return the address of one of the auth routes."""
        return url_for(self.endpoint(route), **values)

    def after_login(self) -> str:
        return _resolved(self.settings.after_login)

    def after_logout(self) -> str:
        return _resolved(self.settings.after_logout)


def state_of(app: Flask, identifier: str = UNNAMED) -> State:
    """Return the state of one `CentralAuth` object of an application.

    Where all have names, the first that was set up is the one without.

    :raises RuntimeError: ``init_app`` was not called for it.
    """
    state: State | None = app.extensions.get(identifier)
    if state is None:
        called = "CentralAuth" if identifier == UNNAMED else f"CentralAuth(name={name_of(identifier)!r})"
        raise RuntimeError(
            f"{called} is not set up for this application. Call CentralAuth(app), or "
            "centralauth.init_app(app) in the factory."
        )
    return state


def in_force() -> State:
    """Return the state of the `CentralAuth` object the current request is about.

    Until a guard or a route says otherwise, the one without a name.
    """
    if not has_request_context():
        return state_of(_application())
    noted = notes()
    state: State | None = noted.get(IN_FORCE)
    if state is None:
        state = noted[IN_FORCE] = state_of(_application())
    return state


def put_in_force(identifier: str) -> State:
    """Let the rest of the request be about one `CentralAuth` object, and return its state."""
    noted = notes()
    state: State | None = noted.get(IN_FORCE)
    if state is None or state.identifier != identifier:
        state = noted[IN_FORCE] = state_of(_application(), identifier)
    return state


@contextmanager
def about(state: State) -> Iterator[None]:
    """Let a piece of work be about one `CentralAuth` object, whichever the request is about.

    An error of it is answered as that object's, wherever it is caught.
    """
    if not has_request_context():
        yield
        return
    noted = notes()
    before = in_force()
    noted[IN_FORCE] = state
    try:
        yield
    except CentralAuthError as error:
        error.identifier = error.identifier or state.identifier
        raise
    finally:
        noted[IN_FORCE] = before


def state_about(error: CentralAuthError) -> State:
    """Return the state of the `CentralAuth` object an error is about."""
    return in_force() if error.identifier is None else state_of(_application(), error.identifier)


def is_auth_route(endpoint: str) -> bool:
    """Say whether an endpoint is one of the auth routes, of whichever `CentralAuth` object."""
    blueprint = endpoint.rpartition(".")[0]
    return any(blueprint == state.identifier for state in in_force().siblings)


def _application() -> Flask:
    return current_app._get_current_object()  # type: ignore[attr-defined,no-any-return]


def _resolved(path_or_endpoint: str) -> str:
    if not path_or_endpoint.startswith("/"):
        return url_for(path_or_endpoint)
    return request.root_path.rstrip("/") + path_or_endpoint
