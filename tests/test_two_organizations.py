"""Two `CentralAuth` objects in one application: customers and staff, each with a CentralAuth of their own.

Nothing is shared but the cookie of the session: not the settings, not the routes, not who is logged in.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from werkzeug.exceptions import Forbidden

from flask_centralauth import (
    CentralAuth,
    ConfigurationError,
    auth_required,
)
from flask_centralauth.emulator import Emulator
from flask_centralauth.signals import login_failed, session_ended
from flask_centralauth.telemetry import export_metrics
from flask_centralauth.testing import login_as

from .browser_client import Browser
from .organizations_site import SECRET_KEY, MakeSite, Site, staff_settings

pytest_plugins = ("tests.organizations_fixtures",)


class TestLogin:
    def test_at_one_is_none_at_the_other(self, pair: Site) -> None:
        assert pair.shop().text == "alice@example.com"
        assert pair.who() == ("alice@example.com", None)
        page = pair.office()
        assert "/api/auth/staff/login?return_to=" in (page.hops[0].location or "")
        assert page.text == "olga@office.example"
        assert pair.who() == ("alice@example.com", "olga@office.example")

    def test_goes_to_the_organization_of_the_page(
        self, pair: Site, emulator: Emulator, office: Emulator
    ) -> None:
        pair.shop()
        assert (emulator.requests.count("verify"), office.requests.count("verify")) == (1, 0)
        pair.office()
        assert (emulator.requests.count("verify"), office.requests.count("verify")) == (1, 1)

    @pytest.mark.parametrize("order", ["shop first", "office first"])
    def test_in_either_order_keeps_the_other(self, pair: Site, order: str) -> None:
        first, second = (pair.shop, pair.office) if order == "shop first" else (pair.office, pair.shop)
        first()
        before = pair.session_id
        second()
        assert pair.session_id != before, "session fixation: every login has a new id"
        assert pair.who() == ("alice@example.com", "olga@office.example")

    def test_with_the_same_address_is_still_one_each(self, pair: Site) -> None:
        pair.office_tab.user = "alice@example.com"
        pair.shop()
        assert pair.who() == ("alice@example.com", None)
        pair.office()
        assert pair.sign_out("/api/auth/staff").status == 200
        assert pair.who() == ("alice@example.com", None)

    @pytest.mark.parametrize("prefix", ["/api/auth", "/api/auth/staff"])
    def test_callback_of_one_is_nothing_at_the_other(self, pair: Site, office: Emulator, prefix: str) -> None:
        """The state, the code and the attempt's cookie are good, but for the other organization."""
        started = pair.office_tab.get(f"{pair.server.url}/api/auth/staff/login", follow=False)
        callback = office.authorize(
            started.last.location or "",
            user="olga@office.example",
            ip=pair.office_tab.ip,
            user_agent=pair.office_tab.user_agent,
        )
        page = pair.shop_tab.get(f"{pair.server.url}{prefix}/callback?{urlsplit(callback).query}")
        if prefix == "/api/auth/staff":
            assert pair.who() == (None, "olga@office.example")
        else:
            assert page.status == 400
            assert 'href="/api/auth/login"' in page.text
            assert pair.who() == (None, None)

    def test_as_somebody_else_keeps_the_other(self, pair: Site) -> None:
        pair.both()
        pair.shop_tab.user = "bob@example.com"
        pair.shop("/api/auth/login")
        assert pair.who() == ("bob@example.com", "olga@office.example")
        assert pair.shop("/cart").json() is None, "what alice had in the session is hers"

    def test_fails_and_tells_at_its_own(self, pair: Site, emulator: Emulator, office: Emulator) -> None:
        office.fail("verify", error_code="captchaInvalid")
        page = pair.office()
        sent_back = [hop.location or "" for hop in page.hops if "error_message=" in (hop.location or "")]
        assert sent_back
        assert all(target.startswith(office.url) for target in sent_back)

    def test_that_failed_is_no_message_for_the_other(self, pair: Site, office: Emulator) -> None:
        office.fail("verify", error_code="captchaInvalid")
        # Sent back, and gone elsewhere instead.
        pair.office_tab.emulator = None
        started = pair.office_tab.get(f"{pair.server.url}/api/auth/staff/login", follow=False)
        callback = office.authorize(started.last.location or "", user="olga@office.example")
        sent_back = pair.office_tab.get(callback, follow=False)
        assert (sent_back.last.location or "").startswith("/api/auth/staff/login", len(pair.server.url))
        page = pair.shop()
        assert page.text == "alice@example.com"
        assert not [hop for hop in page.hops if "error_message=" in hop.url]
        # It is still there for the one it is about.
        again = pair.office_tab.get(f"{pair.server.url}/api/auth/staff/login", follow=False)
        assert "error_message=" in (again.last.location or "")

    def test_is_embedded_by_its_own(self, pair: Site, office: Emulator) -> None:
        with pair.app.test_request_context("/"):
            frame = pair.staff.embed()
        assert "/api/auth/staff/login?embed=1" in frame
        assert office.url in frame


