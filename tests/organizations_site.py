"""An application with two `CentralAuth` objects, and a browser that is signed in at both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from flask import Blueprint, Flask, jsonify, render_template_string, session

from flask_centralauth import CentralAuth, CentralAuthError, auth_required, current_user, public
from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .browser_page import Page
from .checked_site import MovedClock
from .conftest import LiveServer

#: What a browser's session has of the application's own.
CART: Final = "cart"
SECRET_KEY: Final = "a secret key of the tests, long enough"


def staff_settings(office: Emulator) -> dict[str, Any]:
    return {f"STAFF_{key}": value for key, value in office.config.items()}


@dataclass
class Site:
    """The application, and one person's browser with a tab for each organization."""

    app: Flask
    customers: CentralAuth
    staff: CentralAuth
    server: LiveServer
    shop_tab: Browser
    office_tab: Browser
    clock: MovedClock

    def shop(self, path: str = "/shop/") -> Page:
        return self.shop_tab.get(f"{self.server.url}{path}")

    def office(self, path: str = "/office/") -> Page:
        return self.office_tab.get(f"{self.server.url}{path}")

    def both(self) -> None:
        """Sign in at both."""
        assert (self.shop().text, self.office().text) == ("alice@example.com", "olga@office.example")

    def who(self) -> tuple[str | None, str | None]:
        """Who is signed in at the two, as the auth routes say."""
        users = [
            self.shop_tab.tab().fetch(f"{self.server.url}{prefix}/user").json()
            for prefix in ("/api/auth", "/api/auth/staff")
        ]
        return users[0] and users[0]["email"], users[1] and users[1]["email"]

    def sign_out(self, prefix: str) -> Page:
        tab = self.shop_tab.tab()
        tab.get(f"{self.server.url}{prefix}/logout")
        return tab.submit(f"{self.server.url}{prefix}/logout")

    @property
    def session_id(self) -> str | None:
        header = self.shop_tab.cookies.header(self.server.url, cross_site=False, safe_navigation=True)
        found = [part for part in (header or "").split("; ") if part.startswith("session=")]
        return found[0] if found else None


def add_pages(app: Flask, staff: CentralAuth) -> None:
    @app.get("/")
    def index() -> Any:
        return jsonify(shown=current_user.email, staff=staff.current_user.email)

    @app.get("/shop/")
    @auth_required
    def shop() -> str:
        session.setdefault(CART, ["socks"])
        return current_user.email or ""

    offices = Blueprint("offices", __name__, url_prefix="/office")
    staff.protect(offices)

    @offices.get("/")
    def home() -> str:
        return current_user.email or ""

    @offices.get("/template")
    def template() -> str:
        return render_template_string(
            "{{ current_user.email }} {{ staff_centralauth.current_user.email }} "
            "{{ centralauth.current_user.email }}"
        )

    @offices.get("/open")
    @public
    def open_page() -> str:
        return f"shown {current_user.email}"

    app.register_blueprint(offices)

    @app.get("/both")
    @staff.auth_required
    @auth_required
    def both() -> Any:
        return jsonify(inner=current_user.email, staff=staff.current_user.email)

    @app.get("/vault")
    @staff.auth_required(affirmed_within=300)
    def vault() -> str:
        return current_user.email or ""

    @app.get("/cart")
    def cart() -> Any:
        return jsonify(session.get(CART))


def add_views_that_call_methods(app: Flask, staff: CentralAuth) -> None:
    @app.get("/shop/leave-office")
    @auth_required
    def leave() -> str:
        staff.logout()
        return f"{current_user.email} {staff.current_user.email}"

    @app.get("/come-in")
    def come_in() -> Any:
        return staff.login_redirect(return_to="/office/")

    @app.get("/token")
    @staff.auth_required
    def token() -> str:
        login = app.extensions["staff_centralauth"].logins.current()
        return str(login.token)

    @app.post("/mail")
    def mail() -> str:
        staff.authenticate_direct("olga@office.example")
        return "sent"

    @app.post("/mail/caught")
    def caught() -> str:
        try:
            staff.authenticate_direct("no address")
        except CentralAuthError as error:
            return f"{error.identifier} {current_user.email}"
        return "sent"


MakeSite = Callable[..., Site]
