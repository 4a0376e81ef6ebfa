"""What can go wrong, and what should happen then.

One table maps every error code to its family, HTTP status, public sentence and hint.
The families are Werkzeug HTTP exceptions: raised anywhere, they end in one right answer.

Source: "CentralAuth: error handling" (the codes and their meaning).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final, Protocol

from werkzeug.exceptions import HTTPException

from .translations import N_, gettext

MESSAGE_LIMIT: Final = 200

# Control and bidirectional characters, line separators, lone surrogates.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


class ErrorCode(str, Enum):
    """Every error code this package knows, in CentralAuth's spelling."""

    GENERIC_ERROR = "genericError"
    NO_PERMISSION = "noPermission"
    MISSING_FIELDS = "missingFields"
    SESSION_MISSING = "sessionMissing"
    SESSION_NOT_VERIFIED = "sessionNotVerified"
    SESSION_EXPIRED = "sessionExpired"
    SESSION_INACTIVE = "sessionInactive"
    SESSION_INVALID = "sessionInvalid"
    DOMAIN_INVALID = "domainInvalid"
    LOGIN_ATTEMPT_MISSING = "loginAttemptMissing"
    LOGIN_ATTEMPT_EXPIRED = "loginAttemptExpired"
    LOGIN_ATTEMPT_INVALID = "loginAttemptInvalid"
    PASSKEY_DATA_MISSING = "passkeyDataMissing"
    PASSKEY_DATA_EXPIRED = "passkeyDataExpired"
    PASSKEY_DATA_INVALID = "passkeyDataInvalid"
    PASSKEY_WRONG_ORGANIZATION = "passkeyWrongOrganization"
    CALLBACK_URL_MISSING = "callbackUrlMissing"
    CALLBACK_URL_INVALID = "callbackUrlInvalid"
    CONNECTION_MISSING = "connectionMissing"
    ORGANIZATION_ID_MISSING = "organizationIdMissing"
    TOKEN_INVALID = "tokenInvalid"
    STATE_MISSING = "stateMissing"
    STATE_INVALID = "stateInvalid"
    CODE_CHALLENGE_MISSING = "codeChallengeMissing"
    CODE_CHALLENGE_INVALID = "codeChallengeInvalid"
    CAPTCHA_INVALID = "captchaInvalid"
    ENTITY_MISSING = "entityMissing"
    ENTITY_INVALID = "entityInvalid"
    # Not in the documentation's table: the API's own types, and the official client's.
    TOO_MANY_REQUESTS = "tooManyRequests"
    TOKEN_MISSING = "tokenMissing"
    SECRET_MISSING = "secretMissing"
    AUTH_BASE_URL_MISSING = "authBaseUrlMissing"
    NETWORK_ERROR = "networkError"
    # OAuth's own word for "the person said no" (RFC 6749 §4.1.2.1).
    ACCESS_DENIED = "access_denied"
    # Ours: decisions that no CentralAuth code stands for.
    USER_BLOCKED = "userBlocked"
    USER_NOT_VERIFIED = "userNotVerified"
    AFFIRMATION_REQUIRED = "affirmationRequired"
    CROSS_SITE_REQUEST = "crossSiteRequest"
    STORE_UNAVAILABLE = "storeUnavailable"

    __str__ = str.__str__


def known_code(value: str | None) -> ErrorCode | None:
    """Return the code of exactly this spelling, or None when it is not a known one."""
    try:
        return ErrorCode(value)
    except ValueError:
        return None


