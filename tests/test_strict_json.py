"""What CentralAuth may answer, and what no honest service sends: refused whole, over HTTP."""

from __future__ import annotations

import contextlib
import json
import logging
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_centralauth.strict_json import MAX_DEPTH, UnusableJSON, loads, loads_object
from flask_centralauth.user import InvalidUser, parse_user

from .checked_site import CheckedSite, MakeCheckedSite

pytest_plugins = ("tests.checked_fixtures",)

USER: Final[dict[str, Any]] = {
    "id": "u1",
    "email": "alice@example.com",
    "gravatar": "https://gravatar.example/a",
    "verified": True,
    "blocked": False,
    "organizationId": None,
    "created": "2025-01-31T12:00:00.000Z",
    "updated": "2025-01-31T12:00:00Z",
    "lastLogin": None,
    "affirmationDate": "2025-01-31T13:00:00+01:00",
}


def user_with(**changes: Any) -> bytes:
    return json.dumps({**USER, **changes}).encode()


def user_without(*names: str) -> bytes:
    return json.dumps({name: value for name, value in USER.items() if name not in names}).encode()


def raw(member: str) -> bytes:
    """A user object with one member written as it is."""
    return json.dumps(USER).encode()[:-1] + b", " + member.encode() + b"}"


NOT_JSON: Final = {
    "nothing": b"",
    "blank": b" \n ",
    "half": b'{"id": "u1", "email"',
    "html": b"<!doctype html><title>Bad gateway</title>",
    "single quotes": b"{'id': 'u1'}",
    "trailing comma": b'{"id": "u1",}',
    "two objects": b'{"id": "u1"}{"id": "u2"}',
    "comment": b'{"id": "u1"} // hello',
    "bom": b"\xef\xbb\xbf" + json.dumps(USER).encode(),
    "utf-16": json.dumps(USER).encode("utf-16"),
    "utf-32": json.dumps(USER).encode("utf-32"),
    "latin-1": '{"id": "u1", "email": "ä@example.com", "blocked": false}'.encode("latin-1"),
    "nul": json.dumps(USER).encode() + b"\0",
}
HOSTILE: Final = {
    "NaN": raw('"x": NaN'),
    "Infinity": raw('"x": Infinity'),
    "-Infinity": raw('"x": -Infinity'),
    "1e999": raw('"x": 1e999'),
    "5000 digits": raw(f'"x": {"9" * 5000}'),
    "-5000 digits": raw(f'"x": -{"9" * 5000}'),
    "19 digits": raw(f'"x": {"9" * 19}'),
    "duplicate blocked": raw('"blocked": true'),
    "duplicate id": raw('"id": "u2"'),
    "duplicate deep inside": raw('"x": {"y": [{"a": 1, "a": 2}]}'),
    "escaped duplicate": raw('"\\u0069d": "u2"'),
    "deep": raw(f'"x": {"[" * (MAX_DEPTH + 1)}{"]" * (MAX_DEPTH + 1)}'),
    "very deep": raw(f'"x": {"[" * 30_000}{"]" * 30_000}'),
    "very deep and open": b"[" * 60_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "lone surrogate": raw('"x": "\\ud800"'),
    "lone surrogate in the id": user_with(id="\ud800"),
    "lone surrogate in a name": raw('"\\udfff": 1'),
}
WRONG_TYPES: Final = {
    "list": b"[]",
    "list with the user": b"[" + json.dumps(USER).encode() + b"]",
    "string": b'"u1"',
    "number": b"0",
    "null": b"null",
    "true": b"true",
    "empty object": b"{}",
    "error object": b'{"errorCode": "sessionExpired", "message": "x"}',
    "oauth error": b'{"error": "invalid_token"}',
    "no id": user_without("id"),
    "id null": user_with(id=None),
    "id empty": user_with(id=""),
    "id blank": user_with(id="  "),
    "id number": user_with(id=1),
    "id true": user_with(id=True),
    "id list": user_with(id=["u1"]),
    "id object": user_with(id={"$ne": ""}),
    "id too long": user_with(id="u" * 2000),
    "id with a line break": user_with(id="u1\n"),
    "email object": user_with(email={}),
    "email list": user_with(email=["alice@example.com"]),
    "email with a line break": user_with(email="alice@example.com\r\nBcc: all@example.com"),
    "email with nul": user_with(email="alice@example.com\0"),
    "no blocked": user_without("blocked"),
    "blocked null": user_with(blocked=None),
    "blocked 'false'": user_with(blocked="false"),
    "blocked 0": user_with(blocked=0),
    "blocked 1": user_with(blocked=1),
    "blocked []": user_with(blocked=[]),
    "verified 'true'": user_with(verified="true"),
    "verified 1": user_with(verified=1),
    "verified null": user_with(verified=None),
    "organizationId number": user_with(organizationId=7),
    "organizationId object": user_with(organizationId={}),
    "gravatar number": user_with(gravatar=1),
    "created number": user_with(created=1738324800),
    "created no date": user_with(created="yesterday"),
    "created empty": user_with(created=""),
    "updated list": user_with(updated=[]),
    "lastLogin false": user_with(lastLogin=False),
    "affirmationDate no date": user_with(affirmationDate="now"),
    "affirmationDate number": user_with(affirmationDate=9_999_999_999),
    "affirmationDate beyond dates": user_with(affirmationDate="9999-12-31T23:59:59-23:59"),
}
FINE: Final = {
    "new members": user_with(plan="gold", scores=[1, 2.5, None], nested={"a": {"b": [True]}}),
    "only what is needed": json.dumps({"id": "u1", "blocked": False}).encode(),
    "nulls": user_with(email=None, gravatar=None, created=None, updated=None, affirmationDate=None),
    "other characters": user_with(email="Ünïcödé+ß@exämple.com", plan="金"),
    "escaped characters": json.dumps({**USER, "plan": "金😀"}).encode(),
    "a large number": user_with(points=10**17),
    "as deep as allowed": raw(f'"x": {"[" * (MAX_DEPTH - 1)}{"]" * (MAX_DEPTH - 1)}'),
    "blanks around": b"\n " + json.dumps(USER, indent=2).encode() + b"\n",
    "another content type": json.dumps(USER).encode(),
}
UNREADABLE: Final = {**NOT_JSON, **HOSTILE}
REFUSED: Final = {**UNREADABLE, **WRONG_TYPES}