class TestLogout:
    def test_of_one_leaves_the_other(self, pair: Site) -> None:
        pair.both()
        before = pair.session_id
        pair.sign_out("/api/auth/staff")
        assert pair.who() == ("alice@example.com", None)
        assert pair.session_id not in (before, None), "late requests write nothing back"
        pair.sign_out("/api/auth")
        assert pair.who() == (None, None)
        assert pair.session_id is None

    def test_leaves_nothing_else_of_its_user(self, pair: Site) -> None:
        pair.both()
        assert pair.shop("/cart").json() == ["socks"]
        pair.sign_out("/api/auth/staff")
        assert pair.shop("/cart").json() is None

    def test_keeps_the_other_as_long_as_it_was_to_last(self, pair: Site) -> None:
        """Not only until the browser is closed."""
        pair.both()
        page = pair.sign_out("/api/auth/staff")
        (cookie,) = [
            header
            for hop in page.hops
            for header in hop.headers.getlist("Set-Cookie")
            if header.startswith("session=")
        ]
        assert "Expires=" in cookie

    def test_of_an_old_session_ends_nothing_twice(self, pair: Site) -> None:
        """The session of before the logout is no way back in."""
        pair.both()
        old = pair.session_id or ""
        pair.sign_out("/api/auth/staff")
        thief = Browser(None, user=None)
        for prefix in ("/api/auth", "/api/auth/staff"):
            assert thief.fetch(f"{pair.server.url}{prefix}/user", headers={"Cookie": old}).json() is None

    def test_everywhere_is_told_to_its_own(
        self, make_pair: MakeSite, emulator: Emulator, office: Emulator
    ) -> None:
        pair = make_pair(STAFF_CENTRALAUTH_LOGOUT_EVERYWHERE=True)
        pair.both()
        pair.sign_out("/api/auth/staff")
        assert (emulator.requests.count("logout"), office.requests.count("logout")) == (0, 1)

    def test_by_method_in_a_page_of_the_other(self, pair: Site) -> None:
        pair.both()
        assert pair.shop("/shop/leave-office").text == "alice@example.com None"
        assert pair.who() == ("alice@example.com", None)

    def test_of_a_user_everywhere_is_of_its_own_alone(self, pair: Site) -> None:
        pair.both()
        office_user = pair.office_tab.fetch(f"{pair.server.url}/api/auth/staff/user").json()["id"]
        with pair.app.app_context():
            pair.customers.logout_user(office_user)
        assert pair.who() == ("alice@example.com", "olga@office.example")
        with pair.app.app_context():
            pair.staff.logout_user(office_user)
        assert pair.who() == ("alice@example.com", None)

    def test_page_that_needs_the_other_login_is_where_it_leads(self, make_pair: MakeSite) -> None:
        """It would be no way back in, so there is no need for a page of our own in between."""
        pair = make_pair(STAFF_CENTRALAUTH_AFTER_LOGOUT="/shop/", CENTRALAUTH_AFTER_LOGOUT="/shop/")
        pair.both()
        assert pair.sign_out("/api/auth/staff").text == "alice@example.com"
        assert urlsplit(pair.sign_out("/api/auth").url).path == "/api/auth/logout"


