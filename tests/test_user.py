"""`User`: immutable, strict about types, tolerant of members, safe to share between requests."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import pytest
from flask import Flask, jsonify

from flask_centralauth import AnonymousUser, User, current_user
from flask_centralauth.user import InvalidUser, parse_user

from .checked_site import CheckedSite

pytest_plugins = ("tests.checked_fixtures",)

RECEIVED: Final[dict[str, Any]] = {
    "id": "u1",
    "email": "alice@example.com",
    "gravatar": "https://gravatar.example/a?s=80",
    "verified": True,
    "blocked": False,
    "organizationId": "org1",
    "created": "2025-01-31T12:00:00.123Z",
    "updated": "2025-01-31T13:00:00+01:00",
    "lastLogin": "2025-01-31T12:00:00",
    "affirmationDate": "2025-01-31T12:00:00z",
    "plan": {"name": "gold", "seats": [1, 2]},
}


@pytest.fixture
def user() -> User:
    return parse_user(copy.deepcopy(RECEIVED))


def test_members_are_attributes(user: User) -> None:
    assert user.is_authenticated is True
    assert (user.id, user.email, user.organization_id) == ("u1", "alice@example.com", "org1")
    assert (user.verified, user.blocked, user.is_stale) == (True, False, False)
    assert user.gravatar == "https://gravatar.example/a?s=80"


def test_dates_are_aware_and_in_utc(user: User) -> None:
    noon = datetime(2025, 1, 31, 12, tzinfo=timezone.utc)
    assert user.created == noon + timedelta(milliseconds=123)
    assert (user.updated, user.last_login, user.affirmation_date) == (noon, noon, noon)
    assert user.updated is not None
    assert user.updated.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("2025-01-31T12:00:00.1Z", "2025-01-31 12:00:00.100000+00:00"),
        ("2025-01-31T12:00:00.1234567Z", "2025-01-31 12:00:00.123456+00:00"),
        ("2025-01-31T12:00:00,25+02:00", "2025-01-31 10:00:00.250000+00:00"),
        ("2025-01-31T12:00:00.000000000", "2025-01-31 12:00:00+00:00"),
        ("2025-01-31T12:00:00-0130", "2025-01-31 13:30:00+00:00"),
        ("2025-01-31 12:00", "2025-01-31 12:00:00+00:00"),
        ("2025-01-31", "2025-01-31 00:00:00+00:00"),
    ],
)
def test_a_date_is_the_same_on_every_python(sent: str, meant: str) -> None:
    assert str(parse_user({**RECEIVED, "created": sent}).created) == meant


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "soon",
        "Z",
        ".5",
        "2025-13-01",
        "2025-01-31T12:00:00.Z",
        "2025-01-31T12:00:00.1.2Z",
        "2025-01-31T12:00:00ZZ",
        "2025-01-31T12:00:00Z ",
        "2025-01-31T24:00",
        "2025-01-31T12:00+24:00",
        "0001-01-01T00:00:00+12:00",
        "9999-12-31T23:59:59-12:00",
        "\u0662025-01-31",
    ],
)
def test_what_is_no_date_is_refused(sent: str) -> None:
    with pytest.raises(InvalidUser, match="created is not an ISO 8601 date"):
        parse_user({**RECEIVED, "created": sent})


def test_a_user_of_little_is_a_user() -> None:
    user = parse_user({"id": "u1", "blocked": False})
    assert user.is_authenticated
    assert (user.email, user.gravatar, user.verified, user.created) == (None, None, False, None)
    assert user.raw == {"id": "u1", "blocked": False}


def test_nothing_can_be_changed(user: User) -> None:
    for name in ("email", "is_stale", "id", "verified"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(user, name, "other")
    with pytest.raises((AttributeError, TypeError)):
        user.new = 1  # type: ignore[attr-defined]
    raw: Any = user.raw
    with pytest.raises(TypeError):
        raw["email"] = "other"
    with pytest.raises(TypeError):
        raw["plan"]["name"] = "iron"
    with pytest.raises(AttributeError):
        raw["plan"]["seats"].append(3)


def test_what_is_handed_out_is_a_copy(user: User) -> None:
    """Requests share the user: what one view does to its dictionary is nobody else's."""
    for handed_out in (user.to_dict(), user.received()):
        handed_out["plan"]["seats"].append(99)
        handed_out["email"] = "other"
    assert user.to_dict()["plan"] == {"name": "gold", "seats": [1, 2]}
    assert user.raw["plan"]["seats"] == (1, 2)
    assert user.email == "alice@example.com"


