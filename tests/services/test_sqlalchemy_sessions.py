"""Sessions in the application's own database: its transactions are its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, abort, session
from flask_session import Session
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column, Integer, Text, func, select

from flask_centralauth import CentralAuth, auth_required, current_user
from flask_centralauth.emulator import Emulator
from flask_centralauth.errors import ConfigurationError
from tests.browser_client import Browser
from tests.conftest import RunServer


@dataclass
class Site:
    app: Flask
    database: Any
    row: Any

    def rows(self) -> int:
        with self.app.app_context():
            return int(self.database.session.scalar(select(func.count()).select_from(self.row)))


@pytest.fixture(params=["postgresql", "sqlite"])
def site(request: pytest.FixtureRequest, emulator: Emulator, tmp_path: Path) -> Iterator[Site]:
    if request.param == "postgresql":
        address = request.getfixturevalue("postgres_server").sqlalchemy_url
    else:
        address = f"sqlite:///{tmp_path / 'application.sqlite'}"
    app = Flask("application_under_test", instance_path=str(tmp_path))
    app.config.update(SECRET_KEY="a secret key of the tests, long enough", TESTING=True)
    app.config.update(emulator.config, SQLALCHEMY_DATABASE_URI=address)
    database: Any = SQLAlchemy(app)

    class Row(database.Model):  # type: ignore[misc]
        id = Column(Integer, primary_key=True)
        text = Column(Text)

    app.config.update(SESSION_TYPE="sqlalchemy", SESSION_SQLALCHEMY=database)
    Session(app)
    CentralAuth(app)
    with app.app_context():
        database.create_all()

    @app.get("/private")
    @auth_required
    def private() -> str:
        return current_user.email or ""

    @app.get("/forgets-to-commit")
    @auth_required
    def forgets() -> str:
        database.session.add(Row(text="pending"))
        session["seen"] = session.get("seen", 0) + 1
        return str(session["seen"])

    @app.get("/fails")
    @auth_required
    def fails() -> str:
        database.session.add(Row(text="boom"))
        session["failed"] = True
        abort(500)

    @app.get("/asks-in-between")
    def asks() -> str:
        database.session.add(Row(text="kept"))
        database.session.flush()
        email = current_user.email
        database.session.commit()
        return email or ""

    yield Site(app, database, Row)
    with app.app_context():
        database.engine.dispose()


def test_what_the_application_has_pending_is_not_committed(
    site: Site, live_server: RunServer, browser: Browser
) -> None:
    url = live_server(site.app).url
    browser.get(f"{url}/private")
    assert browser.get(f"{url}/forgets-to-commit").text == "1"
    assert browser.get(f"{url}/fails").status == 500
    assert browser.get(f"{url}/forgets-to-commit").text == "2"  # the session itself is kept
    browser.submit(f"{url}/api/auth/logout")
    assert site.rows() == 0


def test_what_the_application_has_flushed_is_not_undone(
    site: Site, live_server: RunServer, browser: Browser
) -> None:
    url = live_server(site.app).url
    browser.get(f"{url}/private")
    assert browser.get(f"{url}/asks-in-between").text == "alice@example.com"
    assert site.rows() == 1


def test_no_connection_is_open_when_workers_are_forked(site: Site) -> None:
    """gunicorn --preload: two workers on one connection read each other's answers."""
    with site.app.app_context():
        site.database.engine.dispose()
    settings = {key: site.app.config[key] for key in site.app.config if key.startswith(("CENTRAL", "SECRET"))}
    app = Flask("another", instance_path=site.app.instance_path)
    app.config.update(settings, SQLALCHEMY_DATABASE_URI=site.app.config["SQLALCHEMY_DATABASE_URI"])
    database = SQLAlchemy(app)
    app.config.update(SESSION_TYPE="sqlalchemy", SESSION_SQLALCHEMY=database)
    CentralAuth(app)
    with app.app_context():
        pool: Any = database.engine.pool
        assert (pool.checkedin(), pool.checkedout()) == (0, 0)


# Flask-Session's own code, on Python 3.12 and newer.
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow")
def test_expired_rows_are_removed_by_flask_sessions_command(
    site: Site, live_server: RunServer, browser: Browser
) -> None:
    url = live_server(site.app).url
    browser.get(f"{url}/private")
    interface: Any = site.app.session_interface
    with site.app.app_context():
        for key in ("session:old", "centralauth:old"):
            interface.engine.put(key, b"value", -1)
        before = site.database.session.scalar(select(func.count()).select_from(interface.sql_session_model))
    assert site.app.test_cli_runner().invoke(args=["session_cleanup"]).exit_code == 0
    with site.app.app_context():
        after = site.database.session.scalar(select(func.count()).select_from(interface.sql_session_model))
    assert before - after == 2
    assert browser.get(f"{url}/private").text == "alice@example.com"


def test_a_database_in_memory_is_refused(emulator: Emulator, tmp_path: Path) -> None:
    """Its one connection is the application's too: what we do there would be done to its transaction."""
    app = Flask("application_under_test", instance_path=str(tmp_path))
    app.config.update(SECRET_KEY="a secret key of the tests, long enough", TESTING=True)
    app.config.update(emulator.config, SQLALCHEMY_DATABASE_URI="sqlite://")
    database = SQLAlchemy(app)
    app.config.update(SESSION_TYPE="sqlalchemy", SESSION_SQLALCHEMY=database)
    with pytest.raises(ConfigurationError, match="in memory"):
        CentralAuth(app)
    with app.app_context():
        database.engine.dispose()