class TestOver:
    def test_at_one_signs_out_there_alone(self, pair: Site, office: Emulator) -> None:
        pair.both()
        ended = []

        def listen(_sender: object, **said: Any) -> None:
            ended.append((said["user"].email, said["error"].identifier))

        with session_ended.connected_to(listen):
            pair.clock.advance(61)
            office.fail("userinfo", error_code="sessionInactive")
            page = pair.office_tab.get(f"{pair.server.url}/office/", follow=False)
        assert (page.last.location or "").startswith(f"{pair.server.url}/api/auth/staff/login")
        assert ended == [("olga@office.example", "staff_centralauth")]
        assert pair.who() == ("alice@example.com", None)

    def test_for_a_program_keeps_the_other_in(self, pair: Site, office: Emulator) -> None:
        """Its answer carries the cookie of the session that goes on."""
        pair.both()
        pair.clock.advance(61)
        office.fail("userinfo", error_code="sessionInactive")
        page = pair.office_tab.fetch(f"{pair.server.url}/office/")
        assert page.status == 401
        assert page.json()["loginUrl"] == "/api/auth/staff/login"
        assert pair.who() == ("alice@example.com", None)

    def test_on_an_open_page_keeps_the_other_in(self, pair: Site, office: Emulator) -> None:
        pair.both()
        pair.clock.advance(61)
        office.fail("userinfo", error_code="sessionInactive")
        assert pair.shop("/").json() == {"shown": "alice@example.com", "staff": None}
        assert pair.who() == ("alice@example.com", None)

    def test_outage_of_one_is_none_of_the_other(self, pair: Site, office: Emulator) -> None:
        pair.both()
        pair.clock.advance(61)
        office.fail("userinfo", status=500, times=None)
        for _ in range(4):
            pair.office()
        pair.clock.advance(301)
        assert pair.office().status == 503
        with pair.app.app_context():
            assert (pair.staff.counters.breaker, pair.customers.counters.breaker) == ("open", "closed")
        assert pair.shop().text == "alice@example.com"

    def test_two_logins_of_one_browser_end_whosever_they_are(self, pair: Site) -> None:
        """Cookie tossing: one session has the login of the shop, the other that of the office."""
        pair.shop()
        victim = pair.session_id or ""
        attacker = Browser(pair.office_tab.emulator, user="olga@office.example")
        attacker.get(f"{pair.server.url}/office/")
        header = attacker.cookies.header(pair.server.url, cross_site=False, safe_navigation=True) or ""
        planted = next(part for part in header.split("; ") if part.startswith("session="))
        page = Browser(None, user=None).fetch(
            f"{pair.server.url}/api/auth/user", headers={"Cookie": f"{planted}; {victim}"}
        )
        assert page.json() is None