def printable(text: object, limit: int = MESSAGE_LIMIT) -> str:
    """Return foreign text on one line, without control characters, cut to the limit.

    Keeps a hostile ``error_description`` from forging log lines or reversing what is
    read (attack: log injection).
    """
    # Cut first, so that 100 kB of description costs no 100 kB scan.
    line = " ".join(_UNPRINTABLE.sub(" ", str(text)[: limit * 4]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


class StartedLogin(Protocol):
    """What an error has to know of the login that failed; `attempts.Attempt` is one."""

    @property
    def return_to(self) -> str: ...

    @property
    def age(self) -> int: ...


class EndedLogin(Protocol):
    """What an error has to know of the login it ended; `login_store.Login` is one."""

    @property
    def started(self) -> float: ...


class CentralAuthError(HTTPException):
    """Something went wrong between the person, this application and CentralAuth.

    Raise one of the families below. Each is a right HTTP answer even when nothing
    handles it.

    :param error_code: CentralAuth's spelling; the family's usual code when left out.
    :param message: what the other side said, for the log. People see it only where the
        table says that it tells them more than our own sentence.
    :param public_message: shown to people instead of the table's sentence.
    :param hint: what the operator should do, instead of the table's hint.
    :param retry_after: seconds after which trying again makes sense.
    :param facts: what explains the incident, for the log record. Never a secret.
    """

    # Flask files error handlers under the class's code: None lets a handler for this
    # class catch every family. Instances always have a status.
    code: int | None = None
    family: ClassVar[str] = "login"
    default_code: ClassVar[ErrorCode] = ErrorCode.GENERIC_ERROR

    #: The started login of this browser that failed, when there is one to vouch for it.
    attempt: StartedLogin | None = None
    #: The login that was ended because of this error.
    ended_login: EndedLogin | None = None

    def __init__(
        self,
        error_code: str | None = None,
        message: str | None = None,
        *,
        public_message: str | None = None,
        hint: str | None = None,
        retry_after: int | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        self.error_code: str = known_code(error_code) or error_code or self.default_code
        self.row = error_row(self.error_code)
        self.message = message
        self.hint = hint or self.row.hint
        self.retry_after = retry_after
        self.facts: dict[str, object] = dict(facts or {})
        self.incident_id = secrets.token_hex(5)
        self._public_message = public_message
        if self.code is None:
            self.code = self.row.status
        super().__init__(description=public_message or self.row.sentence)

    @property
    def public_message(self) -> str:
        """The sentence for people, in the request's language, as a plain ``str``."""
        if self._public_message is not None:
            return self._public_message
        sentence = gettext(self.row.sentence)
        if self.row.shows_message and self.message:
            return f"{sentence} ({printable(self.message)})"
        return sentence

    @property
    def docs_anchor(self) -> str:
        """The anchor of this error in ``docs/errors.md``."""
        return self.row.anchor

    def __str__(self) -> str:
        said = f": {printable(self.message)}" if self.message else ""
        return f"{printable(self.error_code, 64)}{said}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class SessionError(CentralAuthError):
    """The login is over: sign out here, say so, sign in again, come back."""

    code = 401
    family = "session"
    default_code = ErrorCode.SESSION_INVALID


class LoginError(CentralAuthError):
    """A login failed: say so and go back to login; a page once it repeats."""

    code = 400
    family = "login"


class PermissionDenied(CentralAuthError):
    """This user may not: a page with "use another account". Never a redirect."""

    code = 403
    family = "permission"
    default_code = ErrorCode.NO_PERMISSION


class ConfigurationError(CentralAuthError):
    """The operator has to change a setting, here or at CentralAuth.

    Raised by ``init_app`` with every problem of the settings at once, and while
    serving when CentralAuth refuses this application itself.
    """

    code = 500
    family = "configuration"
    default_code = ErrorCode.MISSING_FIELDS

    def __str__(self) -> str:
        return self.message or super().__str__()


class RateLimitError(CentralAuthError):
    """CentralAuth asks to slow down: a page with ``Retry-After``."""

    code = 429
    family = "rate_limit"
    default_code = ErrorCode.TOO_MANY_REQUESTS


class ServiceUnavailable(CentralAuthError):
    """CentralAuth, or the session store, cannot be asked now: nobody is signed out."""

    code = 503
    family = "unavailable"
    default_code = ErrorCode.NETWORK_ERROR


class EntityError(CentralAuthError):
    """Something named in the message does not exist (404) or is malformed (400)."""

    code = None
    family = "entity"
    default_code = ErrorCode.ENTITY_INVALID


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """What one error code means here.

    ``meaning`` and ``hint`` are for the operator and the documentation, ``sentence``
    for people.
    """

    family: type[CentralAuthError]
    sentence: str
    meaning: str
    hint: str
    status: int = 400
    shows_message: bool = False
    code: str = ""

    @property
    def anchor(self) -> str:
        return self.code.lower().replace("_", "-") or "unknown-code"


_TRY_AGAIN = N_("Signing in did not work. Please try again.")
_SESSION_OVER = N_("Your session has ended. Please sign in again.")
_TOO_LONG = N_("Signing in took too long. Please try again.")
_PASSKEY = N_("Your passkey could not be used. Please try again, or choose another way to sign in.")
_OUT_OF_ORDER = N_(
    "Signing in is not set up correctly here. The operator has to correct this; trying again will not help."
)
_UNAVAILABLE = N_("Signing in is not possible right now. Please try again in a moment.")


def _row(
    code: ErrorCode,
    family: type[CentralAuthError],
    sentence: str,
    meaning: str,
    hint: str,
    *,
    status: int | None = None,
    shows_message: bool = False,
) -> tuple[ErrorCode, ErrorRow]:
    row_status = status or family.code
    assert row_status is not None, f"{code} needs a status: its family has none"
    return code, ErrorRow(family, sentence, meaning, hint, row_status, shows_message, code)


_HIJACK_HINT = (
    "CentralAuth compares the address and browser we report with those of the login. If "
    "this happens to many people, check that ProxyFix is set up, so that auth-ip is theirs."
)
_WHITELIST_HINT = (
    "Add the origin of this application to the whitelist of the organization; for local "
    'development switch on "Allow localhost".'
)
_RESTART_HINT = "Nothing to do when it happens now and then: the person starts again."

#: Everything this package knows about each code. Adding a code is adding a row.
ERRORS: Final[Mapping[str, ErrorRow]] = dict(
    [
        _row(
            ErrorCode.GENERIC_ERROR,
            LoginError,
            _TRY_AGAIN,
            "CentralAuth met an error it has no context for.",
            "If it lasts, ask CentralAuth with the time and the incident id.",
        ),
        _row(
            ErrorCode.NO_PERMISSION,
            PermissionDenied,
            N_("This account has no access here."),
            "At the callback: the user may not do this. Answered to one of our own calls: "
            "the client id and secret are not accepted.",
            "Check CENTRALAUTH_CLIENT_ID and CENTRALAUTH_CLIENT_SECRET; a new secret may be active.",
        ),
        _row(
            ErrorCode.MISSING_FIELDS,
            ConfigurationError,
            _OUT_OF_ORDER,
            "A required field of the request was missing.",
            "Check that the client address reaches the application (auth-ip); otherwise it is a bug.",
        ),
        _row(
            ErrorCode.SESSION_MISSING,
            SessionError,
            _SESSION_OVER,
            "CentralAuth does not know the session of this login (any more).",
            _RESTART_HINT,
        ),
        _row(
            ErrorCode.SESSION_NOT_VERIFIED,
            SessionError,
            N_("Your sign-in was not confirmed. Please sign in again."),
            "The session exists, but was never correctly verified.",
            _RESTART_HINT,
        ),
        _row(
            ErrorCode.SESSION_EXPIRED,
            SessionError,
            N_("Your session has expired. Please sign in again."),
            "The session is older than the organization allows.",
            "The maximum session time is a setting of the organization.",
        ),
        _row(
            ErrorCode.SESSION_INACTIVE,
            SessionError,
            N_("You were signed out, or away for too long. Please sign in again."),
            "The session was ended, is not active yet, or not active any more.",
            "The maximum inactivity time is a setting of the organization.",
        ),
        _row(
            ErrorCode.SESSION_INVALID,
            SessionError,
            N_("Your connection or browser has changed. Please sign in again."),
            "The session does not match what activation or hijack protection needs.",
            _HIJACK_HINT,
        ),
        _row(
            ErrorCode.DOMAIN_INVALID,
            ConfigurationError,
            _OUT_OF_ORDER,
            "The domain is missing, invalid or not on the whitelist.",
            _WHITELIST_HINT,
        ),
        _row(
            ErrorCode.LOGIN_ATTEMPT_MISSING,
            LoginError,
            _TRY_AGAIN,
            "CentralAuth does not know this login attempt.",
            "A mail scanner may have opened the link first; sign-in codes avoid that.",
        ),
        _row(
            ErrorCode.LOGIN_ATTEMPT_EXPIRED,
            LoginError,
            _TOO_LONG,
            "The login attempt is too old; links in mails live 15 minutes.",
            _RESTART_HINT,
        ),
        _row(
            ErrorCode.LOGIN_ATTEMPT_INVALID,
            LoginError,
            _TRY_AGAIN,
            "The login attempt was answered wrongly, or used before.",
            "A mail scanner may have opened the link first; sign-in codes avoid that.",
        ),
        _row(
            ErrorCode.PASSKEY_DATA_MISSING,
            LoginError,
            _PASSKEY,
            "The passkey data of the attempt is missing.",
            _RESTART_HINT,
        ),
        _row(
            ErrorCode.PASSKEY_DATA_EXPIRED,
            LoginError,
            _PASSKEY,
            "The passkey data of the attempt is too old.",
            _RESTART_HINT,
        ),
        _row(
            ErrorCode.PASSKEY_DATA_INVALID,
            LoginError,
            _PASSKEY,
            "The passkey did not match the attempt.",
            _RESTART_HINT,
        ),
        _row(
            ErrorCode.PASSKEY_WRONG_ORGANIZATION,
            LoginError,
            N_("This passkey belongs to another organization. Please choose another way to sign in."),
            "The passkey was registered for another organization.",
            "Happens when several organizations share the default login address: give this one "
            "a subdomain or a custom domain and set CENTRALAUTH_BASE_URL to it.",
        ),
        _row(
            ErrorCode.CALLBACK_URL_MISSING,
            ConfigurationError,
            _OUT_OF_ORDER,
            "No callback URL was sent.",
            "Set CENTRALAUTH_CALLBACK_URL to the address that is registered.",
        ),
        _row(
            ErrorCode.CALLBACK_URL_INVALID,
            ConfigurationError,
            _OUT_OF_ORDER,
            "The callback URL is malformed, or its origin is not on the whitelist.",
            _WHITELIST_HINT,
        ),
        _row(
            ErrorCode.CONNECTION_MISSING,
            ConfigurationError,
            _OUT_OF_ORDER,
            "The way to sign in that was chosen is unknown or switched off.",
            "Check the connections of the organization.",
        ),
        _row(
            ErrorCode.ORGANIZATION_ID_MISSING,
            ConfigurationError,
            _OUT_OF_ORDER,
            "The organization id is missing or unknown.",
            "Check CENTRALAUTH_CLIENT_ID and CENTRALAUTH_BASE_URL.",
        ),
        _row(
            ErrorCode.TOKEN_INVALID,
            SessionError,
            _SESSION_OVER,
            "The access token is missing or not valid for this organization.",
            "If everybody is signed out at once, the client secret was probably replaced.",
        ),
        _row(
            ErrorCode.STATE_MISSING,
            LoginError,
            _TRY_AGAIN,
            "The callback came without the state of a login.",
            _RESTART_HINT,
        ),
        _row(
            ErrorCode.STATE_INVALID,
            LoginError,
            N_(
                "This sign-in cannot be finished here. The link may have been opened on another "
                "device, used before, or waited too long. Please sign in again."
            ),
            "No login of this browser vouches for the callback.",
            "Now and then: a bookmark, a link opened on another device, a waiting tab. For everybody: "
            "do all workers share SECRET_KEY, and does the browser keep the cookie (Secure on http)?",
        ),
        _row(
            ErrorCode.CODE_CHALLENGE_MISSING,
            LoginError,
            _TRY_AGAIN,
            "The PKCE challenge is missing.",
            "Report it as a bug: this extension always sends one.",
        ),
        _row(
            ErrorCode.CODE_CHALLENGE_INVALID,
            LoginError,
            _TRY_AGAIN,
            "The code was not made for this login (PKCE).",
            "Now and then: an attack that failed. For everybody: report it as a bug.",
        ),
        _row(
            ErrorCode.CAPTCHA_INVALID,
            LoginError,
            N_("The captcha was not solved. Please try again."),
            "The captcha was not solved.",
            _RESTART_HINT,
        ),
        _row(
            ErrorCode.ENTITY_MISSING,
            EntityError,
            N_("What you asked for does not exist."),
            "An entity, named in CentralAuth's message, does not exist.",
            "The message in the log names it.",
            status=404,
            shows_message=True,
        ),
        _row(
            ErrorCode.ENTITY_INVALID,
            EntityError,
            N_("Something in the request is not valid."),
            "An entity, named in CentralAuth's message, is malformed.",
            "The message in the log names it.",
            status=400,
            shows_message=True,
        ),
        _row(
            ErrorCode.TOO_MANY_REQUESTS,
            RateLimitError,
            N_("Too many attempts. Please wait a moment and try again."),
            "CentralAuth asks to slow down.",
            "Raise CENTRALAUTH_USER_TTL if it lasts; 0 asks on every request.",
        ),
        _row(
            ErrorCode.TOKEN_MISSING,
            SessionError,
            N_("Please sign in."),
            "Nobody is signed in, or a call came without a token.",
            "Nothing to do: the page needs a login.",
        ),
        _row(
            ErrorCode.SECRET_MISSING,
            ConfigurationError,
            _OUT_OF_ORDER,
            "There is no client secret.",
            "Set CENTRALAUTH_CLIENT_SECRET.",
        ),
        _row(
            ErrorCode.AUTH_BASE_URL_MISSING,
            ConfigurationError,
            _OUT_OF_ORDER,
            "There is no base URL of CentralAuth.",
            "Set CENTRALAUTH_BASE_URL.",
        ),
        _row(
            ErrorCode.NETWORK_ERROR,
            ServiceUnavailable,
            _UNAVAILABLE,
            "CentralAuth could not be reached, or gave no usable answer.",
            "Check the network and CentralAuth's status. Nobody is signed out by this.",
        ),
        _row(
            ErrorCode.ACCESS_DENIED,
            LoginError,
            N_("Signing in was cancelled."),
            "The person, or CentralAuth for them, said no.",
            "Nothing to do.",
        ),
        _row(
            ErrorCode.USER_BLOCKED,
            PermissionDenied,
            N_("This account is blocked here."),
            "The user is blocked; CentralAuth leaves it to the application to refuse them.",
            "Unblock the user, or set CENTRALAUTH_ALLOW_BLOCKED.",
        ),
        _row(
            ErrorCode.USER_NOT_VERIFIED,
            PermissionDenied,
            N_("Please confirm your e-mail address first."),
            "The user's e-mail address is not verified and this page or application needs that.",
            "See CENTRALAUTH_REQUIRE_VERIFIED and auth_required(verified=True).",
        ),
        _row(
            ErrorCode.AFFIRMATION_REQUIRED,
            SessionError,
            N_("Please confirm that it is you."),
            "The page wants a more recent confirmation of identity than this login has.",
            "Nothing to do: the person is asked again.",
        ),
        _row(
            ErrorCode.CROSS_SITE_REQUEST,
            PermissionDenied,
            N_("This request came from another site and was refused."),
            "A logout was posted from another site.",
            "If it came from your own page: send a Referrer-Policy that lets the origin through.",
        ),
        _row(
            ErrorCode.STORE_UNAVAILABLE,
            ServiceUnavailable,
            _UNAVAILABLE,
            "The session store could not be asked.",
            "Check the server behind Flask-Session. Nobody is signed out by this.",
        ),
    ]
)

#: Codes that are not in the table, and messages that come without a code.
UNKNOWN: Final = ErrorRow(
    family=LoginError,
    sentence=_TRY_AGAIN,
    meaning="CentralAuth sent a code this version does not know, or only a message.",
    hint="The message in the log is CentralAuth's own. A newer version of this package may know the code.",
    shows_message=True,
)


def error_row(code: str) -> ErrorRow:
    """Return the row of a code; codes nobody knows share one."""
    return ERRORS.get(code, UNKNOWN)


def callback_error(code: str, message: str | None) -> CentralAuthError:
    """Return the error a callback of ours reports with ``error`` and its description."""
    row = error_row(code)
    return row.family(code, message)


def reply_error(
    code: str | None, message: str | None, *, status: int, retry_after: int | None = None
) -> CentralAuthError:
    """Return the error an API call of ours was answered with.

    The HTTP status decides where it can: 429 and 5xx are about the service, whatever
    the body says. ``noPermission`` means that this application is not let in.

    :param status: HTTP status of the reply.
    :param retry_after: seconds, from the reply's ``Retry-After``.
    """
    known = known_code(code)
    if status == 429 or known is ErrorCode.TOO_MANY_REQUESTS:
        return RateLimitError(ErrorCode.TOO_MANY_REQUESTS, message, retry_after=retry_after)
    if not 400 <= status < 500:
        return ServiceUnavailable(known or ErrorCode.NETWORK_ERROR, message or code, retry_after=retry_after)
    if known is ErrorCode.NO_PERMISSION:
        return ConfigurationError(known, message)
    if known is None:
        return LoginError(code, message)
    return error_row(known).family(known, message)
