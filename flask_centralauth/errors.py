"""What can go wrong, and what should happen then.

The families are Werkzeug HTTP exceptions: raised anywhere, they end in one right answer.
What a single error code means is in the table of `error_codes`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, Protocol

from werkzeug.exceptions import HTTPException

from .error_codes import FAMILIES, UNKNOWN, ErrorCode, ErrorRow, error_row, known_code
from .translations import gettext

__all__ = [
    "ERRORS",
    "UNKNOWN",
    "CentralAuthError",
    "ConfigurationError",
    "EntityError",
    "ErrorCode",
    "ErrorRow",
    "LoginError",
    "PermissionDenied",
    "RateLimitError",
    "ServiceUnavailable",
    "SessionError",
    "callback_error",
    "error_row",
    "known_code",
    "printable",
    "reply_error",
]

MESSAGE_LIMIT: Final = 200
#: Seconds, when nobody said how long.
DEFAULT_RETRY_AFTER: Final = 30


def printable(text: object, limit: int = MESSAGE_LIMIT) -> str:
    """Return foreign text on one line, without control characters, cut to the limit.

    Keeps a hostile ``error_description`` from forging log lines or, by bidirectional
    marks, reversing what is read (attack: log injection).
    """
    # Cut first, so that 100 kB of description costs no 100 kB scan.
    cut = str(text)[: limit * 4]
    line = " ".join("".join(c if c.isprintable() else " " for c in cut).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


class StartedLogin(Protocol):
    """What an error has to know of the login that failed; `attempts.Attempt` is one."""

    @property
    def return_to(self) -> str: ...

    @property
    def purpose(self) -> str: ...

    @property
    def redirect_uri(self) -> str: ...

    @property
    def age(self) -> int: ...


class EndedLogin(Protocol):
    """What an error has to know of the login it ended; `login_session.Login` is one."""

    @property
    def started(self) -> float: ...


class CentralAuthError(HTTPException):
    """Something went wrong between the person, this application and CentralAuth.

    Raise one of the families below. Each is a right HTTP answer even when nothing
    handles it.

    :param error_code: CentralAuth's spelling; the family's usual code when left out.
    :param message: what the other side said, for the log. People see it only where the
        table says that it tells them more than our own sentence.
    :param public_message: shown to people instead of the table's sentence; may be lazy.
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
    #: What the `CentralAuth` object it is about is called; None: the one the request is about.
    identifier: str | None = None

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
        super().__init__(description=self._told.sentence if public_message is None else public_message)

    @property
    def public_message(self) -> str:
        """The sentence for people, in the request's language, as a plain ``str``."""
        if self._public_message is not None:
            # A lazy string would reach the session, whose serializer refuses it.
            return str(self._public_message)
        sentence = gettext(self._told.sentence)
        if self._told.shows_message and self.message:
            return f"{sentence} ({printable(self.message)})"
        return sentence

    @property
    def docs_anchor(self) -> str:
        """The anchor of this error in ``docs/errors.md``."""
        return self.row.anchor

    @property
    def was_asked(self) -> bool:
        """False when nobody asked, because service or store had just failed; that failure has the cause."""
        return self.facts.get("asked") is not False

    def own_headers(self) -> dict[str, str]:
        """Return the headers every answer to this error has."""
        headers = {"Cache-Control": "no-store"}
        if self.code in (429, 503):
            headers["Retry-After"] = str(self.retry_after or DEFAULT_RETRY_AFTER)
        return headers

    def get_headers(self, *args: Any, **options: Any) -> list[tuple[str, str]]:
        """Return the headers of Werkzeug's own answer, for a handler that returns the error itself."""
        return [*super().get_headers(*args, **options), *self.own_headers().items()]

    @property
    def _told(self) -> ErrorRow:
        """The row people are told. Another family's code (noPermission to us) says nothing to them."""
        return self.row if self.row.kind == self.family else self.default_code.row

    def __str__(self) -> str:
        said = f": {printable(self.message)}" if self.message else ""
        return f"{printable(self.error_code, 64)}{said}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class SessionError(CentralAuthError):
    """The login is over: sign out here, say so, sign in again, come back."""

    code = 401
    family = "session"
    default_code = ErrorCode.SESSION_MISSING


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
    serving when CentralAuth refuses this application itself. ``problems`` has what is
    wrong with each setting, "KEY: what is wrong. The fix."; it is empty for other causes.
    """

    code = 500
    family = "configuration"
    default_code = ErrorCode.MISSING_FIELDS

    problems: tuple[str, ...] = ()

    @classmethod
    def of_settings(cls, problems: Iterable[str], *, separator: str = "\n  - ") -> ConfigurationError:
        """Return the error of settings that cannot be used; its message has them all."""
        found = tuple(problems)
        listed = "".join(separator + problem for problem in found)
        error = cls(message=f"The settings of CentralAuth need attention:{listed}")
        error.problems = found
        return error

    def __str__(self) -> str:
        # Whole: every problem of the settings is a line. Foreign messages come in printable.
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


FAMILIES.update(
    (family.family, family)
    for family in (
        SessionError,
        LoginError,
        PermissionDenied,
        ConfigurationError,
        RateLimitError,
        ServiceUnavailable,
        EntityError,
    )
)

#: Everything this package knows about each code.
ERRORS: Final[Mapping[str, ErrorRow]] = {code: code.row for code in ErrorCode}


def callback_error(code: str, message: str | None) -> CentralAuthError:
    """Return the error a callback of ours reports with ``error`` and its description."""
    return error_row(code).family(code, _said(message))


def reply_error(
    code: str | None, message: str | None, *, status: int, retry_after: int | None = None
) -> CentralAuthError:
    """Return the error an API call of ours was answered with.

    The HTTP status decides where it can: 429 and 5xx are about the service, whatever
    the body says. ``noPermission`` means that this application is not let in.

    :param status: HTTP status of the reply.
    :param retry_after: seconds, from the reply's ``Retry-After``.
    """
    known, said = known_code(code), _said(message)
    if status == 429 or known is ErrorCode.TOO_MANY_REQUESTS:
        return RateLimitError(ErrorCode.TOO_MANY_REQUESTS, said, retry_after=retry_after)
    if not 400 <= status < 500:
        return ServiceUnavailable(known or ErrorCode.NETWORK_ERROR, said or code, retry_after=retry_after)
    if known is ErrorCode.NO_PERMISSION:
        return ConfigurationError(known, said)
    if known is None:
        error = LoginError(code, said)
        error.row = UNKNOWN  # a message without a code is all there is to tell
        return error
    return known.row.family(known, said)


def _said(message: str | None) -> str | None:
    return printable(message) if message else None