def answer_with(site: CheckedSite, body: bytes, **how: Any) -> None:
    """Let userinfo answer with a body of the same user's, whatever else it says."""
    (alice,) = (user for user in site.emulator.users if user.email == "alice@example.com")
    site.fail(body=body.replace(b'"u1"', json.dumps(alice.id).encode()), **how)


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_a_bad_answer_is_refused_and_the_login_stays(
    site: CheckedSite, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    site.expire()
    answer_with(site, body)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "flask_centralauth"):
        page = site.fetch()
    assert (page.status, page.json()) == (200, {"email": "alice@example.com", "stale": True})
    (record,) = [record for record in caplog.records if record.name == "flask_centralauth"]
    assert record.levelname == "WARNING"
    # Nothing of it was kept, here or for other workers.
    site.recover()
    assert site.who() == ("alice@example.com", False)
    assert site.asked == 2


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_a_bad_answer_logs_nobody_in(make_checked_site: MakeCheckedSite, body: bytes) -> None:
    site = make_checked_site()
    answer_with(site, body, times=1)
    page = site.browser.get(f"{site.url}/private")
    assert page.status == 503
    assert site.fetch().status == 401
    assert site.fetch("/api/auth/user").json() is None


@pytest.mark.parametrize("body", FINE.values(), ids=FINE)
def test_new_and_missing_optional_members_are_fine(site: CheckedSite, body: bytes) -> None:
    answer_with(site, body, content_type="text/plain")
    site.expire()
    page = site.fetch()
    assert (page.status, page.json()["stale"]) == (200, False)
    site.recover()


def test_what_is_said_about_a_bad_answer(site: CheckedSite, caplog: pytest.LogCaptureFixture) -> None:
    """Which member is wrong, and never its value."""
    site.expire()
    answer_with(site, user_with(email={"secret": "words"}))
    with caplog.at_level(logging.WARNING, "flask_centralauth"):
        site.fetch()
    assert "email is not a string" in caplog.text
    assert "words" not in caplog.text
    site.recover()


HOSTILE_ERRORS: Final = {
    "code is an object": b'{"errorCode": {"a": 1}, "message": ["<script>"]}',
    "code is a list": b'{"errorCode": ["sessionExpired"]}',
    "code is too long": json.dumps({"errorCode": "sessionExpired" * 400}).encode(),
    "code with a blank": b'{"errorCode": "session Expired"}',
    "code with a line break": b'{"errorCode": "sessionExpired\\n"}',
    "code in other letters": '{"errorCode": "sessiоnExpired"}'.encode(),
    "code in capitals": b'{"errorCode": "SESSIONEXPIRED"}',
    "the code twice": b'{"errorCode": "stateInvalid", "errorCode": "sessionExpired"}',
    "a code inside": b'{"error": {"errorCode": "sessionExpired"}}',
    "plain text": b"sessionExpired",
    "a json string": b'"sessionExpired"',
    "html": b"<script>alert('sessionExpired')</script>",
    "oauth": b'{"error": "invalid_token", "error_description": "expired"}',
    "nothing": b"",
}


@pytest.mark.parametrize("body", HOSTILE_ERRORS.values(), ids=HOSTILE_ERRORS)
@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_hostile_error_signs_nobody_out(site: CheckedSite, body: bytes, status: int) -> None:
    """ATK-81."""
    site.expire()
    site.fail(body=body, action="body", status=status)
    assert site.who() == ("alice@example.com", True)
    site.recover()
    assert site.who() == ("alice@example.com", False)


# The parser itself


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_only_one_exception_comes_out(text: bytes) -> None:
    with pytest.raises(UnusableJSON):
        loads(text)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_bytes_are_json_or_unusable(text: bytes) -> None:
    with contextlib.suppress(UnusableJSON):
        loads_object(text)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(10**18) + 1, 10**18 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


@given(JSON_VALUES)
@settings(max_examples=200, deadline=None)
def test_honest_json_comes_through_unchanged(value: Any) -> None:
    assert loads(json.dumps(value).encode()) == value
    assert loads(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.dictionaries(st.sampled_from([*USER, "x"]), JSON_VALUES, max_size=12))
@settings(max_examples=300, deadline=None)
def test_any_object_is_a_user_or_invalid(received: dict[str, Any]) -> None:
    try:
        user = parse_user(received)
    except InvalidUser:
        return
    assert isinstance(user.id, str)
    assert isinstance(user.blocked, bool)
    assert isinstance(user.verified, bool)
