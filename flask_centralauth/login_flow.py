"""One login attempt: begin it, and complete it once.

Authlib makes state, PKCE challenge and authorization URL and exchanges the code; what it
would keep in the session is a signed cookie per attempt here.

Source: RFC 9700 §2.1 (state, PKCE), "CentralAuth: login", "CentralAuth:
callback", "CentralAuth: verify".
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from authlib.integrations.flask_client import FlaskIntegration, FlaskOAuth2App
from flask import Response, after_this_request, current_app, g, request
from werkzeug.datastructures import MultiDict

from .access_token import is_of_an_emulator
from .attempts import AFFIRM, BY_MAIL, COOKIE_LOST, LOGIN, Attempt, AttemptCookies
from .callback import Callback, read_callback
from .client import CentralAuthClient, Tokens
from .config import Settings
from .errors import ConfigurationError, ErrorCode, LoginError
from .login_words import encoded, words_of_today
from .mail_address import is_address
from .protocol import (
    LOGIN_PATH,
    THEME_KEYS,
    TRANSLATION_KEYS,
    VERIFY_PATH,
)
from .redirects import origin_of
from .request_notes import current_request
from .shared_states import SharedStates
from .translations import gettext

log = logging.getLogger("flask_centralauth")

MAX_LOGIN_ADDRESS: Final = 2000


class AttemptIntegration(FlaskIntegration):  # type: ignore[misc]  # Authlib ships no types
    """Where Authlib's Flask client keeps a started login: in the attempt's cookie."""

    def __init__(self, attempts: AttemptCookies, callback_url: Callable[[], str]) -> None:
        super().__init__("centralauth")
        self._attempts = attempts
        self._callback_url = callback_url

    def set_state_data(self, session: Any, state: str, data: Mapping[str, Any]) -> None:
        # Authlib adds the whole authorization URL, which nothing reads again.
        attempt = Attempt(**{name: data[name] for name in Attempt.__slots__ if name in data})
        current = current_request()

        @after_this_request
        def save(response: Response) -> Response:
            self._attempts.save(response, current, state, attempt)
            return response

    def get_state_data(self, session: Any, state: str) -> dict[str, Any] | None:
        attempt = self._attempts.find(request, state, redirect_uri=self._callback_url())
        return None if attempt is None else asdict(attempt)

    def clear_state_data(self, session: Any, state: str) -> None:
        """Do nothing: `LoginFlow.forget` drops the cookie, for failed callbacks too."""


class LoginFlow:
    """Begins and completes the logins of one application."""

    def __init__(
        self,
        settings: Settings,
        attempts: AttemptCookies,
        shared_states: SharedStates,
        client: CentralAuthClient,
        callback_url: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._attempts = attempts
        self._shared_states = shared_states
        self._client = client
        self._callback_url = callback_url
        self._oauth = FlaskOAuth2App(
            AttemptIntegration(attempts, callback_url),
            name="centralauth",
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            authorize_url=settings.base_url + LOGIN_PATH,
            access_token_url=settings.base_url + VERIFY_PATH,
            client_kwargs={"code_challenge_method": "S256"},
            user_agent="flask_centralauth",
        )
        self._oauth.client_cls = client.token_session
        _silence_authlib()

    def begin(
        self,
        attempt: Attempt,
        *,
        email: str | None = None,
        banner: str | None = None,
        translations: Mapping[str, str] | None = None,
        theme: Mapping[str, str] | None = None,
    ) -> str:
        """Start a login and return the address at CentralAuth to send the browser to.

        The attempt's cookie is set on the response of the current request.

        :param attempt: without its verifier, which is made here.
        :param email: prefilled at CentralAuth; left out when it is no address.
        :param banner: our own words for the top of CentralAuth's page.
        :param translations: already checked; the setting when None. ``theme`` likewise.
        :raises ConfigurationError: texts and looks are too long for an address.
        """
        parameters: dict[str, str] = {"affirm": "1"} if attempt.purpose == AFFIRM else {}
        if attempt.embedded:
            parameters["embed"] = "1"
        for name, given, setting, allowed in (
            ("translations", translations, self._settings.translations, TRANSLATION_KEYS),
            ("theme_settings", theme, self._settings.theme, THEME_KEYS),
        ):
            chosen = words_of_today(name, setting, allowed) if given is None else given
            if chosen:
                parameters[name] = encoded(chosen)
        started = self._within_limit(attempt, parameters, email, banner)
        self._oauth.save_authorize_data(**{**asdict(attempt), "started": int(time.time()), **started})
        address: str = started["url"]
        return address

    def _within_limit(
        self, attempt: Attempt, parameters: Mapping[str, str], email: str | None, banner: str | None
    ) -> dict[str, Any]:
        """Return what Authlib makes of a login, with an address that every proxy and browser takes.

        Banner and e-mail address are left out where they are too much: they are a comfort.
        """
        # The documentation has one name for the banner, the official client sends the other.
        banners = {"error_message": banner, "error_description": banner} if banner else {}
        emails = {"email": email} if email and is_address(email) else {}
        for extra in ({**emails, **banners}, emails, {}):
            started: dict[str, Any] = self._oauth.create_authorization_url(
                attempt.redirect_uri, state=self._new_state(attempt), **parameters, **extra
            )
            if len(started["url"]) < MAX_LOGIN_ADDRESS:
                return started
        raise ConfigurationError(
            message=f"the address of the login page has {len(started['url'])} characters",
            hint=f"Addresses of {MAX_LOGIN_ADDRESS} characters do not get through everywhere. Shorten the "
            "texts of CENTRALAUTH_TRANSLATIONS and CENTRALAUTH_THEME, or of login_redirect().",
        )

    def _new_state(self, attempt: Attempt) -> str:
        # Not of an affirmation, which is for one application; nor of a login that another
        # domain's began, or they would begin each other's.
        shared = self._shared_states.new_state(attempt.redirect_uri) if attempt.purpose == LOGIN else None
        return shared or self._attempts.new_state()

    def read(self, query: MultiDict[str, str]) -> Callback:
        """Return the callback a query string or form carries; see `read_callback`."""
        return read_callback(query, raw=request.query_string, issuer=self._settings.base_url)

    def attempt_of(self, callback: Callback) -> Attempt | None:
        """Return the attempt of this browser that vouches for a callback, if any."""
        return self._attempts.find(request, callback.state, redirect_uri=self._callback_url())

    def forget(self, callback: Callback) -> None:
        """Let the browser drop the attempt: it counts once, whatever comes of it."""
        current = current_request()

        @after_this_request
        def drop(response: Response) -> Response:
            self._attempts.forget(response, current, callback.state)
            return response

    def unvouched(self, callback: Callback, *, used_before: bool) -> LoginError:
        """Return the error of a callback that no attempt of this browser vouches for."""
        own = not used_before and (
            self._attempts.is_own_recent_state(callback.state)
            or self._shared_states.issuer_of(callback.state) == origin_of(self._callback_url())
        )
        if self._attempts.has_unreadable(request, callback.state):
            hint = (
                "The browser has the cookie of this login, but its signature was made with another "
                "SECRET_KEY; do all workers share it?"
            )
        elif own and not request.cookies:
            hint = (
                "This browser did not send back the cookie of a login it started a moment ago. Check "
                "CENTRALAUTH_CALLBACK_URL (https sets Secure cookies) and that login and callback have the "
                "same host; another device opening the link looks the same."
            )
        else:
            hint = None
        facts = {
            "state": "used before" if used_before else "own, recent" if own else "foreign or too old",
            "cookies_sent": bool(request.cookies),
            "provider_code": callback.error or "",
        }
        sentence = COOKIE_LOST if own and not request.cookies else None
        return LoginError(
            ErrorCode.STATE_INVALID, public_message=sentence and gettext(sentence), hint=hint, facts=facts
        )

    def redeem(self, attempt: Attempt) -> Tokens:
        """Exchange the code of the current request for tokens.

        :raises CentralAuthError: CentralAuth refused, or could not be asked.
        """
        # Only a login by mail has no challenge (attack: a code without its verifier).
        if not attempt.code_verifier and attempt.purpose not in BY_MAIL:
            raise LoginError(ErrorCode.CODE_CHALLENGE_MISSING, "the attempt has no code_verifier")
        tokens = self._client.tokens(self._oauth.authorize_access_token())
        # Authlib leaves the token where a debugger page would show it.
        g.pop("_oauth_token_centralauth", None)
        if is_of_an_emulator(tokens.access_token) and not self._emulator_allowed():
            raise ConfigurationError(
                ErrorCode.TOKEN_INVALID,
                "the token was made by an emulator",
                hint="CENTRALAUTH_BASE_URL points to an emulator: for debug, tests and this machine only.",
            )
        return tokens

    def _emulator_allowed(self) -> bool:
        return current_app.debug or current_app.testing or self._settings.base_is_loopback


def _silence_authlib() -> None:
    """Keep the PKCE verifier, which Authlib logs at DEBUG, out of every log."""
    logger = logging.getLogger("authlib.integrations.base_client.sync_app")
    if not any(isinstance(existing, _NoVerifier) for existing in logger.filters):
        logger.addFilter(_NoVerifier())


class _NoVerifier(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return "code_verifier" not in record.getMessage()
