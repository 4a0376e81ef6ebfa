"""Every recipe of the documentation runs, and does what it is for."""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections.abc import Callable
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from flask_centralauth.emulator import Emulator

from .browser_client import Browser
from .conftest import LiveServer, RunServer

RECIPES: Final = Path(__file__).parents[1] / "docs" / "recipes"
SECRET_KEY: Final = "a secret key of the tests, long enough"
_numbers = itertools.count()

Recipe = Callable[[str], ModuleType]


@pytest.fixture
def recipe(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """`recipe(name)` imports one afresh, with the settings of the emulator in the environment."""

    def load(name: str) -> ModuleType:
        for key, value in {**emulator.config, "SECRET_KEY": SECRET_KEY, "TESTING": True}.items():
            monkeypatch.setenv(f"FLASK_{key}", json.dumps(value))
        spec = util.spec_from_file_location(f"recipe{next(_numbers)}_{name}", RECIPES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    monkeypatch.setattr("flask.Flask.auto_find_instance_path", lambda app: str(_instance(app.name)))
    return load


@pytest.fixture(autouse=True)
def _instances(tmp_path: Path) -> None:
    global _folder
    _folder = tmp_path


_folder = Path()


def _instance(name: str) -> Path:
    return _folder / name


def test_every_recipe_is_tested_here() -> None:
    source = Path(__file__).read_text("utf-8")
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


class TestTwoOrganizations:
    @pytest.fixture
    def server(
        self,
        recipe: Recipe,
        emulator: Emulator,
        live_server: RunServer,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> LiveServer:
        office = emulator.service.add_organization("office-organization", "0123456789abcdef0123456789abcdef")
        emulator.add_user(email="staff@example.com", organization_id=office.id)
        settings = {
            "SHOP": emulator.config,
            "OFFICE": {
                **emulator.config,
                "CENTRALAUTH_CLIENT_ID": office.id,
                "CENTRALAUTH_CLIENT_SECRET": office.secret,
            },
        }
        for part, config in settings.items():
            for key, value in {**config, "SECRET_KEY": f"{SECRET_KEY} {part}"}.items():
                monkeypatch.setenv(f"{part}_{key}", json.dumps(value))
        monkeypatch.setenv("INSTANCES", str(tmp_path))
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
        browser.submit("/shop/api/auth/logout", follow=False)
        assert browser.fetch("/shop/").status == 401
        assert browser.fetch("/office/").status == 200

    def test_callback_of_one_is_none_of_the_other(self, server: LiveServer, emulator: Emulator) -> None:
        browser = Browser(emulator)
        started = browser.get(f"{server.url}/shop/api/auth/login", follow=False).last.location
        assert started is not None
        callback = emulator.authorize(started).replace("/shop/", "/office/")
        assert browser.get(callback).status == 400
        assert browser.fetch("/office/").status == 401

    def test_session_of_one_is_worth_nothing_at_the_other(
        self, server: LiveServer, emulator: Emulator
    ) -> None:
        browser = Browser(emulator)
        browser.get(f"{server.url}/shop/")
        cookie = browser.cookies.get("shop_session")
        assert cookie is not None
        thief = Browser(emulator, user=None)
        thief.cookies.store(f"{server.url}/office/", f"office_session={cookie.value}; Path=/office")
        assert thief.fetch(f"{server.url}/office/").status == 401
