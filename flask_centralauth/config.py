"""Every setting, read once and checked.

This is the only module that reads ``app.config`` and the environment. All problems are
reported together, each with the key, what is wrong and the fix; values that may be
secret are never repeated.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from . import setting_checks as checks
from . import setting_warnings
from .errors import ConfigurationError
from .names import PREFIX, UNNAMED, name_of, setting_prefix, spelled_for
from .redirects import safe_return_to
from .setting_checks import InvalidSettingError, OptionalWords
from .setting_table import REQUIRED, SETTINGS, Setting

log = logging.getLogger("flask_centralauth")

ROUTES: Final = ("login", "callback", "confirm", "user", "logout", "affirm")
MINIMUM_SECRET_KEY: Final = 16
#: Other spellings of the client secret.
FURTHER_KEYS: Final = ("CENTRALAUTH_CLIENT_SECRET_FILE", "CENTRALAUTH_CLIENT_SECRETS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one `CentralAuth` object, valid and immutable. ``repr`` shows no secret."""

    #: What the object is called, see `names`.
    identifier: str = UNNAMED
    client_id: str
    client_secret: str = field(repr=False)
    #: That one, and the other one while it is replaced.
    client_secrets: tuple[str, ...] = field(repr=False)
    base_url: str
    callback_url: str | None
    url_prefix: str
    login_view: str | None
    after_login: str
    after_logout: str
    return_hosts: tuple[str, ...]
    #: Origins, this application's own included; empty: no autologin.
    autologin_domains: tuple[str, ...]
    autologin_key: str | None = field(repr=False)
    user_ttl: float
    stale_grace: float
    timeout: float
    login_lifetime: int
    logout_everywhere: bool
    allow_blocked: bool
    require_verified: bool
    unsafe_local_id_token: bool
    translations: OptionalWords
    theme: OptionalWords
    flash_category: str
    #: Newest last, as itsdangerous wants them.
    secret_keys: tuple[str | bytes, ...] = field(repr=False)
    #: Seconds a login may last here, from PERMANENT_SESSION_LIFETIME.
    session_lifetime: int
    session_cookie_name: str
    session_cookie_path: str = "/"

    @property
    def own_routes(self) -> frozenset[str]:
        """Paths below the application root that never serve as a return path."""
        return frozenset(f"{self.url_prefix}/{route}" for route in ROUTES)

    @property
    def return_origins(self) -> tuple[str, ...]:
        """The listed hosts as origins; https, or what the entry itself names."""
        return tuple(host if "://" in host else f"https://{host}" for host in self.return_hosts)

    @property
    def base_is_loopback(self) -> bool:
        return checks.is_loopback(urlsplit(self.base_url).hostname)


def load(app: Flask, *, identifier: str = UNNAMED, taken: Collection[str] = ()) -> Settings:
    """Return the checked settings of one `CentralAuth` object of an application.

    :param taken: the URL prefixes of the others.
    :raises ConfigurationError: names every problem at once.
    """
    own = _own_keys(app, identifier)
    problems: list[str] = []
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        try:
            values[setting.name] = _read(own, setting, identifier)
        except InvalidSettingError as problem:
            problems.append(f"{setting.key}: {problem}")
    further: tuple[tuple[str, str, Callable[[], Any]], ...] = (
        ("secret_keys", "SECRET_KEY", lambda: _secret_keys(app)),
        ("client_secrets", "CENTRALAUTH_CLIENT_SECRETS", lambda: _client_secrets(own, values)),
        ("autologin_key", "CENTRALAUTH_AUTOLOGIN_KEY", lambda: _autologin_key(values)),
    )
    for name, key, read in further:
        try:
            values[name] = read()
        except InvalidSettingError as problem:
            problems.append(f"{key}: {problem}")
    if _leads_back_to_login(values):
        problems.append("CENTRALAUTH_AFTER_LOGIN: is one of the login's own routes. Name another page.")
    if values.get("url_prefix") in taken:
        problems.append("CENTRALAUTH_URL_PREFIX: is another CentralAuth object's. Give each its own.")
    problems += _session_problems(app)
    if problems:
        raise ConfigurationError.of_settings(spelled_for(identifier, problem) for problem in problems)
    for sentence in _doubts(app, own, values):
        log.warning("%s", spelled_for(identifier, sentence))
    return Settings(
        identifier=identifier,
        **values,
        session_lifetime=int(app.permanent_session_lifetime.total_seconds()),
        session_cookie_name=app.config["SESSION_COOKIE_NAME"],
        session_cookie_path=app.config["SESSION_COOKIE_PATH"] or app.config["APPLICATION_ROOT"],
    )


def _own_keys(app: Flask, identifier: str) -> dict[str, Any]:
    """Return the settings of one object under the keys of the one without a name."""
    prefix = setting_prefix(identifier)
    return {
        PREFIX + key.removeprefix(prefix): value
        for key, value in app.config.items()
        if key.startswith(prefix)
    }