def test_the_dictionary_is_centralauth_s_own(user: User) -> None:
    content = user.to_dict()
    assert {**content, "gravatar": RECEIVED["gravatar"]} == RECEIVED
    assert json.loads(json.dumps(content)) == content
    little = parse_user({"id": "u1", "blocked": False}).to_dict()
    assert little["email"] is None
    assert set(little) == set(RECEIVED) - {"plan"}


PICTURES: Final = {
    "https://gravatar.example/a": True,
    "http://127.0.0.1:9797/avatar.svg": True,
    "http://localhost/avatar.svg": True,
    "http://gravatar.example/a": False,
    "javascript:alert(1)": False,
    "data:image/svg+xml,<svg/>": False,
    "//gravatar.example/a": False,
    "http://169.254.169.254/latest": False,
    "http://[": False,
    "": False,
}


@pytest.mark.parametrize("address", PICTURES)
def test_only_a_picture_that_a_page_may_load_is_one(address: str) -> None:
    user = parse_user({**RECEIVED, "gravatar": address})
    assert user.gravatar == (address if PICTURES[address] else None)
    assert user.to_dict()["gravatar"] == user.gravatar
    assert user.raw["gravatar"] == address


def test_people_are_told_apart_by_id_and_organization() -> None:
    """ATK-92: an address may be registered again by somebody else."""

    def of(**changes: Any) -> User:
        return parse_user({**RECEIVED, **changes})

    assert of() == of(email="alice.new@example.com", verified=False)
    assert hash(of()) == hash(of(email="alice.new@example.com"))
    assert of() != of(id="u2")
    assert of() != of(organizationId="org2")
    assert of() != "u1"
    assert of().stale() == of()


def test_a_stale_user_is_marked(user: User) -> None:
    assert (user.stale().is_stale, user.is_stale) == (True, False)
    assert user.stale().to_dict() == user.to_dict()


def test_nothing_personal_is_in_the_repr(user: User) -> None:
    assert repr(user) == "<User 'u1'>"
    assert repr(AnonymousUser()) == "<AnonymousUser>"


@pytest.mark.parametrize("stale", [False, True])
def test_it_can_be_pickled_and_copied(user: User, stale: bool) -> None:
    user = user.stale() if stale else user
    for copied in (pickle.loads(pickle.dumps(user)), copy.copy(user), copy.deepcopy(user)):
        assert copied == user
        assert (copied.is_stale, copied.to_dict()) == (stale, user.to_dict())


def test_an_error_names_the_member_and_not_its_value() -> None:
    with pytest.raises(InvalidUser) as failure:
        parse_user({**RECEIVED, "email": ["alice@example.com"]})
    assert str(failure.value) == "email is not a string"


def test_nobody_has_the_same_attributes() -> None:
    nobody = AnonymousUser()
    assert nobody.is_authenticated is False
    for field in dataclasses.fields(User):
        if not field.name.startswith("_"):
            assert not getattr(nobody, field.name)
    assert (nobody.raw, nobody.to_dict()) == ({}, {})
    assert nobody == AnonymousUser()
    assert nobody != parse_user(RECEIVED)
    assert len({nobody, AnonymousUser()}) == 1


def test_json_and_type_checks_take_the_proxy(site: CheckedSite) -> None:
    app: Flask = site.app
    with app.test_request_context():
        assert jsonify(current_user).json is None
        assert not current_user.is_authenticated
    content = site.fetch("/api/auth/user").json()
    assert content["email"] == "alice@example.com"
    assert set(RECEIVED) - {"plan"} <= set(content)
