"""The table of error codes, the families, and the page of the documentation made from it."""

from __future__ import annotations

import copy
import importlib.util
import pickle
import re
from pathlib import Path
from types import ModuleType

import pytest
from werkzeug.exceptions import HTTPException

import flask_centralauth
from flask_centralauth import (
    CentralAuthError,
    ConfigurationError,
    EntityError,
    ErrorCode,
    LoginError,
    PermissionDenied,
    RateLimitError,
    ServiceUnavailable,
    SessionError,
)
from flask_centralauth.errors import ERRORS, UNKNOWN, callback_error, error_row, printable, reply_error

from .error_contract import DOCUMENTED, EXTRA, FAMILY, STATUS, UNKNOWN_CODE, status_of

DOCS = Path(__file__).parents[1] / "docs"
CLASSES: dict[str, type[CentralAuthError]] = {
    "session": SessionError,
    "login": LoginError,
    "permission": PermissionDenied,
    "configuration": ConfigurationError,
    "rate_limit": RateLimitError,
    "unavailable": ServiceUnavailable,
    "entity": EntityError,
}
OURS = {"userBlocked", "userNotVerified", "affirmationRequired", "crossSiteRequest", "storeUnavailable"}


def test_every_documented_code_is_in_the_table_and_nothing_is_made_up() -> None:
    assert len(DOCUMENTED) == 28
    assert set(map(str, ErrorCode)) == DOCUMENTED | EXTRA | OURS == set(ERRORS)


@pytest.mark.parametrize("code", [*sorted(DOCUMENTED | EXTRA), UNKNOWN_CODE])
def test_family_and_status_are_those_of_the_contract(code: str) -> None:
    error = callback_error(code, None)

    assert type(error) is CLASSES[FAMILY[code]]
    assert error.family == FAMILY[code]
    assert error.code == error_row(code).status == status_of(code, error.family)


@pytest.mark.parametrize("row", [*ERRORS.values(), UNKNOWN], ids=lambda row: row.code or "unknown")
def test_every_row_is_complete(row: flask_centralauth.errors.ErrorRow) -> None:
    for words in (row.sentence, row.meaning, row.cause, row.hint):
        assert words.strip() == words
        assert words.endswith((".", "?"))
        assert "  " not in words
    assert len({row.sentence, row.meaning, row.cause, row.hint}) == 4
    # People get no jargon, no blame and no setting.
    assert not re.search(r"CENTRALAUTH|CentralAuth|token|OAuth|PKCE|HTTP|error|invalid\b", row.sentence)
    assert not re.search(r"\byour fault|you (must|did)\b", row.sentence)


def test_codes_are_plain_strings_that_survive_copies() -> None:
    code = ErrorCode.SESSION_EXPIRED

    assert code == "sessionExpired" == str(code) == f"{code}"
    assert {code: 1}["sessionExpired"] == 1  # type: ignore[index]
    assert pickle.loads(pickle.dumps(code)) is code is copy.deepcopy(code)
    assert ErrorCode("sessionExpired") is code


@pytest.mark.parametrize("spelling", ["SessionExpired", "sessionexpired", "sessionExpired ", "", "login"])
def test_only_the_exact_spelling_is_a_known_code(spelling: str) -> None:
    assert error_row(spelling) is UNKNOWN


@pytest.mark.parametrize(("family", "error_class"), CLASSES.items())
def test_every_family_is_public_and_an_http_error(family: str, error_class: type[CentralAuthError]) -> None:
    assert getattr(flask_centralauth, error_class.__name__) is error_class
    assert issubclass(error_class, HTTPException)
    assert error_class.family == family
    assert error_class.code == STATUS.get(family)
    error = error_class()
    assert error.code is not None
    assert error.row.kind == family
    assert error.public_message == error.row.sentence
    assert error.message is None


def test_one_handler_can_have_them_all() -> None:
    # Flask files a handler under its class's code.
    assert CentralAuthError.code is None


def test_incident_ids_differ() -> None:
    ids = {LoginError().incident_id for _ in range(100)}

    assert len(ids) == 100
    assert all(re.fullmatch("[0-9a-f]{10}", incident) for incident in ids)