def _doubts(app: Flask, own: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    yield from setting_warnings.about_unknown_keys(own, {*FURTHER_KEYS, *(row.key for row in SETTINGS)})
    yield from setting_warnings.about_secret_length(values["client_secret"])
    host_is_fixed = app.config.get("TRUSTED_HOSTS") or app.config.get("SERVER_NAME")
    any_host = not (app.debug or app.testing or host_is_fixed)
    yield from setting_warnings.about_callback(
        values["callback_url"], values["url_prefix"], any_host=any_host
    )


def prepare_flask_session(app: Flask, settings: Settings) -> bool:
    """Fill in the ``SESSION_*`` keys the application left open.

    Return whether an engine has still to be chosen (no ``SESSION_TYPE``).
    """
    config = app.config
    # Flask's default writes every session back on every request; a request that was
    # slow then brings a session back to life that was logged out meanwhile.
    config["SESSION_REFRESH_EACH_REQUEST"] = False
    # Two applications on one server must not read each other's sessions.
    config.setdefault("SESSION_KEY_PREFIX", f"session:{settings.client_id}:{app.import_name}:")
    if config["SESSION_COOKIE_SAMESITE"] is None:
        config["SESSION_COOKIE_SAMESITE"] = "Lax"
    if settings.callback_url and settings.callback_url.startswith("https:"):
        config["SESSION_COOKIE_SECURE"] = True
    return not config.get("SESSION_TYPE")


def use_embedded_engine(app: Flask, engine: object) -> None:
    """Make Flask-Session keep its sessions in a cachelib-style engine of ours."""
    app.config["SESSION_TYPE"] = "cachelib"
    app.config["SESSION_CACHELIB"] = engine


def _session_problems(app: Flask) -> Iterator[str]:
    key, engine = "SESSION_TYPE", str(app.config.get("SESSION_TYPE") or "").lower()
    try:
        if type(app.session_interface) is SecureCookieSessionInterface:
            checks.session_type(engine)
        client = app.config.get(key := f"SESSION_{engine.upper()}")
        if client is not None and client is not getattr(app.session_interface, "client", None):
            checks.session_client(engine, client)
    except InvalidSettingError as problem:
        yield f"{key}: {problem}"


def _read(own: Mapping[str, Any], setting: Setting, identifier: str) -> Any:
    # None is what os.environ.get() and from_prefixed_env() leave for a setting that is not there.
    value = own.get(setting.key)
    if value is None and setting.name == "client_secret":
        value = _secret_from_file(own) or _first_of_several(own)
    # Attack: one organization's secret sent to another. These names are of one organization.
    environment = setting.environment if identifier == UNNAMED else None
    if value is None and environment:
        value = os.environ.get(environment)
    if value is not None:
        return setting.read(_tidied(setting, value, identifier))
    default = setting.default_for(name_of(identifier))
    if default is REQUIRED:
        alternative = f", or the environment variable {environment}" if environment else ""
        raise InvalidSettingError(f"is missing. Set it{alternative}.")
    return default


def _tidied(setting: Setting, value: Any, identifier: str) -> Any:
    if not isinstance(value, str):
        return value
    tidy = value.strip()
    if len(tidy) > 1 and tidy[0] == tidy[-1] and tidy[0] in "'\"":
        tidy = tidy[1:-1]
    if tidy != value:
        log.warning(
            "%s: white space or quotes around the value were removed; correct the setting.",
            spelled_for(identifier, setting.key),
        )
    return tidy


def _leads_back_to_login(values: Mapping[str, Any]) -> bool:
    target: str = values.get("after_login") or ""
    if not target.startswith("/"):
        blueprint, _, route = target.rpartition(".")
        return route in ROUTES and f"_{blueprint}".endswith(f"_{UNNAMED}")
    own_routes = [f"{values.get('url_prefix')}/{route}" for route in ROUTES]
    return safe_return_to(target, own_origins=(), own_routes=own_routes) is None


def _secret_from_file(own: Mapping[str, Any]) -> str | None:
    path = own.get("CENTRALAUTH_CLIENT_SECRET_FILE")
    if path is None:
        return None
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, TypeError, ValueError) as error:
        raise InvalidSettingError(
            f"CENTRALAUTH_CLIENT_SECRET_FILE cannot be read ({type(error).__name__}). "
            "Name a UTF-8 text file that this process may read."
        ) from None


def _first_of_several(own: Mapping[str, Any]) -> Any:
    several = own.get("CENTRALAUTH_CLIENT_SECRETS")
    return several[0] if isinstance(several, list | tuple) and several else None


def _client_secrets(own: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the client secret, and the other one while it is replaced."""
    first: str | None = values.get("client_secret")
    several = own.get("CENTRALAUTH_CLIENT_SECRETS")
    further = () if several is None else checks.credentials(several)
    return tuple(dict.fromkeys((*((first,) if first else ()), *further)))


def _autologin_key(values: Mapping[str, Any]) -> str | None:
    if not {"autologin_domains", "autologin_key"} <= set(values):
        return None  # what is wrong with them is said already
    others = (*values.get("secret_keys", ()), *values.get("client_secrets", ()))
    return checks.autologin_key(values["autologin_key"], values["autologin_domains"], others)


def _secret_keys(app: Flask) -> tuple[str | bytes, ...]:
    newest = app.secret_key
    if not newest:
        raise InvalidSettingError(
            "is missing. Started logins are signed with it: set one long random value, "
            "the same in all workers."
        )
    if len(newest) < MINIMUM_SECRET_KEY and not (app.debug or app.testing):
        log.warning("SECRET_KEY is shorter than %d bytes; anybody may guess it.", MINIMUM_SECRET_KEY)
    return (*reversed(app.config.get("SECRET_KEY_FALLBACKS") or ()), newest)
