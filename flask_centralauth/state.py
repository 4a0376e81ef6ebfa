"""What one application has of this extension: ``app.extensions["centralauth"]``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from flask import Flask, current_app, url_for
from werkzeug.exceptions import SecurityError

from .attempts import AttemptCookies
from .bearer import BearerUsers
from .config import Settings
from .login_store import LoginStore
from .mail_logins import MailLogins
from .redirects import origin_of, safe_return_to
from .shared_states import SharedStates
from .user import User
from .user_cache import UserCache

if TYPE_CHECKING:
    from flask import Request

    from .client import CentralAuthClient
    from .login_flow import LoginFlow

EXTENSION_KEY: Final = "centralauth"

LoginHook = Callable[[User], Any]


@dataclass(eq=False)
class State:
    """The parts of one application, wired in ``init_app``.

    What needs Authlib and requests is made at first use: importing them costs more than
    everything else together.
    """

    settings: Settings
    attempts: AttemptCookies
    shared_states: SharedStates
    logins: LoginStore
    mail_logins: MailLogins
    login_hooks: list[LoginHook]
    users: UserCache = field(init=False)
    bearers: BearerUsers = field(init=False)
    warned_of_private_address: bool = field(default=False, init=False)
    _client: CentralAuthClient | None = field(default=None, init=False, repr=False)
    _flow: LoginFlow | None = field(default=None, init=False, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)

    def __post_init__(self) -> None:
        self.users = UserCache(self.settings, self.logins, lambda: self.client)
        self.bearers = BearerUsers(self.settings, lambda: self.client)

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
        built = url_for(f"{EXTENSION_KEY}.callback", _external=True)
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
            own_routes=[root + route for route in self.settings.own_routes],
            return_origins=self.settings.return_origins,
        )

    def login_url(self, return_to: str | None = None) -> str:
        """Return where people sign in: the application's own page, or our login route."""
        endpoint = self.settings.login_view or f"{EXTENSION_KEY}.login"
        return url_for(endpoint, return_to=return_to) if return_to else url_for(endpoint)

    def after_login(self) -> str:
        return _resolved(self.settings.after_login)

    def after_logout(self) -> str:
        return _resolved(self.settings.after_logout)


def state_of(app: Flask | None = None) -> State:
    """Return the extension's state of an application, by default the current one.

    :raises RuntimeError: ``init_app`` was not called for it.
    """
    found: Flask = current_app._get_current_object() if app is None else app  # type: ignore[attr-defined]
    state: State | None = found.extensions.get(EXTENSION_KEY)
    if state is None:
        raise RuntimeError(
            "CentralAuth is not set up for this application. Call CentralAuth(app), or "
            "centralauth.init_app(app) in the factory."
        )
    return state


def _resolved(path_or_endpoint: str) -> str:
    if not path_or_endpoint.startswith("/"):
        return url_for(path_or_endpoint)
    from flask import request

    return request.root_path.rstrip("/") + path_or_endpoint
