"""The table of error codes: what each means, what people read, what the operator should do.

Adding a code is adding a row. ``docs/errors.md`` is made from it.

Source: "CentralAuth: error handling" (the codes and their meaning).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from .translations import N_

if TYPE_CHECKING:
    from .errors import CentralAuthError

#: The exception class of each family. `errors` fills it in: a table cannot import its readers.
FAMILIES: Final[dict[str, type[CentralAuthError]]] = {}


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """What one error code means here.

    ``sentence`` is for people; the rest is for the operator and the documentation.
    """

    code: str
    #: Name of the family that says what should happen.
    kind: str
    sentence: str
    meaning: str
    cause: str
    hint: str
    #: For families without a status of their own.
    own_status: int = 400
    #: Whether CentralAuth's message tells people more than our sentence does.
    shows_message: bool = False
    #: Whether the addresses we sent are part of the hint.
    about_addresses: bool = False

    @property
    def family(self) -> type[CentralAuthError]:
        return FAMILIES[self.kind]

    @property
    def status(self) -> int:
        return self.family.code or self.own_status

    @property
    def anchor(self) -> str:
        """The anchor in ``docs/errors.md``, as renderers of Markdown make it from the heading."""
        return self.code.lower() or "unknown-code"


_TRY_AGAIN = N_("Signing in did not work. Please try again.")
_SESSION_OVER = N_("Your session has ended. Please sign in again.")
_TOO_LONG = N_("Signing in took too long. Please try again.")
_PASSKEY = N_("Your passkey could not be used. Please try again, or choose another way to sign in.")
_OUT_OF_ORDER = N_(
    "Signing in is not set up correctly here. The operator has to correct this; trying again will not help."
)
_UNAVAILABLE = N_("Signing in is not possible right now. Please try again in a moment.")

_NOTHING_TO_DO = "Nothing to do when it happens now and then: the person starts again."
_WHITELIST_HINT = (
    "Add the origin of this application to the whitelist of the organization; for local "
    'development switch on "Allow localhost".'
)
_MAIL_SCANNER_HINT = "A mail scanner may have opened the link first; sign-in codes avoid that."


class ErrorCode(str, Enum):
    """Every error code this package knows, in CentralAuth's spelling; ``row`` is what it means."""

    row: ErrorRow

    # Any: looking a code up, ErrorCode("sessionExpired"), is type-checked against this too.
    def __new__(cls, row: Any) -> ErrorCode:
        member = str.__new__(cls, row.code)
        member._value_ = row.code
        member.row = row
        return member

    __str__ = str.__str__

    GENERIC_ERROR = ErrorRow(
        "genericError",
        "login",
        _TRY_AGAIN,
        "CentralAuth met an error it has no context for.",
        "A fault of the service, or of the mail or identity provider behind it.",
        "If it lasts, ask CentralAuth with the time and the incident id.",
    )
    NO_PERMISSION = ErrorRow(
        "noPermission",
        "permission",
        N_("This account has no access here."),
        "At the callback: this person may not sign in here. As the answer to a call of ours: this "
        "application is not let in, which is a mistake in the set-up and shown as one (500).",
        "The person has no access in the organization; or the client id and secret do not belong "
        "together, for example because a new secret was activated.",
        "Give the person access at CentralAuth. If everybody gets it: check CENTRALAUTH_CLIENT_ID and "
        "CENTRALAUTH_CLIENT_SECRET; a new secret may be active.",
    )
    MISSING_FIELDS = ErrorRow(
        "missingFields",
        "configuration",
        _OUT_OF_ORDER,
        "A required field of the request was missing.",
        "Mostly the visitor's address: behind a socket or a proxy the application does not see it.",
        "Check that the client address reaches the application (auth-ip, ProxyFix); otherwise it is a bug.",
    )
    SESSION_MISSING = ErrorRow(
        "sessionMissing",
        "session",
        _SESSION_OVER,
        "CentralAuth does not know the session of this login (any more).",
        "It was removed at CentralAuth, or the login belongs to another organization or base URL.",
        _NOTHING_TO_DO,
    )
    SESSION_NOT_VERIFIED = ErrorRow(
        "sessionNotVerified",
        "session",
        N_("Your sign-in was not confirmed. Please sign in again."),
        "The session exists, but was never correctly verified.",
        "The sign-in was interrupted before CentralAuth had verified it.",
        _NOTHING_TO_DO,
    )
    SESSION_EXPIRED = ErrorRow(
        "sessionExpired",
        "session",
        N_("Your session has expired. Please sign in again."),
        "The session is older than the organization allows.",
        "The maximum session time of the organization has passed.",
        "The maximum session time is a setting of the organization.",
    )
    SESSION_INACTIVE = ErrorRow(
        "sessionInactive",
        "session",
        N_("You were signed out, or away for too long. Please sign in again."),
        "The session was ended, is not active yet, or not active any more.",
        "Somebody signed out at another application or ended the session at CentralAuth, or the "
        "maximum inactivity time has passed.",
        "The maximum inactivity time is a setting of the organization.",
    )
    SESSION_INVALID = ErrorRow(
        "sessionInvalid",
        "session",
        N_("Your connection or browser has changed. Please sign in again."),
        "The session does not match what activation or hijack protection needs.",
        "The address or browser differs from the one that signed in: a new network, an updated "
        "browser, or a stolen cookie.",
        "CentralAuth compares the address and browser we report with those of the login. If this "
        "happens to many people, check that ProxyFix is set up, so that auth-ip is theirs.",
    )
    DOMAIN_INVALID = ErrorRow(
        "domainInvalid",
        "configuration",
        _OUT_OF_ORDER,
        "The domain is missing, invalid or not on the whitelist.",
        "The application runs at an origin the organization does not list.",
        _WHITELIST_HINT,
        about_addresses=True,
    )
    LOGIN_ATTEMPT_MISSING = ErrorRow(
        "loginAttemptMissing",
        "login",
        _TRY_AGAIN,
        "CentralAuth does not know this login attempt.",
        "The sign-in link was used up before, or cut when it was copied.",
        _MAIL_SCANNER_HINT,
    )
    LOGIN_ATTEMPT_EXPIRED = ErrorRow(
        "loginAttemptExpired",
        "login",
        _TOO_LONG,
        "The login attempt is too old; links in mails live 15 minutes.",
        "The mail came late, or was opened late.",
        _NOTHING_TO_DO,
    )
    LOGIN_ATTEMPT_INVALID = ErrorRow(
        "loginAttemptInvalid",
        "login",
        _TRY_AGAIN,
        "The login attempt was answered wrongly, or used before.",
        "A wrong code or number was entered, or the sign-in link was opened twice.",
        _MAIL_SCANNER_HINT,
    )
    PASSKEY_DATA_MISSING = ErrorRow(
        "passkeyDataMissing",
        "login",
        _PASSKEY,
        "The passkey data of the attempt is missing.",
        "The browser sent no answer of a passkey, or CentralAuth does not know the passkey.",
        _NOTHING_TO_DO,
    )
    PASSKEY_DATA_EXPIRED = ErrorRow(
        "passkeyDataExpired",
        "login",
        _PASSKEY,
        "The passkey data of the attempt is too old.",
        "The browser's passkey dialog was left open for too long.",
        _NOTHING_TO_DO,
    )
    PASSKEY_DATA_INVALID = ErrorRow(
        "passkeyDataInvalid",
        "login",
        _PASSKEY,
        "The passkey did not match the attempt.",
        "Another passkey was chosen, or it was removed from the account.",
        _NOTHING_TO_DO,
    )
    PASSKEY_WRONG_ORGANIZATION = ErrorRow(
        "passkeyWrongOrganization",
        "login",
        N_("This passkey belongs to another organization. Please choose another way to sign in."),
        "The passkey was registered for another organization.",
        "Several organizations share the default login address, so the browser offers the passkeys of all.",
        "Give this organization a subdomain or a custom domain and set CENTRALAUTH_BASE_URL to it.",
    )
    CALLBACK_URL_MISSING = ErrorRow(
        "callbackUrlMissing",
        "configuration",
        _OUT_OF_ORDER,
        "No callback URL was sent.",
        "Something between the application and CentralAuth dropped it.",
        "Set CENTRALAUTH_CALLBACK_URL to the address that is registered.",
        about_addresses=True,
    )
    CALLBACK_URL_INVALID = ErrorRow(
        "callbackUrlInvalid",
        "configuration",
        _OUT_OF_ORDER,
        "The callback URL is malformed, or its origin is not on the whitelist.",
        "The application runs at an origin the organization does not list, or a proxy in front of it "
        "makes it see another scheme or host.",
        f"{_WHITELIST_HINT} Behind a proxy set CENTRALAUTH_CALLBACK_URL, or ProxyFix.",
        about_addresses=True,
    )
    CONNECTION_MISSING = ErrorRow(
        "connectionMissing",
        "configuration",
        _OUT_OF_ORDER,
        "The way to sign in that was chosen is unknown or switched off.",
        "A connection (a social or company login) was removed from the organization.",
        "Check the connections of the organization.",
    )
    ORGANIZATION_ID_MISSING = ErrorRow(
        "organizationIdMissing",
        "configuration",
        _OUT_OF_ORDER,
        "The organization id is missing or unknown.",
        "The client id is mistyped, or the base URL is that of another organization.",
        "Check CENTRALAUTH_CLIENT_ID and CENTRALAUTH_BASE_URL.",
    )
    TOKEN_INVALID = ErrorRow(
        "tokenInvalid",
        "session",
        _SESSION_OVER,
        "The access token is missing or not valid for this organization.",
        "The token was cut or altered, or made with a client secret that is no longer the active one.",
        "If everybody is signed out at once, the client secret was probably replaced.",
    )
    STATE_MISSING = ErrorRow(
        "stateMissing",
        "login",
        _TRY_AGAIN,
        "The callback came without the state of a login.",
        "The address was typed or cut, or somebody else made the link.",
        _NOTHING_TO_DO,
    )
    STATE_INVALID = ErrorRow(
        "stateInvalid",
        "login",
        N_(
            "This sign-in cannot be finished here. The link may have been opened on another "
            "device, used before, or waited too long. Please sign in again."
        ),
        "No login of this browser vouches for the callback.",
        "A bookmark, a link opened on another device, a tab that waited too long, a browser that keeps "
        "no cookie, or an attack that failed.",
        "Nothing to do now and then. If it happens to everybody: "
        "do all workers share SECRET_KEY, and does the browser keep the cookie (Secure on http)?",
    )
    CODE_CHALLENGE_MISSING = ErrorRow(
        "codeChallengeMissing",
        "login",
        _TRY_AGAIN,
        "The PKCE challenge is missing.",
        "Something between the application and CentralAuth dropped it.",
        "Report it as a bug: this extension always sends one.",
    )
    CODE_CHALLENGE_INVALID = ErrorRow(
        "codeChallengeInvalid",
        "login",
        _TRY_AGAIN,
        "The code was not made for this login (PKCE).",
        "Somebody put the code of another login into this one; the attack failed.",
        "Nothing to do now and then. If it happens to everybody, report it as a bug.",
    )
    CAPTCHA_INVALID = ErrorRow(
        "captchaInvalid",
        "login",
        N_("The captcha was not solved. Please try again."),
        "CentralAuth could not tell that a person was signing in.",
        "The captcha was answered wrongly or too late, or a program tried to sign in.",
        _NOTHING_TO_DO,
    )
    ENTITY_MISSING = ErrorRow(
        "entityMissing",
        "entity",
        N_("What you asked for does not exist."),
        "Something named in CentralAuth's message does not exist.",
        "It was removed at CentralAuth, or an address or id is mistyped.",
        "The message in the log names it.",
        own_status=404,
        shows_message=True,
    )
    ENTITY_INVALID = ErrorRow(
        "entityInvalid",
        "entity",
        N_("Something in the request is not valid."),
        "Something named in CentralAuth's message is malformed.",
        "What was typed in, or what the application sent, is not acceptable to CentralAuth.",
        "The message in the log names it.",
        own_status=400,
        shows_message=True,
    )
    # Not in the documentation's table: the API's own types, and the official client's.
    TOO_MANY_REQUESTS = ErrorRow(
        "tooManyRequests",
        "rate_limit",
        N_("Too many attempts. Please wait a moment and try again."),
        "CentralAuth asks to slow down.",
        "Many sign-ins from one place, or an application that asks on every request.",
        "Raise CENTRALAUTH_USER_TTL if it lasts; 0 asks on every request.",
    )
    TOKEN_MISSING = ErrorRow(
        "tokenMissing",
        "session",
        N_("Please sign in."),
        "Nobody is signed in, or a call came without a token.",
        "A page that needs a login was opened without one.",
        "Nothing to do: the page needs a login.",
    )
    SECRET_MISSING = ErrorRow(
        "secretMissing",
        "configuration",
        _OUT_OF_ORDER,
        "There is no client secret.",
        "The setting is missing where the application runs.",
        "Set CENTRALAUTH_CLIENT_SECRET.",
    )
    AUTH_BASE_URL_MISSING = ErrorRow(
        "authBaseUrlMissing",
        "configuration",
        _OUT_OF_ORDER,
        "There is no base URL of CentralAuth.",
        "The setting is empty where the application runs.",
        "Set CENTRALAUTH_BASE_URL.",
    )
    NETWORK_ERROR = ErrorRow(
        "networkError",
        "unavailable",
        _UNAVAILABLE,
        "CentralAuth could not be reached, or gave no usable answer.",
        "An outage there, a broken network or name service here, or a proxy that answers in its place.",
        "Check the network and CentralAuth's status. Nobody is signed out by this.",
    )
    # OAuth's own word for "the person said no" (RFC 6749 §4.1.2.1).
    ACCESS_DENIED = ErrorRow(
        "access_denied",
        "login",
        N_("Signing in was cancelled."),
        "The sign-in was refused.",
        "The person chose to cancel, or CentralAuth said no for them.",
        "Nothing to do.",
    )
    # Ours: decisions that no CentralAuth code stands for.
    USER_BLOCKED = ErrorRow(
        "userBlocked",
        "permission",
        N_("This account is blocked here."),
        "The user is blocked; CentralAuth leaves it to the application to refuse them.",
        "Somebody blocked the user in the organization.",
        "Unblock the user, or set CENTRALAUTH_ALLOW_BLOCKED.",
    )
    USER_NOT_VERIFIED = ErrorRow(
        "userNotVerified",
        "permission",
        N_("Please confirm your e-mail address first."),
        "The user's e-mail address is not verified and this page or application needs that.",
        "The person has not opened the confirmation mail yet.",
        "See CENTRALAUTH_REQUIRE_VERIFIED and auth_required(verified=True).",
    )
    AFFIRMATION_REQUIRED = ErrorRow(
        "affirmationRequired",
        "session",
        N_("Please confirm that it is you."),
        "The page wants a more recent confirmation of identity than this login has.",
        "The view asks for it: auth_required(affirmed_within=...).",
        "Nothing to do: the person is asked again. Whoever sees a page about it has just confirmed: "
        "affirmed_within is too short, or CentralAuth's clock and this server's differ by minutes.",
    )
    CROSS_SITE_REQUEST = ErrorRow(
        "crossSiteRequest",
        "permission",
        N_("This request came from another site and was refused."),
        "A logout was posted from another site.",
        "An attack that failed, or a page of yours that hides where it comes from.",
        "If it came from your own page: send a Referrer-Policy that lets the origin through.",
    )
    STORE_UNAVAILABLE = ErrorRow(
        "storeUnavailable",
        "unavailable",
        _UNAVAILABLE,
        "The session store could not be asked.",
        "The server behind Flask-Session is down, out of reach or hangs, or its disk is full.",
        "Check the server behind Flask-Session. Nobody is signed out by this.",
    )


#: Codes that are not in the table, and messages that come without a code.
UNKNOWN: Final = ErrorRow(
    "",
    "login",
    _TRY_AGAIN,
    "CentralAuth sent a code this version does not know, or only a message.",
    "CentralAuth has a code that is newer than this package, or met an unexpected error.",
    "The message in the log is CentralAuth's own. A newer version of this package may know the code.",
    shows_message=True,
)


def known_code(value: str | None) -> ErrorCode | None:
    """Return the code of exactly this spelling, or None when it is not a known one."""
    return _BY_SPELLING.get(value)


_BY_SPELLING: Final[dict[str | None, ErrorCode]] = {str(code): code for code in ErrorCode}


def error_row(code: str) -> ErrorRow:
    """Return the row of a code; codes nobody knows share one."""
    known = known_code(code)
    return UNKNOWN if known is None else known.row