@pytest.mark.parametrize(
    ("code", "status", "expected", "kept"),
    [
        ("noPermission", 403, ConfigurationError, "noPermission"),
        ("noPermission", 500, ServiceUnavailable, "noPermission"),
        ("tooManyRequests", 400, RateLimitError, "tooManyRequests"),
        ("sessionExpired", 429, RateLimitError, "tooManyRequests"),
        (None, 429, RateLimitError, "tooManyRequests"),
        ("sessionExpired", 401, SessionError, "sessionExpired"),
        ("sessionExpired", 503, ServiceUnavailable, "sessionExpired"),
        ("genericError", 500, ServiceUnavailable, "genericError"),
        ("genericError", 400, LoginError, "genericError"),
        ("entityMissing", 404, EntityError, "entityMissing"),
        ("newCode", 400, LoginError, "newCode"),
        ("newCode", 502, ServiceUnavailable, "networkError"),
        ("sessionExpired", 307, ServiceUnavailable, "sessionExpired"),
    ],
)
def test_the_answer_to_a_call_of_ours(
    code: str | None, status: int, expected: type[CentralAuthError], kept: str
) -> None:
    error = reply_error(code, "message", status=status, retry_after=7)

    assert type(error) is expected
    assert error.error_code == kept
    assert error.code == STATUS.get(expected.family, status)
    assert error.retry_after == (7 if error.code in (429, 503) else None)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (reply_error("noPermission", "no", status=403), ERRORS["missingFields"].sentence),
        (reply_error("sessionExpired", "x", status=500), ERRORS["networkError"].sentence),
        (reply_error("entityMissing", "x", status=500), ERRORS["networkError"].sentence),
        (PermissionDenied("roleMissing", "needs editor"), ERRORS["noPermission"].sentence),
        (SessionError("somethingNew", "words"), "Your session has ended. Please sign in again."),
    ],
)
def test_another_familys_code_is_told_in_the_familys_words(error: CentralAuthError, sentence: str) -> None:
    assert error.public_message == sentence
    assert error.description == sentence


def test_a_message_is_added_where_it_says_more() -> None:
    assert callback_error("entityMissing", "User 7").public_message.endswith(" (User 7)")
    assert callback_error("newCode", "Words").public_message.endswith(" (Words)")
    assert reply_error(None, "Only words", status=400).public_message.endswith(" (Only words)")
    assert "Words" not in callback_error("captchaInvalid", "Words").public_message


def test_a_message_is_cut_and_on_one_line() -> None:
    said = "a\r\nSet-Cookie: s=1\x1b[31m\u202e" + "x" * 100_000

    for error in (callback_error("newCode", said), reply_error(None, said, status=400)):
        assert error.message is not None
        assert len(error.message) == 200
        assert error.message.startswith("a Set-Cookie: s=1 [31m ")
        assert error.message.isprintable()


def test_everything_unprintable_goes() -> None:
    assert printable("a\x00\x7f\x85\u2028\u2029\u202e\u2066\ud800\u200bb") == "a b"
    assert printable("é漢字") == "é漢字"
    assert printable("x" * 201) == "x" * 199 + "…"


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (RateLimitError(), "30"),
        (ServiceUnavailable(retry_after=7), "7"),
        (ServiceUnavailable(retry_after=0), "30"),
        (LoginError(retry_after=7), None),
    ],
)
def test_the_error_itself_is_a_right_answer(error: CentralAuthError, retry_after: str | None) -> None:
    response = error.get_response()

    assert response.status_code == error.code
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers.get("Retry-After") == retry_after


def test_markup_in_a_public_message_stays_text() -> None:
    body = LoginError(public_message="<img src=x onerror=alert(1)>").get_response().get_data(as_text=True)

    assert "<img" not in body
    assert "&lt;img" in body


# docs/errors.md


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_errors", DOCS / "generate_errors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_documentation_is_made_from_the_table(generator: ModuleType) -> None:
    written = (DOCS / "errors.md").read_text(encoding="utf-8")
    assert written == generator.text(), "run: python docs/generate_errors.py"


@pytest.mark.parametrize("row", [*ERRORS.values(), UNKNOWN], ids=lambda row: row.code or "unknown")
def test_every_code_has_its_section(row: flask_centralauth.errors.ErrorRow) -> None:
    sections = re.split("^## ", (DOCS / "errors.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    # As renderers of Markdown make anchors.
    by_anchor = {section.partition("\n")[0].lower().replace(" ", "-"): section for section in sections}

    section = by_anchor[row.anchor]
    for words in (row.family.__name__, str(row.status), row.meaning, row.cause, row.sentence, row.hint):
        assert words in section
