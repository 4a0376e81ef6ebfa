"""Uses of the package that type checkers must accept, and what they must find out by themselves.

Checked by mypy and pyright with everything else (`./tests/run`), never run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response, redirect
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from typing_extensions import assert_type
from werkzeug.exceptions import HTTPException

from flask_centralauth import (
    AnonymousUser,
    CentralAuth,
    CentralAuthError,
    ConfigurationError,
    EntityError,
    ErrorCode,
    LoginError,
    PermissionDenied,
    RateLimitError,
    ServiceUnavailable,
    SessionError,
    User,
    auth_required,
    current_user,
    public,
)
from flask_centralauth.emulator import Emulator
from flask_centralauth.emulator import User as EmulatedUser
from flask_centralauth.signals import login_failed, user_logged_in
from flask_centralauth.testing import EmulatorMixin, InProcessEmulator, login_as

if TYPE_CHECKING:
    from flask_centralauth.pytest_plugin import LoginAs

app = Flask(__name__)
centralauth = CentralAuth(app)


# The guard keeps what is below it: arguments, result, async.
@app.get("/orders/<int:number>")
@auth_required
def order(number: int, *, full: bool = False) -> str:
    return f"{number} {full} {current_user.email}"


# So does the guard of an object with a name.
staff = CentralAuth(app, name="staff")


@app.get("/office/<int:number>")
@staff.auth_required
def office(number: int) -> str:
    return f"{number} {staff.current_user.email}"


@staff.auth_required(affirmed_within=300, verified=True)
@auth_required
async def vault(number: int) -> bytes:
    return bytes(number)


assert_type(office(1), str)
assert_type(staff.current_user, User)
assert_type(staff.identifier, str)
_vault: Callable[[int], Awaitable[bytes]] = vault


@app.post("/pay")
@auth_required(affirmed_within=timedelta(minutes=5), verified=True, fresh=True)
def pay(amount: int) -> tuple[str, int]:
    return str(amount), 201


@auth_required(affirmed_within=300)
async def slow(number: int) -> str:
    return str(number)


@auth_required()
def with_nothing() -> str:
    return ""


assert_type(order(1, full=True), str)
assert_type(pay(1), tuple[str, int])
assert_type(with_nothing(), str)
awaitable: Callable[[int], Awaitable[str]] = slow


class Account(MethodView):
    decorators = [auth_required]  # noqa: RUF012 - as Flask's documentation has it

    def get(self) -> str:
        return current_user.id


class Payment(MethodView):
    decorators = [auth_required(fresh=True), auth_required]  # noqa: RUF012

    def post(self) -> ResponseReturnValue:
        return redirect("/")


@public
class Terms(MethodView):
    def get(self) -> str:
        return "terms"


@public
@app.get("/health")
def health(verbose: bool = False) -> str:
    return str(verbose)


app.add_url_rule("/account", view_func=Account.as_view("account"))
app.add_url_rule("/terms", view_func=Terms.as_view("terms"))
assert_type(health(verbose=True), str)


# Who is logged in.
def who() -> None:
    assert_type(current_user, User)
    assert_type(current_user.id, str)
    assert_type(current_user.email, str | None)
    assert_type(current_user.verified, bool)
    assert_type(current_user.affirmation_date, datetime | None)
    assert_type(current_user.raw, Mapping[str, Any])
    assert_type(current_user.to_dict(), dict[str, Any])
    assert_type(AnonymousUser().id, None)


# A hook stays what it was.
@centralauth.on_login
def only_staff(user: User) -> Response | None:
    if user.email is None or not user.email.endswith("@example.com"):
        raise PermissionDenied(public_message="Staff only.")
    return None


assert_type(only_staff(User(id="1")), Response | None)


@centralauth.on_login
def note(user: User) -> None:
    print(user.last_login)


# The extension's methods.
centralauth.protect(app)
centralauth.protect(Blueprint("inside", __name__))
centralauth.logout(everywhere=True)
centralauth.logout_user("1")
centralauth.authenticate_direct("alice@example.com", return_to="/")
assert_type(centralauth.login_redirect(return_to="/", theme={"primaryColor": "#123456"}), Response)
frame: str = centralauth.embed(nonce="n")


# Errors, and handlers of the application's own.
@app.errorhandler(CentralAuthError)
def any_problem(error: CentralAuthError) -> tuple[str, int]:
    assert_type(error.error_code, str)
    assert_type(error.public_message, str)
    assert_type(error.incident_id, str)
    assert_type(error.retry_after, int | None)
    return error.public_message, error.code or 500


@app.errorhandler(RateLimitError)
def too_often(error: RateLimitError) -> Response:
    return Response(error.public_message, 429)


families: list[type[HTTPException]] = [
    ConfigurationError,
    EntityError,
    LoginError,
    PermissionDenied,
    RateLimitError,
    ServiceUnavailable,
    SessionError,
]
code: str = ErrorCode.TOKEN_MISSING


# Signals.
@user_logged_in.connect
def seen(sender: Flask, user: User, previous: User | None, **_more: Any) -> None:
    print(sender.name, user.email, previous)


@login_failed.connect_via(app)
def failed(sender: Flask, error: CentralAuthError, **_more: Any) -> None:
    print(sender.name, error.incident_id)


# Tests of applications.
def test_profile(login_as: LoginAs, centralauth_emulator: Emulator) -> None:
    app.config.update(centralauth_emulator.config)
    client = app.test_client()
    assert_type(login_as(client, "alice@example.com", blocked=True), User)


def without_a_fixture(client: FlaskClient) -> None:
    assert_type(login_as(client), User)
    assert_type(login_as(client, "bob@example.com", organization_id="1"), User)


def emulated() -> None:
    with Emulator(users=["alice@example.com"]) as emulator:
        assert_type(emulator, Emulator)
        assert_type(emulator.url, str)
        assert_type(emulator.add_user(email="bob@example.com"), EmulatedUser)
        emulator.next_login(user="bob@example.com")
        emulator.faults.fail("userinfo", status=503)
        emulator.clock.advance(3600)
        assert_type(emulator.authorize("http://127.0.0.1/login?state=1"), str)
    assert_type(InProcessEmulator().connect(app), Flask)


class OrderTest(EmulatorMixin):
    emulator_options = {"users": ["alice@example.com"]}  # noqa: RUF012

    def test_order(self) -> None:
        assert_type(self.emulator, Emulator)
        assert_type(self.login_as(app.test_client()), User)
