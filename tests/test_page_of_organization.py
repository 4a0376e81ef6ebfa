"""Whom a request is about, where an application has two `CentralAuth` objects, wherever its code asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import (
    Flask,
    Response,
    jsonify,
    render_template_string,
    request,
    stream_with_context,
)
from flask.views import MethodView

from flask_centralauth import CentralAuth, CentralAuthError, auth_required, current_user, public
from flask_centralauth.emulator import Emulator
from flask_centralauth.signals import session_ended, user_logged_in
from flask_centralauth.testing import login_as

from .organizations_site import SECRET_KEY, Site, staff_settings

pytest_plugins = ("tests.organizations_fixtures",)

CUSTOMER, STAFF = "alice@example.com", "olga@office.example"


@pytest.fixture
def bare(emulator: Emulator, office: Emulator, tmp_path: Path) -> Flask:
    app = Flask("two_organizations", instance_path=str(tmp_path / "instance"))
    app.config.update(SECRET_KEY=SECRET_KEY, TESTING=True, **emulator.config, **staff_settings(office))
    return app


def signed_in(app: Flask, staff: CentralAuth, **user: Any) -> Any:
    client = app.test_client()
    login_as(client, CUSTOMER)
    login_as(client, STAFF, centralauth=staff, **user)
    return client


class TestGuards:
    def test_of_the_whole_application_set_up_in_either_order(self, bare: Flask) -> None:
        staff = CentralAuth(name="staff")
        staff.protect(bare)
        CentralAuth(bare)
        staff.init_app(bare)
        bare.add_url_rule("/", "home", lambda: current_user.email or "")
        client = signed_in(bare, staff)
        assert client.get("/").text == STAFF

    def test_of_both_on_the_whole_application_need_both(self, bare: Flask) -> None:
        customers, staff = CentralAuth(bare), CentralAuth(bare, name="staff")
        customers.protect(bare)
        staff.protect(bare)
        bare.add_url_rule("/", "home", lambda: current_user.email or "")
        client = bare.test_client()
        login_as(client, CUSTOMER)
        assert client.get("/").get_json()["loginUrl"] == "/api/auth/staff/login"
        login_as(client, STAFF, centralauth=staff)
        assert client.get("/").text == STAFF
        assert client.get("/api/auth/user").get_json()["email"] == CUSTOMER

    def test_of_a_view_inside_one_of_the_whole_application(self, bare: Flask) -> None:
        customers, staff = CentralAuth(bare), CentralAuth(bare, name="staff")
        customers.protect(bare)

        @bare.get("/office")
        @staff.auth_required
        def home() -> str:
            return current_user.email or ""

        @bare.get("/open")
        @public
        def open_page() -> str:
            return current_user.email or ""

        client = bare.test_client()
        login_as(client, STAFF, centralauth=staff)
        assert client.get("/office").get_json()["loginUrl"] == "/api/auth/login"
        assert client.get("/open").text == ""
        login_as(client, CUSTOMER)
        assert client.get("/office").text == STAFF

    def test_of_a_class(self, bare: Flask) -> None:
        CentralAuth(bare)
        staff = CentralAuth(bare, name="staff")

        class Office(MethodView):
            decorators = [staff.auth_required(verified=True), auth_required]  # noqa: RUF012 - as Flask types it

            def get(self) -> str:
                return current_user.email or ""

        bare.add_url_rule("/office", view_func=Office.as_view("office"))
        client = bare.test_client()
        login_as(client, STAFF, centralauth=staff)
        assert client.get("/office").status_code == 401
        login_as(client, CUSTOMER)
        assert client.get("/office").text == STAFF
        login_as(client, STAFF, centralauth=staff, verified=False)
        assert client.get("/office").status_code == 403

    def test_of_an_async_view(self, bare: Flask) -> None:
        CentralAuth(bare)
        staff = CentralAuth(bare, name="staff")

        @bare.get("/office")
        @staff.auth_required
        async def office() -> Any:
            return jsonify(current_user.email, staff.current_user.email)

        assert signed_in(bare, staff).get("/office").get_json() == [STAFF, STAFF]

    @pytest.mark.parametrize(("method", "status"), [("HEAD", 401), ("OPTIONS", 200), ("POST", 405)])
    def test_with_other_methods(self, bare: Flask, method: str, status: int) -> None:
        CentralAuth(bare)
        staff = CentralAuth(bare, name="staff")
        bare.add_url_rule("/office", "office", staff.auth_required(lambda: "SECRET"))
        client = bare.test_client()
        login_as(client, CUSTOMER)
        answer = client.open("/office", method=method)
        assert (answer.status_code, "SECRET" in answer.text) == (status, False)


class TestRoutes:
    @pytest.mark.parametrize("route", ["login", "callback", "logout", "affirm"])
    def test_with_other_methods_are_as_the_first(self, bare: Flask, route: str) -> None:
        CentralAuth(bare)
        CentralAuth(bare, name="staff")
        client = bare.test_client()
        for method in ("HEAD", "OPTIONS", "PUT"):
            first, second = (
                client.open(f"{prefix}/{route}", method=method) for prefix in ("/api/auth", "/api/auth/staff")
            )
            assert first.status_code == second.status_code
            assert first.headers.get("Allow") == second.headers.get("Allow")
            assert first.headers.get("Cache-Control") == second.headers.get("Cache-Control")

    def test_on_every_host_where_hosts_are_matched(
        self, emulator: Emulator, office: Emulator, tmp_path: Path
    ) -> None:
        app = Flask(
            "two_organizations",
            instance_path=str(tmp_path / "instance"),
            host_matching=True,
            static_host="static.example",
        )
        app.config.update(SECRET_KEY=SECRET_KEY, TESTING=True, **emulator.config, **staff_settings(office))
        CentralAuth(app)
        staff = CentralAuth(app, name="staff")
        app.add_url_rule("/office", "office", staff.auth_required(lambda: "in"), host="office.example")
        client = app.test_client()
        answer = client.get("/office", base_url="http://office.example")
        assert answer.get_json()["loginUrl"] == "/api/auth/staff/login"
        page = client.get("/api/auth/staff/logout", base_url="http://office.example")
        assert page.status_code == 200
        assert "/api/auth/staff/login" in page.text

    def test_below_a_prefix(self, bare: Flask) -> None:
        CentralAuth(bare)
        staff = CentralAuth(bare, name="staff")
        bare.add_url_rule("/office", "office", staff.auth_required(lambda: "in"))
        client = bare.test_client()
        below = {"SCRIPT_NAME": "/app"}
        answer = client.get("/office", environ_overrides=below)
        assert answer.get_json()["loginUrl"] == "/app/api/auth/staff/login"

    def test_view_of_an_own_sign_in_page_is_per_object(self, bare: Flask) -> None:
        bare.config["STAFF_CENTRALAUTH_LOGIN_VIEW"] = "door"
        customers, staff = CentralAuth(bare), CentralAuth(bare, name="staff")
        customers.protect(bare)
        bare.add_url_rule("/door", "door", lambda: "knock")
        bare.add_url_rule("/office", "office", staff.auth_required(lambda: "in"))
        client = bare.test_client()
        assert client.get("/door").text == "knock"
        login_as(client, CUSTOMER)
        assert client.get("/office").get_json()["loginUrl"] == "/door"


class TestElsewhere:
    @pytest.fixture
    def app(self, bare: Flask) -> Flask:
        bare.extensions["customers"] = CentralAuth(bare)
        bare.extensions["staff"] = CentralAuth(bare, name="staff")
        return bare

    @pytest.fixture
    def staff(self, app: Flask) -> CentralAuth:
        staff: CentralAuth = app.extensions["staff"]
        return staff

    def test_before_and_after_the_guard(self, app: Flask, staff: CentralAuth) -> None:
        seen: list[str | None] = []
        app.before_request(lambda: seen.append(current_user.email))

        @app.after_request
        def after(response: Response) -> Response:
            seen.append(current_user.email)
            return response

        app.teardown_request(lambda _error: seen.append(current_user.email))

        @app.get("/office")
        @staff.auth_required
        def office() -> str:
            return ""

        client = signed_in(app, staff)
        seen.clear()
        client.get("/office")
        assert seen == [CUSTOMER, STAFF, STAFF]

    def test_while_a_page_is_streamed(self, app: Flask, staff: CentralAuth) -> None:
        @app.get("/office")
        @staff.auth_required
        def office() -> Response:
            def parts() -> Iterator[str]:
                yield f"{current_user.email} "
                yield f"{app.extensions['customers'].current_user.email} "
                yield f"{current_user.email}"

            return Response(stream_with_context(parts()))

        assert signed_in(app, staff).get("/office").text == f"{STAFF} {CUSTOMER} {STAFF}"

    def test_in_error_handlers(self, app: Flask, staff: CentralAuth) -> None:
        @app.errorhandler(ZeroDivisionError)
        def oops(_error: Exception) -> str:
            return f"oops {current_user.email}"

        @app.errorhandler(CentralAuthError)
        def own(error: CentralAuthError) -> str:
            return f"{error.error_code} {current_user.email}"

        app.add_url_rule("/office", "office", staff.auth_required(lambda: str(1 // 0)))
        app.add_url_rule("/vault", "vault", staff.auth_required(affirmed_within=1)(lambda: ""))
        client = signed_in(app, staff)
        assert client.get("/office").text == f"oops {STAFF}"
        assert client.get("/vault").text == f"affirmationRequired {STAFF}"

    def test_in_a_template_that_fails(self, app: Flask, staff: CentralAuth) -> None:
        """What comes after is still about the page's own organization."""

        @app.get("/shop")
        @auth_required
        def shop() -> str:
            try:
                render_template_string("{{ staff_centralauth.login_redirect(theme={'no': '1'}) }}")
            except ValueError:
                return current_user.email or ""
            return "no error"

        assert signed_in(app, staff).get("/shop").text == CUSTOMER

    def test_in_methods_of_the_other_in_one_request(self, app: Flask, staff: CentralAuth) -> None:
        customers: CentralAuth = app.extensions["customers"]

        @app.get("/shop")
        @auth_required
        def shop() -> Any:
            before = [staff.current_user.email, current_user.email]
            staff.logout()
            between = [staff.current_user.email, current_user.email, customers.current_user.email]
            customers.logout()
            return jsonify(before, between, [staff.current_user.email, current_user.email])

        client = signed_in(app, staff)
        assert client.get("/shop").get_json() == [
            [STAFF, CUSTOMER],
            [None, CUSTOMER, CUSTOMER],
            [None, None],
        ]
        assert client.get("/api/auth/user").get_json() is None
        assert client.get("/api/auth/staff/user").get_json() is None

    def test_outside_a_request(self, app: Flask, staff: CentralAuth) -> None:
        with app.app_context():
            for user in (current_user, staff.current_user):
                with pytest.raises(RuntimeError, match="request context"):
                    str(user.email)
            staff.logout_user("nobody")
            assert staff.counters.breaker == "closed"

    def test_by_a_guarded_view_that_another_calls(self, app: Flask, staff: CentralAuth) -> None:
        """The last guard counts; `staff.current_user` is the staff's whatever was asked."""

        @app.get("/shop")
        @auth_required
        def shop() -> str:
            return current_user.email or ""

        @app.get("/office")
        @staff.auth_required
        def office() -> Any:
            return jsonify(shop(), current_user.email, staff.current_user.email)

        assert signed_in(app, staff).get("/office").get_json() == [CUSTOMER, CUSTOMER, STAFF]

    def test_where_two_factories_use_the_same_objects(self, bare: Flask, tmp_path: Path) -> None:
        customers, staff = CentralAuth(), CentralAuth(name="staff")
        apps = []
        for number in range(2):
            app = Flask(f"app{number}", instance_path=str(tmp_path / f"instance{number}"))
            app.config.update(bare.config)
            for made in (customers, staff) if number else (staff, customers):
                made.init_app(app)
            app.add_url_rule("/office", "office", staff.auth_required(lambda: current_user.email or ""))
            apps.append(app)
        assert signed_in(apps[0], staff).get("/office").text == STAFF
        assert apps[1].test_client().get("/office").status_code == 401


class TestListeners:
    def test_know_whom_it_is_about(self, pair: Site, office: Emulator) -> None:
        told: list[tuple[str, str | None, str | None]] = []

        def came(_sender: object, *, user: Any, **_more: object) -> None:
            told.append(("in", user.email, current_user.email))

        def left(_sender: object, **_more: object) -> None:
            told.append(("over", current_user.email, request.endpoint))

        with user_logged_in.connected_to(came), session_ended.connected_to(left):
            pair.both()
            pair.clock.advance(361)
            office.fail("userinfo", error_code="sessionInactive")
            pair.shop("/")
        assert told == [
            ("in", CUSTOMER, CUSTOMER),
            ("in", STAFF, STAFF),
            ("over", None, "index"),
        ]
