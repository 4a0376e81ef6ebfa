"""What an organization can switch, and what nobody observed and is therefore a switch.

Rows of ``docs/fidelity.md`` name these fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..errors import ErrorCode

#: HTTP status by error code. Not documented by the service: one edit here when it is seen.
DEFAULT_STATUS: Final[Mapping[str, int]] = {
    ErrorCode.GENERIC_ERROR: 500,
    ErrorCode.NO_PERMISSION: 403,
    ErrorCode.TOO_MANY_REQUESTS: 429,
    ErrorCode.ENTITY_MISSING: 404,
    ErrorCode.SESSION_MISSING: 401,
    ErrorCode.SESSION_NOT_VERIFIED: 401,
    ErrorCode.SESSION_EXPIRED: 401,
    ErrorCode.SESSION_INACTIVE: 401,
    ErrorCode.SESSION_INVALID: 401,
    ErrorCode.TOKEN_MISSING: 401,
    ErrorCode.TOKEN_INVALID: 401,
}

#: The codes a CentralAuth server can answer, in the order of its documentation.
SERVICE_CODES: Final[tuple[str, ...]] = tuple(
    str(code)
    for code in (
        ErrorCode.GENERIC_ERROR,
        ErrorCode.NO_PERMISSION,
        ErrorCode.TOO_MANY_REQUESTS,
        ErrorCode.MISSING_FIELDS,
        ErrorCode.SESSION_MISSING,
        ErrorCode.SESSION_NOT_VERIFIED,
        ErrorCode.SESSION_EXPIRED,
        ErrorCode.SESSION_INACTIVE,
        ErrorCode.SESSION_INVALID,
        ErrorCode.DOMAIN_INVALID,
        ErrorCode.LOGIN_ATTEMPT_MISSING,
        ErrorCode.LOGIN_ATTEMPT_EXPIRED,
        ErrorCode.LOGIN_ATTEMPT_INVALID,
        ErrorCode.PASSKEY_DATA_MISSING,
        ErrorCode.PASSKEY_DATA_EXPIRED,
        ErrorCode.PASSKEY_DATA_INVALID,
        ErrorCode.PASSKEY_WRONG_ORGANIZATION,
        ErrorCode.CALLBACK_URL_MISSING,
        ErrorCode.CALLBACK_URL_INVALID,
        ErrorCode.CONNECTION_MISSING,
        ErrorCode.ORGANIZATION_ID_MISSING,
        ErrorCode.TOKEN_MISSING,
        ErrorCode.TOKEN_INVALID,
        ErrorCode.STATE_MISSING,
        ErrorCode.STATE_INVALID,
        ErrorCode.CODE_CHALLENGE_MISSING,
        ErrorCode.CODE_CHALLENGE_INVALID,
        ErrorCode.CAPTCHA_INVALID,
        ErrorCode.ENTITY_MISSING,
        ErrorCode.ENTITY_INVALID,
    )
)

CONNECTIONS: Final = ("email", "passkey", "google", "microsoft", "github", "app")

_CHOICES: Final[Mapping[str, tuple[str | None, ...]]] = {
    "mode": ("strict", "compat"),
    "redirect_uri_match": (None, "exact", "path", "origin"),
    "login_attempt_type": ("link", "challenge", "code"),
    "login_method": ("local", "remote", "userPick"),
}


@dataclass(kw_only=True)
class Settings:
    """The switches of an emulator. Times are seconds; 0 switches a limit off.

    ``strict`` answers only what the documentation describes. ``compat`` also accepts
    what the official clients send (see ``docs/fidelity.md``).
    """

    mode: str = "strict"
    organization_name: str = "Example Organization"
    #: Origins that may receive a callback; ``https://*.example.com`` is every host below
    #: example.com. Empty: every origin ("CentralAuth: settings").
    whitelist: tuple[str, ...] = ()
    #: Every localhost origin is allowed, listed or not.
    allow_localhost: bool = False
    check_referrer: bool = False
    hijack_ip: bool = True
    hijack_user_agent: bool = True
    hijack_device_id: bool = True
    #: A person who is logged in here is sent back without a question, to any listed domain.
    autologin: bool = False
    #: With autologin: a login is carried to the callbacks of the other listed domains.
    autologin_carry: bool = False
    enable_user_creation: bool = True
    connections: tuple[str, ...] = CONNECTIONS
    max_session_time: int = 86400
    max_inactivity_time: int = 0
    code_lifetime: int = 60
    attempt_lifetime: int = 1800
    mail_lifetime: int = 900
    #: Seconds until the same address may ask for a second mail; doubles with each.
    mail_wait: int = 30
    #: Calls per minute and client; the next one is ``tooManyRequests``.
    rate_limit: int = 0
    #: How ``redirect_uri`` of verify is compared with the login's: ``exact``, ``path``
    #: (query ignored) or ``origin``. None: exact when strict, path when compat.
    redirect_uri_match: str | None = None
    #: The address every login is recorded with, for setups where the browser and the
    #: application reach the emulator through different networks.
    login_ip: str | None = None
    login_attempt_type: str = "link"
    login_method: str = "local"
    #: What the application claims, for lint: signing out there ends the session everywhere.
    expect_logout_everywhere: bool = False
    #: Native applications as ``app_id redirect_uri``; they log in without a secret.
    native_apps: tuple[str, ...] = ()
    #: They also send a ``client_assertion``, as desktop applications do.
    native_assertion: bool = False
    #: HTTP status by error code; 400 for a code that is not listed.
    statuses: dict[str, int] = field(
        default_factory=lambda: {str(code): n for code, n in DEFAULT_STATUS.items()}
    )

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                offered = ", ".join(str(choice) for choice in choices if choice)
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose one of: {offered}")
        self.whitelist = _words("whitelist", self.whitelist)
        self.connections = _words("connections", self.connections)
        self.native_apps = _words("native_apps", self.native_apps)

    @property
    def strict(self) -> bool:
        return self.mode == "strict"

    @property
    def redirect_uri_rule(self) -> str:
        return self.redirect_uri_match or ("exact" if self.strict else "path")

    def status_of(self, code: str) -> int:
        """Return the HTTP status that goes with an error code."""
        return self.statuses.get(code, 400)

    def changed(self, changes: Mapping[str, object]) -> Settings:
        """Return a copy with some settings changed.

        :raises ValueError: naming the setting that is unknown or of the wrong type.
        """
        known: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name, value in changes.items():
            if name == "hijack_protection":
                for part in ("hijack_ip", "hijack_user_agent", "hijack_device_id"):
                    known[part] = _typed(part, True, value)
            elif name not in known:
                raise ValueError(f"there is no setting {name!r}; known: {', '.join(sorted(known))}")
            else:
                known[name] = _typed(name, known[name], value)
        return Settings(**known)

    def to_dict(self) -> dict[str, Any]:
        """Return every setting by name, as JSON can carry it."""
        return dataclasses.asdict(self)


def _words(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ValueError(f"{name} must be a list of texts, not {value!r}")


def _typed(name: str, current: object, value: object) -> object:
    """Return the value when it has the type of the setting's current one."""
    if name in ("redirect_uri_match", "login_ip"):
        fits = value is None or isinstance(value, str)
    elif isinstance(current, bool):
        fits = isinstance(value, bool)
    elif isinstance(current, int):
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    elif isinstance(current, tuple):
        return _words(name, value)
    elif isinstance(current, dict):
        return {**current, **_statuses(value)}
    else:
        fits = isinstance(value, str)
    if not fits:
        raise ValueError(f"{name} cannot be {value!r}; it is now {current!r}")
    return value


def _statuses(value: object) -> dict[str, int]:
    if not isinstance(value, Mapping):
        raise ValueError(f"statuses must be an object of code and HTTP status, not {value!r}")
    for code, status in value.items():
        if not isinstance(code, str) or not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(f"statuses: {code!r} cannot answer {status!r}; an HTTP status is 200 to 599")
    return dict(value)