class TestPage:
    def test_shows_the_user_whom_its_guard_let_in(self, pair: Site) -> None:
        pair.both()
        assert (
            pair.office("/office/template").text
            == "olga@office.example olga@office.example alice@example.com"
        )
        assert pair.shop("/").json() == {"shown": "alice@example.com", "staff": "olga@office.example"}

    def test_that_is_open_shows_the_one_without_a_name(self, pair: Site) -> None:
        pair.both()
        assert pair.office("/office/open").text == "shown alice@example.com"

    def test_with_two_guards_asks_both(self, pair: Site) -> None:
        pair.office()
        page = pair.office_tab.get(f"{pair.server.url}/both", follow=False)
        assert (page.last.location or "").startswith(f"{pair.server.url}/api/auth/login")
        pair.shop()
        assert pair.shop("/both").json() == {
            "inner": "alice@example.com",
            "staff": "olga@office.example",
        }

    def test_that_needs_an_affirmation_asks_its_own(self, pair: Site, office: Emulator) -> None:
        an_hour_ago = datetime.now(timezone.utc) - timedelta(hours=1)
        office.fail("userinfo", patch={"affirmationDate": an_hour_ago.isoformat()})
        pair.both()
        page = pair.office("/vault")
        assert any("/api/auth/staff/affirm" in hop.url for hop in page.hops)
        assert any(hop.url.startswith(office.url) and "affirm=1" in hop.url for hop in page.hops)
        assert page.text == "olga@office.example"
        assert pair.who() == ("alice@example.com", "olga@office.example")

    def test_for_a_program_names_its_own_login(self, pair: Site) -> None:
        assert pair.shop_tab.fetch(f"{pair.server.url}/shop/").json()["loginUrl"] == "/api/auth/login"
        answer = pair.shop_tab.fetch(f"{pair.server.url}/office/").json()
        assert answer["loginUrl"] == "/api/auth/staff/login"

    def test_takes_the_tokens_of_its_own_alone(self, pair: Site, office: Emulator) -> None:
        pair.office()
        token = pair.office("/token").text
        headers = {"Authorization": f"Bearer {token}", "User-Agent": pair.office_tab.user_agent}
        client = Browser(None, user=None, user_agent=pair.office_tab.user_agent)
        assert client.fetch(f"{pair.server.url}/office/", headers=headers).text == "olga@office.example"
        assert client.fetch(f"{pair.server.url}/shop/", headers=headers).status == 401


class TestMethod:
    def test_fails_as_its_own(self, pair: Site, office: Emulator, caplog: pytest.LogCaptureFixture) -> None:
        """The view catches the error, or lets it be answered: with the way back to this login."""

        pair.both()
        assert pair.shop_tab.submit("/mail/caught").text == "staff_centralauth alice@example.com"
        office.fail("authenticate_direct", status=500)
        with caplog.at_level(logging.WARNING, "flask_centralauth"):
            assert pair.shop_tab.submit("/mail").status == 503
        (record,) = [vars(entry)["centralauth"] for entry in caplog.records if "centralauth" in vars(entry)]
        assert record["name"] == "staff"

    def test_mail_of_one_is_no_way_into_the_other(self, pair: Site, office: Emulator) -> None:
        pair.shop_tab.get(f"{pair.server.url}/cart")
        assert pair.shop_tab.submit("/mail").text == "sent"
        elsewhere = Browser(None, user=None)
        question = elsewhere.get(office.mailbox.latest().link)
        assert urlsplit(question.url).path == "/api/auth/staff/callback"
        (form,) = [form for form in question.forms if form.action.endswith("/confirm")]
        callback = question.url.replace("/api/auth/staff/", "/api/auth/")
        assert elsewhere.get(callback).status == 400
        assert elsewhere.submit("/api/auth/confirm", form.fields).status == 400
        for prefix in ("/api/auth", "/api/auth/staff"):
            assert elsewhere.fetch(f"{pair.server.url}{prefix}/user").json() is None
        elsewhere.get(question.url)
        (form,) = [form for form in elsewhere.page.forms if form.action.endswith("/confirm")]  # type: ignore[union-attr]
        elsewhere.submit(form)
        assert elsewhere.fetch("/api/auth/staff/user").json()["email"] == "olga@office.example"
        assert elsewhere.fetch("/api/auth/user").json() is None

    def test_starts_its_own_login(self, pair: Site) -> None:
        page = pair.office("/come-in")
        assert page.text == "olga@office.example"
        assert pair.who() == (None, "olga@office.example")

    def test_hooks_are_for_their_own(self, pair: Site) -> None:
        seen: list[str | None] = []
        pair.staff.on_login(lambda user: seen.append(user.email))

        @pair.customers.on_login
        def refuse(_user: object) -> None:
            raise Forbidden

        assert pair.office().text == "olga@office.example"
        assert seen == ["olga@office.example"]
        assert pair.shop().status == 403
        assert pair.who() == (None, "olga@office.example")


