"""Every recipe of the documentation runs, and does what it is for. Sockets: `test_recipe_sockets.py`."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .conftest import LiveServer, RunServer

if TYPE_CHECKING:
    from .recipe_fixtures import Recipe

pytest_plugins = ("tests.recipe_fixtures",)

RECIPES: Final = Path(__file__).parents[1] / "docs" / "recipes"
SECRET_KEY: Final = "a secret key of the tests, long enough"


def test_every_recipe_is_tested_here() -> None:
    source = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_recipe*.py"))
    assert [path.stem for path in RECIPES.glob("*.py") if f'"{path.stem}"' not in source] == []


class TestSQLAlchemyUsers:
    @pytest.fixture
    def module(self, recipe: Recipe) -> ModuleType:
        return recipe("sqlalchemy_users")

    @pytest.fixture
    def server(
        self, module: ModuleType, live_server: RunServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> LiveServer:
        monkeypatch.setenv("FLASK_SQLALCHEMY_DATABASE_URI", f"sqlite:///{tmp_path / 'accounts.sqlite3'}")
        return live_server(module.create_app())

    def rows(self, module: ModuleType, server: LiveServer) -> list[tuple[str, str]]:
        with server.app.app_context():  # type: ignore[attr-defined]
            return [(row.id, row.email) for row in module.db.session.query(module.Account)]

    def test_first_login_makes_a_row_and_the_next_keeps_it(
        self, module: ModuleType, server: LiveServer, emulator: Emulator
    ) -> None:
        assert Browser(emulator).get(f"{server.url}/profile").json() == {
            "email": "alice@example.com",
            "theme": "light",
        }
        (alice,) = [user for user in emulator.users if user.email == "alice@example.com"]
        emulator.fail("userinfo", patch={"email": "alice.new@example.com"})
        Browser(emulator).get(f"{server.url}/profile")
        assert self.rows(module, server) == [(alice.id, "alice.new@example.com")]

    def test_two_first_logins_at_once_make_one_row(
        self, module: ModuleType, server: LiveServer, emulator: Emulator
    ) -> None:
        both_looked = threading.Barrier(2, timeout=10)

        def wait_for_the_other(session: Session, *_: object) -> None:
            if session.new:
                both_looked.wait()

        event.listen(module.db.session, "before_flush", wait_for_the_other)
        statuses: list[int] = []
        threads = [
            threading.Thread(
                target=lambda: statuses.append(
                    Browser(emulator).get(f"{server.url}/api/auth/login", follow=True).status
                )
            )
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(self.rows(module, server)) == 1
        assert statuses == [404, 404], "the recipe has no page at /"

    def test_closed_account_is_refused_with_its_words(
        self, module: ModuleType, server: LiveServer, emulator: Emulator
    ) -> None:
        Browser(emulator).get(f"{server.url}/profile")
        with server.app.app_context():  # type: ignore[attr-defined]
            module.db.session.query(module.Account).update({"active": False})
            module.db.session.commit()
        page = Browser(emulator).get(f"{server.url}/profile")
        assert page.status == 403
        assert "This account was closed." in page.text


class TestFlaskLogin:
    @pytest.fixture
    def server(self, recipe: Recipe, live_server: RunServer) -> LiveServer:
        return live_server(recipe("flask_login_bridge").create_app())

    def test_login_required_goes_to_centralauth_and_back(
        self, server: LiveServer, emulator: Emulator
    ) -> None:
        page = Browser(emulator).get(f"{server.url}/profile?tab=2")
        assert page.text == "Hello alice@example.com"
        assert page.path == "/profile?tab=2"

    def test_program_gets_401(self, server: LiveServer, emulator: Emulator) -> None:
        answer = Browser(emulator).fetch(f"{server.url}/profile")
        assert answer.status == 401
        assert answer.json()["errorCode"] == "tokenMissing"

    def test_outage_is_no_reason_to_sign_in(
        self, recipe: Recipe, live_server: RunServer, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FLASK_CENTRALAUTH_USER_TTL", "0")
        monkeypatch.setenv("FLASK_CENTRALAUTH_STALE_GRACE", "0")
        server = live_server(recipe("flask_login_bridge").create_app())
        browser = Browser(emulator)
        browser.get(f"{server.url}/profile")
        emulator.fail("userinfo", status=503)
        assert browser.get(f"{server.url}/profile").status == 503

    def test_page_of_a_person_is_in_no_cache(self, server: LiveServer, emulator: Emulator) -> None:
        page = Browser(emulator).get(f"{server.url}/profile")
        assert page.headers["Cache-Control"] == "no-store"

    def test_signing_out_counts_at_once(self, server: LiveServer, emulator: Emulator) -> None:
        browser = Browser(emulator)
        browser.get(f"{server.url}/profile")
        browser.submit("/api/auth/logout", follow=False)
        assert browser.fetch("/profile").status == 401

    def test_guest_gets_no_session(self, server: LiveServer, emulator: Emulator) -> None:
        browser = Browser(emulator)
        browser.fetch(f"{server.url}/profile")
        assert browser.cookies.get("session") is None


class TestHTMX:
    HTMX: Final = {"HX-Request": "true"}

    @pytest.fixture
    def server(self, recipe: Recipe, live_server: RunServer) -> LiveServer:
        return live_server(recipe("htmx").create_app())

    def test_guest_is_sent_to_login_in_the_whole_window_and_back_to_the_page(
        self, server: LiveServer, emulator: Emulator
    ) -> None:
        browser = Browser(emulator)
        browser.get(server.url)
        answer = browser.fetch("/notes", headers={**self.HTMX, "HX-Current-URL": f"{server.url}/?sort=1"})
        assert answer.status == 401
        page = browser.get(server.url + answer.headers["HX-Redirect"])
        assert page.path == "/?sort=1"
        assert browser.fetch("/notes", headers=self.HTMX).status == 200

    def test_form_of_a_guest_is_not_saved(self, server: LiveServer, emulator: Emulator) -> None:
        browser = Browser(emulator)
        browser.get(server.url)
        assert browser.fetch("/notes", method="POST", headers=self.HTMX).status == 401
        browser.get(f"{server.url}/api/auth/login")
        assert browser.fetch("/notes", headers=self.HTMX).text == ""
        assert browser.submit("/notes", {"text": "<b>"}, headers=self.HTMX).text == "<li>&lt;b&gt;</li>"


class TestFlaskPrincipal:
    @pytest.fixture
    def module(self, recipe: Recipe) -> ModuleType:
        return recipe("flask_principal_roles")

    @pytest.fixture
    def server(self, module: ModuleType, live_server: RunServer) -> LiveServer:
        return live_server(module.create_app())

    @pytest.fixture
    def editor(self, module: ModuleType, server: LiveServer, emulator: Emulator) -> Browser:
        (alice,) = [user for user in emulator.users if user.email == "alice@example.com"]
        module.roles[alice.id] = {"editor"}
        browser = Browser(emulator)
        assert browser.get(f"{server.url}/articles").text == "The articles of alice@example.com"
        return browser

    def test_role_opens_what_it_is_for(self, editor: Browser) -> None:
        assert editor.fetch("/menu").json() == ["articles"]

    def test_somebody_without_the_role_can_use_another_account(
        self, editor: Browser, server: LiveServer, emulator: Emulator
    ) -> None:
        browser = Browser(emulator, user="bob@example.com")
        page = browser.get(f"{server.url}/articles")
        assert page.status == 403
        assert "Use another account" in page.text
        refused = browser.fetch("/articles")
        assert (refused.status, refused.json()["errorCode"]) == (403, "noPermission")
        assert browser.fetch("/menu").json() == []

    def test_guest_is_asked_to_sign_in(self, server: LiveServer, emulator: Emulator) -> None:
        browser = Browser(emulator, user=None)
        assert browser.fetch(f"{server.url}/articles").status == 401
        assert browser.get(f"{server.url}/articles").url.startswith(f"{emulator.url}/login?")
        assert browser.fetch(f"{server.url}/menu").json() == []

    def test_lost_role_and_signing_out_count_at_once(self, module: ModuleType, editor: Browser) -> None:
        (roles,) = module.roles.values()
        roles.clear()
        assert editor.fetch("/articles").status == 403
        roles.add("editor")
        assert editor.fetch("/articles").status == 200
        editor.submit("/api/auth/logout", follow=False)
        assert editor.fetch("/articles").status == 401
        assert editor.fetch("/menu").json() == []

    def test_next_user_of_a_browser_has_no_role_of_the_last(
        self, editor: Browser, server: LiveServer
    ) -> None:
        editor.user = "bob@example.com"
        editor.get(f"{server.url}/api/auth/login?return_to=/menu")
        assert editor.fetch("/menu").json() == []


class TestFlaskAdmin:
    @pytest.fixture
    def module(self, recipe: Recipe) -> ModuleType:
        return recipe("flask_admin_panel")

    @pytest.fixture
    def server(
        self,
        module: ModuleType,
        live_server: RunServer,
        emulator: Emulator,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> LiveServer:
        (alice,) = [user for user in emulator.users if user.email == "alice@example.com"]
        monkeypatch.setenv("FLASK_ADMINS", json.dumps([alice.id]))
        monkeypatch.setenv("FLASK_SQLALCHEMY_DATABASE_URI", f"sqlite:///{tmp_path / 'notes.sqlite3'}")
        return live_server(module.create_app())

    def notes(self, module: ModuleType, server: LiveServer) -> list[str]:
        with server.app.app_context():  # type: ignore[attr-defined]
            return [note.text for note in module.db.session.query(module.Note)]

    def test_guest_signs_in_and_comes_back_to_the_panel(self, server: LiveServer, emulator: Emulator) -> None:
        browser = Browser(emulator)
        assert browser.fetch(f"{server.url}/admin/note/").status == 401
        page = browser.get(f"{server.url}/admin/note/?page=0")
        assert page.path == "/admin/note/?page=0"
        assert "alice@example.com" in page.text
        assert page.headers["Cache-Control"] == "no-store"

    def test_somebody_else_can_use_another_account(
        self, module: ModuleType, server: LiveServer, emulator: Emulator
    ) -> None:
        browser = Browser(emulator, user="bob@example.com")
        for path in ("/admin/", "/admin/note/", "/admin/note/new/"):
            page = browser.get(server.url + path)
            assert page.status == 403
            assert "Use another account" in page.text
            assert browser.fetch(path).json()["errorCode"] == "noPermission"
        browser.submit("/admin/note/new/", {"text": "mine"})
        assert self.notes(module, server) == []

    def test_admin_works_and_signs_out_there(
        self, module: ModuleType, server: LiveServer, emulator: Emulator
    ) -> None:
        browser = Browser(emulator)
        page = browser.get(f"{server.url}/admin/note/new/")
        form = next(form for form in page.forms if "csrf_token" in form.fields)
        browser.submit(form, {"text": "first"})
        assert self.notes(module, server) == ["first"]

        sign_out = next(form for form in browser.get(f"{server.url}/admin/").forms if "logout" in form.action)
        browser.submit(sign_out, follow=False)
        assert browser.fetch("/admin/note/").status == 401

    def test_form_of_another_site_does_nothing(
        self, module: ModuleType, server: LiveServer, emulator: Emulator
    ) -> None:
        browser = Browser(emulator)
        browser.get(f"{server.url}/admin/note/new/")
        browser.submit("/admin/note/new/", {"text": "not by me"})
        assert self.notes(module, server) == []


class TestTwoOrganizations:
    @pytest.fixture
    def server(
        self, recipe: Recipe, emulator: Emulator, live_server: RunServer, monkeypatch: pytest.MonkeyPatch
    ) -> LiveServer:
        office = emulator.service.add_organization("office-organization", "0123456789abcdef0123456789abcdef")
        emulator.add_user(email="staff@example.com", organization_id=office.id)
        of_staff = {"CENTRALAUTH_CLIENT_ID": office.id, "CENTRALAUTH_CLIENT_SECRET": office.secret}
        for key, value in {**emulator.config, **of_staff}.items():
            monkeypatch.setenv(f"FLASK_STAFF_{key}", json.dumps(value))
        return live_server(recipe("two_organizations").create_app())

    def test_login_at_one_is_none_at_the_other(self, server: LiveServer, emulator: Emulator) -> None:
        browser = Browser(emulator)
        assert browser.get(f"{server.url}/shop/").text == "shop: alice@example.com"
        assert browser.fetch("/office/").status == 401

        browser.user = "staff@example.com"
        assert browser.get(f"{server.url}/office/").text == "office: staff@example.com"
        assert browser.fetch("/shop/").text == "shop: alice@example.com"

    def test_signing_out_of_one_leaves_the_other(self, server: LiveServer, emulator: Emulator) -> None:
        browser = Browser(emulator)
        browser.get(f"{server.url}/shop/")
        browser.user = "staff@example.com"
        browser.get(f"{server.url}/office/")
        home = browser.get(f"{server.url}/").text
        assert "alice@example.com" in home
        assert 'href="/api/auth/staff/logout"' in home
        browser.submit("/api/auth/logout", follow=False)
        assert browser.fetch("/shop/").status == 401
        assert browser.fetch("/office/").status == 200
        assert "alice@example.com" not in browser.get(f"{server.url}/").text

    def test_callback_of_one_is_none_of_the_other(self, server: LiveServer, emulator: Emulator) -> None:
        browser = Browser(emulator)
        started = browser.get(f"{server.url}/api/auth/login", follow=False).last.location
        assert started is not None
        callback = emulator.authorize(started).replace("/api/auth/", "/api/auth/staff/")
        assert browser.get(callback).status == 400
        assert browser.fetch("/office/").status == 401
