"""Mistakes that type checkers must find. Each says what mypy and pyright call it.

Both complain, in `./tests/run`, of a comment that is not needed: that is a mistake they let pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask
from flask.testing import FlaskClient

import flask_centralauth
from flask_centralauth import CentralAuth, PermissionDenied, User, auth_required, current_user
from flask_centralauth.emulator import Emulator
from flask_centralauth.testing import login_as

if TYPE_CHECKING:
    from flask_centralauth.pytest_plugin import LoginAs

app = Flask(__name__)
centralauth = CentralAuth(app)


@auth_required
def order(number: int) -> str:
    return str(number)


@auth_required(fresh=True)
async def pay(amount: int) -> int:
    return amount


# The guard forgets nothing of the view.
order("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
order(1, full=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
words: bytes = order(1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


async def awaited() -> None:
    paid: str = await pay(1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(paid)


# Options of the guard have names, and types.
auth_required(affirmed=300)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
auth_required(affirmed_within="5 minutes")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
auth_required("admin")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def who(user: User) -> None:
    print(current_user.name)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    user.email = "bob@example.com"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    print(current_user.email.lower())  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]


@centralauth.on_login  # type: ignore[type-var]  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
def hook_without_user() -> None: ...


centralauth.login_redirect(theme=["dark"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
centralauth.embed("nonce")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
centralauth.protect(order)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
PermissionDenied("userNotVerified", public="No.")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
print(flask_centralauth.curent_user)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def emulated(login_as_fixture: LoginAs, client: FlaskClient) -> None:
    Emulator(user="alice@example.com")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    login_as(app, "alice@example.com")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    login_as_fixture("alice@example.com")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    login_as(client, email=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