class TestRecord:
    def test_says_which_it_is_about(
        self, pair: Site, office: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        failed: list[str | None] = []

        def listen(_sender: object, **said: Any) -> None:
            failed.append(said["error"].identifier)

        office.fail("verify", error_code="callbackUrlInvalid")
        with login_failed.connected_to(listen), caplog.at_level(logging.WARNING, "flask_centralauth"):
            assert pair.office().status == 500
        assert failed == ["staff_centralauth"]
        (record,) = [entry for entry in caplog.records if hasattr(entry, "centralauth")]
        assert vars(record)["centralauth"]["name"] == "staff"
        assert "STAFF_CENTRALAUTH_" in record.getMessage()


class TestSettings:
    def test_say_which_keys_are_wrong(self, emulator: Emulator) -> None:
        app = Flask(__name__)
        app.config.update(SECRET_KEY=SECRET_KEY, **emulator.config)
        app.config.update(STAFF_CENTRALAUTH_BASE_URL="http://elsewhere.example")
        CentralAuth(app)
        with pytest.raises(ConfigurationError) as refused:
            CentralAuth(app, name="staff")
        keys = {problem.partition(":")[0] for problem in refused.value.problems}
        assert keys == {
            "STAFF_CENTRALAUTH_CLIENT_ID",
            "STAFF_CENTRALAUTH_CLIENT_SECRET",
            "STAFF_CENTRALAUTH_BASE_URL",
        }

    def test_do_not_come_from_variables_of_one_organization(
        self, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AUTH_ORGANIZATION_ID", "the-shop")
        monkeypatch.setenv("AUTH_SECRET", "0123456789abcdef")
        app = Flask(__name__)
        app.config.update(SECRET_KEY=SECRET_KEY, CENTRALAUTH_BASE_URL=emulator.url)
        CentralAuth(app)
        with pytest.raises(ConfigurationError, match="STAFF_CENTRALAUTH_CLIENT_SECRET: is missing"):
            CentralAuth(app, name="staff")

    def test_warn_of_misspelled_keys_of_each(
        self, emulator: Emulator, office: Emulator, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = Flask(__name__)
        app.config.update(SECRET_KEY=SECRET_KEY, TESTING=True, **emulator.config, **staff_settings(office))
        app.config["STAFF_CENTRALAUTH_TIMEOT"] = 1
        CentralAuth(app)
        assert not caplog.messages
        CentralAuth(app, name="staff")
        assert caplog.messages == [
            "STAFF_CENTRALAUTH_TIMEOT is not a setting; did you mean STAFF_CENTRALAUTH_TIMEOUT?"
        ]

    def test_have_routes_of_their_own(self, emulator: Emulator, office: Emulator) -> None:
        app = Flask(__name__)
        app.config.update(SECRET_KEY=SECRET_KEY, **emulator.config, **staff_settings(office))
        app.config["STAFF_CENTRALAUTH_URL_PREFIX"] = "/api/auth"
        CentralAuth(app)
        with pytest.raises(ConfigurationError, match="STAFF_CENTRALAUTH_URL_PREFIX: is another"):
            CentralAuth(app, name="staff")

    @pytest.mark.parametrize(
        "name", ["", "Staff", "the staff", "9", "centralauth", "s" * 33, "staff.", "x_centralauth"]
    )
    def test_need_a_name_that_can_be_one(self, name: str) -> None:
        with pytest.raises(ValueError, match="cannot be the name"):
            CentralAuth(name=name)

    def test_of_one_name_are_set_up_once(self, pair: Site) -> None:
        app = Flask(__name__)
        app.config.update(pair.app.config)
        CentralAuth(app, name="staff")
        with pytest.raises(RuntimeError, match="already set up"):
            CentralAuth(app, name="staff")

    @pytest.mark.parametrize("then", ["stays alone", "another comes"])
    def test_may_come_in_any_order_and_without_one_that_has_no_name(
        self, emulator: Emulator, office: Emulator, then: str
    ) -> None:
        """Then the first stands for it, until it comes."""
        app = Flask(__name__)
        app.config.update(SECRET_KEY=SECRET_KEY, TESTING=True, **emulator.config, **staff_settings(office))
        CentralAuth(app, name="staff")
        assert app.extensions["centralauth"] is app.extensions["staff_centralauth"]

        @app.get("/private")
        @auth_required
        def private() -> str:
            return ""

        if then == "stays alone":
            answer = app.test_client().get("/private").get_json()
            assert answer["loginUrl"] == "/api/auth/staff/login"
        else:
            CentralAuth(app)
            answer = app.test_client().get("/private").get_json()
            assert answer["loginUrl"] == "/api/auth/login"

    def test_return_path_is_none_of_the_others_routes(self, pair: Site) -> None:
        page = pair.shop("/api/auth/login?return_to=/api/auth/staff/login")
        assert urlsplit(page.url).path == "/"

    def test_that_is_missing_is_named(self, emulator: Emulator) -> None:
        app = Flask(__name__)
        app.config.update(SECRET_KEY=SECRET_KEY, TESTING=True, **emulator.config)
        CentralAuth(app)
        never = CentralAuth(name="staff")

        @app.get("/office")
        @never.auth_required
        def home() -> str:
            return ""

        with pytest.raises(RuntimeError, match=r"CentralAuth\(name='staff'\) is not set up"):
            app.test_client().get("/office")


class TestTools:
    def test_login_as_at_one(self, pair: Site) -> None:
        client = pair.app.test_client()
        login_as(client, "olga@office.example", centralauth=pair.staff)
        assert client.get("/office/").text == "olga@office.example"
        assert client.get("/shop/").status_code == 401
        login_as(client, "alice@example.com")
        assert client.get("/both").get_json() == {
            "inner": "alice@example.com",
            "staff": "olga@office.example",
        }

    def test_check_looks_at_both(self, pair: Site, office: Emulator) -> None:
        runner = pair.app.test_cli_runner()
        report = json.loads(runner.invoke(args=["centralauth", "check", "--json"]).output)
        found = [(finding["check"], finding.get("name")) for finding in report["findings"]]
        assert ("reachable", None) in found
        assert ("reachable", "staff") in found
        assert found.count(("session-store", None)) == 1
        assert ("session-store", "staff") not in found
        assert ("open-views", "staff") not in found
        assert ("credentials", None) in found
        assert ("credentials", "staff") in found, "also where it is as good as the other"
        text = runner.invoke(args=["centralauth", "check"]).output
        assert "CentralAuth (staff)" in text

    def test_metrics_tell_whose_login_it_was(self, pair: Site, office: Emulator) -> None:
        reader = InMemoryMetricReader()
        export_metrics(pair.app, meter=MeterProvider([reader], shutdown_on_exit=False).get_meter("tests"))
        pair.both()
        pair.sign_out("/api/auth/staff")
        office.fail("verify", error_code="captchaInvalid")
        pair.office()
        data: Any = reader.get_metrics_data()
        metrics = {metric.name: metric.data for metric in data.resource_metrics[0].scope_metrics[0].metrics}
        counted = {
            (name, *dict(point.attributes).values()): point.value
            for name in ("centralauth.logins", "centralauth.logouts")
            for point in metrics[name].data_points
        }
        assert counted == {
            ("centralauth.logins",): 1,
            ("centralauth.logins", "staff"): 2,
            ("centralauth.logins", "staff", "captchaInvalid"): 1,
            ("centralauth.logouts", "staff"): 1,
        }

    def test_routes_and_settings_of_both_are_printed(self, pair: Site) -> None:
        runner = pair.app.test_cli_runner()
        routes = runner.invoke(args=["centralauth", "routes"]).output
        assert "/api/auth/login" in routes
        assert "staff_centralauth.login" in routes
        settings = runner.invoke(args=["centralauth", "settings"]).output
        assert "CENTRALAUTH_URL_PREFIX" in settings
        (prefix,) = [line for line in settings.splitlines() if "STAFF_CENTRALAUTH_URL_PREFIX" in line]
        assert prefix.split() == ["STAFF_CENTRALAUTH_URL_PREFIX", "'/api/auth/staff'", "default"]
        assert settings.count("SECRET_KEY ") == 1


def test_policy_is_of_one(make_pair: MakeSite, emulator: Emulator, office: Emulator) -> None:
    pair = make_pair(STAFF_CENTRALAUTH_REQUIRE_VERIFIED=True)
    for service in (emulator, office):
        service.fail("userinfo", patch={"verified": False}, times=None)
    assert pair.shop().status == 200
    assert pair.office().status == 403
    assert pair.who() == ("alice@example.com", None)


class TestOneService:
    """Both organizations are of one CentralAuth, where a person has one id."""

    @pytest.fixture
    def pair(self, make_pair: MakeSite, emulator: Emulator) -> Site:
        office = emulator.service.add_organization("office", "o" * 32)
        pair = make_pair(
            STAFF_CENTRALAUTH_BASE_URL=emulator.url,
            STAFF_CENTRALAUTH_CLIENT_ID=office.id,
            STAFF_CENTRALAUTH_CLIENT_SECRET=office.secret,
        )
        pair.office_tab = pair.shop_tab.tab()
        return pair

    @pytest.fixture
    def of_none(self, emulator: Emulator) -> None:
        """A user who belongs to no organization may come in at every one."""
        emulator.fail("userinfo", patch={"organizationId": None}, times=None)

    def test_user_of_one_is_refused_at_the_other(self, pair: Site) -> None:
        pair.shop()
        assert pair.office().status == 403
        assert pair.who() == ("alice@example.com", None)

    @pytest.mark.usefixtures("of_none")
    def test_login_at_one_is_none_at_the_other(self, pair: Site) -> None:
        pair.shop()
        assert pair.who() == ("alice@example.com", None)
        pair.office()
        assert pair.who() == ("alice@example.com", "alice@example.com")
        ids = [
            pair.shop_tab.fetch(f"{pair.server.url}{prefix}/user").json()["id"]
            for prefix in ("/api/auth", "/api/auth/staff")
        ]
        assert len(set(ids)) == 1

    @pytest.mark.usefixtures("of_none")
    def test_logout_user_is_of_one(self, pair: Site) -> None:
        pair.shop()
        pair.office()
        user_id = pair.shop_tab.fetch(f"{pair.server.url}/api/auth/user").json()["id"]
        assert pair.who() == ("alice@example.com", "alice@example.com")
        with pair.app.app_context():
            pair.staff.logout_user(user_id)
        assert pair.who() == ("alice@example.com", None)

    @pytest.mark.usefixtures("of_none")
    def test_token_of_one_is_none_of_the_other(self, pair: Site) -> None:
        pair.shop()
        pair.office()
        token = pair.office("/token").text
        client = Browser(None, user=None, user_agent=pair.shop_tab.user_agent)
        headers = {"Authorization": f"Bearer {token}"}
        answers = [
            client.fetch(f"{pair.server.url}{path}", headers=headers).status
            for path in ("/office/", "/shop/")
        ]
        assert answers == [200, 401]
