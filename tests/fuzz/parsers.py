"""The parsers of foreign text, and what has to hold whatever the text is. `__main__` fuzzes them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

import pytest
from ada_url import URL
from flask import Flask
from joserfc import jwe
from joserfc.jwk import OctKey
from werkzeug import Request
from werkzeug.test import EnvironBuilder

from flask_centralauth import config
from flask_centralauth.access_token import is_of_an_emulator, is_well_formed
from flask_centralauth.attempts import AttemptCookies
from flask_centralauth.deadline import Reply
from flask_centralauth.errors import CentralAuthError
from flask_centralauth.id_token import IdToken, UnusableIdToken, read_id_token
from flask_centralauth.redirects import origin_of, request_target, safe_return_to
from flask_centralauth.replies import refusal
from flask_centralauth.strict_json import UnusableJSON, loads_object
from flask_centralauth.user import InvalidUser, User, parse_user
from flask_centralauth.visitor import visitor_of

OWN: Final = "https://app.example"
OTHER: Final = "https://other.example"
SECRET: Final = "0123456789abcdef0123456789abcdef"


def redirects(data: bytes) -> None:
    """A return path is refused, or leads a browser to this site or a listed one."""
    value = data.decode("utf-8", "replace")
    result = safe_return_to(
        value, own_origins=(OWN,), own_routes=("/api/auth/login",), return_origins=(OTHER,)
    )
    if result is not None:
        assert str(URL(result, base=f"{OWN}/page").origin) in (OWN, OTHER), ascii(value)
    origin_of(value)


def targets(data: bytes) -> None:
    """The address of any request is one that can be returned to, but for our own routes and tricks."""
    path, _, query = data.partition(b"?")
    target = request_target("", "/" + path.decode("latin-1"), query)
    assert target.isascii()
    assert target.isprintable()


def user(data: bytes) -> None:
    """A body is no user, or one with the right types."""
    try:
        found = parse_user(loads_object(data))
    except (UnusableJSON, InvalidUser):
        return
    assert isinstance(found, User)
    assert found.id.strip()
    assert type(found.blocked) is type(found.verified) is bool
    found.to_dict()
    assert parse_user(found.received()) == found


def error_body(data: bytes) -> None:
    """Whatever a reply holds, it becomes one of our errors, which can be told in a line."""
    status = 400 + (data[0] if data else 0) % 200
    retry_after = data[1:20].decode("latin-1")
    error = refusal(Reply(status, {"Retry-After": retry_after}, data[1:]))
    assert isinstance(error, CentralAuthError)
    for told in (str(error), repr(error), error.public_message):
        assert told.isprintable()
        assert len(told) < 1000


@lru_cache(maxsize=1)
def _cookies() -> AttemptCookies:
    app = Flask("fuzzed")
    app.config.update(
        SECRET_KEY="a secret key of the fuzzer, long enough",
        CENTRALAUTH_CLIENT_ID="fuzzed",
        CENTRALAUTH_CLIENT_SECRET=SECRET,
        CENTRALAUTH_CALLBACK_URL=f"{OWN}/api/auth/callback",
    )
    return AttemptCookies(config.load(app))


def attempt_cookie(data: bytes) -> None:
    """No cookie that we did not sign is an attempt."""
    cookies = _cookies()
    text = data.decode("latin-1")
    state, _, value = text.partition(";")
    names = (cookies._name(state, secure=secure) for secure in (True, False))
    builder = EnvironBuilder()
    environ = builder.get_environ()
    environ["HTTP_COOKIE"] = "; ".join([text, *(f"{name}={value}" for name in names)])
    request = Request(environ)
    assert cookies.find(request, state, redirect_uri=f"{OWN}/api/auth/callback") is None
    assert cookies.last_outcome(request, secure=True) is cookies.last_outcome(request, secure=False) is None
    assert not cookies.is_own_recent_state(state)
    cookies.has_unreadable(request, state)


def visitor(data: bytes) -> None:
    """What is sent of a visitor are legal header values."""
    address, _, agent = data.decode("latin-1").partition(";")
    found = visitor_of(address, agent, agent)
    for value in (found.ip, found.user_agent, found.device_id):
        assert value is None or not set("\r\n\0") & set(value)


def token(data: bytes) -> None:
    """A token is judged without an exception."""
    text = data.decode("latin-1")
    is_of_an_emulator(text)
    assert not is_well_formed(text) or text.count(".") == 4


def id_token(data: bytes) -> None:
    """A token that we did not seal says nothing, and what is sealed says who it is or nothing."""
    header = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    for text in (data.decode("latin-1"), f"{header}..AAAA.BBBB.CCCC"):
        with pytest.raises(UnusableIdToken) as refused:
            _read_id_token(text)
        assert str(refused.value).isprintable()
    protected = {"alg": "dir", "enc": "A256GCM"}
    sealed = jwe.encrypt_compact(protected, data or b" ", OctKey.import_key(SECRET))
    try:
        found = _read_id_token(sealed)
    except UnusableIdToken:
        return
    assert found.user.id
    assert found.expires > 0


def _read_id_token(text: str) -> IdToken:
    return read_id_token(text, text, secrets=[SECRET], client_id="fuzzed", issuer=OWN)


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (redirects, targets, user, error_body, attempt_cookie, visitor, token, id_token)
}
