"""``CentralAuth``: wires one Flask application. Thin methods over the modules below."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, ParamSpec, TypeVar, overload

from flask import Blueprint, Flask, Response, current_app, request
from markupsafe import Markup

from . import config
from .attempts import AttemptCookies
from .config import Settings
from .direct_login import authenticate_direct
from .embedding import embed
from .errors import CentralAuthError
from .guarded_views import refuse_open_views, refuse_unusable_pages
from .guards import guard_of, protect
from .handlers import handle_error
from .last_word import last_word
from .login_store import LoginStore
from .login_words import words_of_call
from .mail_logins import MailLogins
from .names import UNNAMED, identifier_of
from .protocol import THEME_KEYS, TRANSLATION_KEYS
from .proxies import current_user, serialize_users, user_of
from .proxy_check import ProxyWatch, refuse_foreign_prefix
from .request_notes import IN_FORCE, current_request
from .session_guard import guard_session
from .setting_checks import OptionalWords
from .shared_states import SharedStates
from .sign_in import begin_login
from .sign_out import sign_out
from .state import Application, LoginHook, State, about, state_of
from .user import User
from .user_cache import Counters
from .views import create_blueprint

REQUESTS_TO_WATCH: Final = 1000

P = ParamSpec("P")
R = TypeVar("R")
H = TypeVar("H", bound=LoginHook)


class CentralAuth:
    """CentralAuth logins for Flask applications.

    ``CentralAuth(app)`` sets one application up; in a factory make the object at module
    level and call `init_app`. One object serves any number of applications: what belongs
    to one is kept in its ``app.extensions["centralauth"]``.

    An application whose people belong to several organizations has an object for each.
    All but one need a name, and share nothing: settings, routes, users, logins.

    :param name: a short word like ``"staff"``. Settings are then ``STAFF_CENTRALAUTH_CLIENT_ID``
        and so on, the routes are below ``/api/auth/staff``, and endpoints, the variable in
        templates and the key of ``app.extensions`` are called ``staff_centralauth``.
    :raises ConfigurationError: names every problem of the settings at once.
    :raises ValueError: that is no name.
    """

    #: The user this object knows the current request by, an `AnonymousUser` for guests.
    current_user: User

    def __init__(self, app: Flask | None = None, *, name: str | None = None) -> None:
        #: What it is called in endpoints, templates and ``app.extensions``.
        self.identifier: Final = identifier_of(name)
        self.current_user = user_of(self.identifier)
        self._login_hooks: list[LoginHook] = []
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set an application up. Makes no network call.

        Call it after setting ``app.config`` and, when the application sets up
        Flask-Session itself, after that.

        :raises ConfigurationError: names every problem of the settings at once.
        :raises RuntimeError: it was called for this application before.
        """
        present: State | None = app.extensions.get(self.identifier)
        if present is not None and present.identifier == self.identifier:
            raise RuntimeError(
                "CentralAuth is already set up for this application. Call CentralAuth(app) or init_app(app) "
                "once; to reach it elsewhere, import the object you made. For another organization make an "
                'object with a name: CentralAuth(app, name="staff").'
            )
        first: State | None = app.extensions.get(UNNAMED)
        taken = [state.settings.url_prefix for state in first.siblings] if first else []
        settings = config.load(app, identifier=self.identifier, taken=taken)
        application = first.application if first else _set_up(app, settings)
        state = State(
            application=application,
            settings=settings,
            attempts=AttemptCookies(settings, beside=application.attempts),
            shared_states=SharedStates(settings),
            logins=LoginStore(settings, application.guard),
            mail_logins=MailLogins(settings, application.guard),
            login_hooks=self._login_hooks,
        )
        app.extensions[self.identifier] = state
        # Where all have names, the first stands for the one without.
        app.extensions.setdefault(UNNAMED, state)
        app.register_blueprint(
            create_blueprint(settings, application.proxy, host_matching=app.url_map.host_matching)
        )
        # Jinja's type lists its own globals.
        app.jinja_env.globals.setdefault(self.identifier, self)  # pyright: ignore[reportArgumentType]

    @overload
    def auth_required(self, view: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def auth_required(
        self,
        /,
        *,
        affirmed_within: float | timedelta | None = None,
        verified: bool = False,
        fresh: bool = False,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def auth_required(
        self,
        view: Callable[..., Any] | None = None,
        /,
        *,
        affirmed_within: float | timedelta | None = None,
        verified: bool = False,
        fresh: bool = False,
    ) -> Callable[..., Any]:
        """Let only this object's users into a view; see `flask_centralauth.auth_required`."""
        guard = guard_of(self.identifier, affirmed_within=affirmed_within, verified=verified, fresh=fresh)
        return guard if view is None else guard(view)

    def protect(self, target: Flask | Blueprint) -> None:
        """Guard every view of an application or blueprint but those marked `public`."""
        protect(target, self.identifier)

    @property
    def counters(self) -> Counters:
        """What the checks of this process cost so far, for the metrics of the current application."""
        return self._state().users.counters

    def on_login(self, hook: H) -> H:
        """Run a function at every login, with the user, before they are in.

        It may return a response to send instead of the redirect, or refuse the user by
        raising `PermissionDenied` or Werkzeug's ``Forbidden``.
        """
        self._login_hooks.append(hook)
        return hook

    def login_redirect(
        self,
        *,
        return_to: str | None = None,
        email: str | None = None,
        translations: OptionalWords = None,
        theme: OptionalWords = None,
    ) -> Response:
        """Return the response that starts a login, for a view of one's own.

        :param return_to: path to come back to; the current page is not assumed.
        :param email: prefilled at CentralAuth.
        :param translations: texts of the login page, or a function that returns them, instead
            of ``CENTRALAUTH_TRANSLATIONS``.
        :param theme: looks of the login page, likewise, instead of ``CENTRALAUTH_THEME``.
        :raises ValueError: a key of theirs is unknown; says what was probably meant.
        """
        with self._in_force() as state:
            return begin_login(
                state,
                return_to=state.safe_return_to(request, return_to),
                email=email,
                translations=words_of_call("translations", translations, TRANSLATION_KEYS),
                theme=words_of_call("theme", theme, THEME_KEYS),
            )

    def authenticate_direct(self, email: str, *, return_to: str | None = None) -> None:
        """Let CentralAuth mail a login link, for a form of one's own; tell the person to look there.

        Call it from a view that a form of your own pages posts to. It returns the same
        whether or not the address may sign in, so that nobody learns who has an account.
        Where the link is opened in another browser, the person is asked before they are in.

        :param return_to: path to end at.
        :raises EntityError: that is no e-mail address.
        :raises RateLimitError: too many mails were asked for, to the address or by the client.
        :raises PermissionDenied: another site posted the form.
        :raises ServiceUnavailable: CentralAuth or the session store cannot be asked.
        """
        with self._in_force() as state:
            authenticate_direct(state, email, return_to=state.safe_return_to(request, return_to))

    def embed(
        self, *, return_to: str | None = None, email: str | None = None, nonce: str | None = None
    ) -> Markup:
        """Return a frame with the login page, for a page of one's own.

        In templates too: ``{{ centralauth.embed(nonce=csp_nonce()) }}``. A
        Content-Security-Policy of the page has to let it in: ``frame-src 'self'`` and
        CentralAuth's address, ``script-src`` with the nonce.

        :param return_to: path to end at, in the whole window.
        :param email: prefilled at CentralAuth.
        :param nonce: of the page's Content-Security-Policy, for the script.
        """
        with self._in_force() as state:
            return_to = state.safe_return_to(request, return_to)
            return embed(state, return_to=return_to, email=email, nonce=nonce)

    def logout(self, *, everywhere: bool | None = None) -> None:
        """End the current login, for a view of one's own.

        :param everywhere: also end the session at CentralAuth, for every application of
            the organization; by default as ``CENTRALAUTH_LOGOUT_EVERYWHERE`` says.
        """
        with self._in_force() as state:
            sign_out(state, everywhere=everywhere)

    def logout_user(self, user_id: str) -> None:
        """End every login of a user of this application, in all browsers, within a second."""
        state = self._state()
        state.logins.end_all(user_id)
        state.users.expect_news()

    def _state(self) -> State:
        return state_of(current_app, self.identifier)

    @contextmanager
    def _in_force(self) -> Iterator[State]:
        with about(state := self._state()):
            yield state


def _set_up(app: Flask, settings: Settings) -> Application:
    """Set up what one application needs once, however many objects it has."""
    application = Application(guard_session(app, settings), ProxyWatch())
    # An application may have registered a handler of its own before.
    app.error_handler_spec[None][None].setdefault(CentralAuthError, handle_error)
    app.context_processor(lambda: {"current_user": current_user})
    app.before_request(_request_checks(app, application))
    # Flask runs these in reverse: the first of the list has the last word.
    app.after_request_funcs.setdefault(None, []).insert(0, last_word)
    serialize_users(app)
    _add_commands(app)
    return application


def _request_checks(app: Flask, application: Application) -> Callable[[], None]:
    """Return what looks for mistakes that only show while serving; soon it looks at the prefix alone.

    A proxy shows itself in the first requests. Later only our own routes look for one.
    """
    left = REQUESTS_TO_WATCH
    checked = False

    def check() -> None:
        nonlocal left, checked
        application.guard.insist_on(app)
        current = current_request()
        if current.root_path:
            refuse_foreign_prefix()
        # A guard of the whole application may have been asked before: `protect` above `init_app`.
        current.__dict__.setdefault(IN_FORCE, app.extensions[UNNAMED])
        if not left:
            return
        if not checked:
            refuse_open_views()
            for state in application.states:
                refuse_unusable_pages(state.settings)
            checked = True
        left -= 1
        if application.proxy.watching:
            application.proxy.look()

    return check


def _add_commands(app: Flask) -> None:
    from .cli import centralauth_commands

    app.cli.add_command(centralauth_commands)
