"""What each extra installs is what its feature needs, and without it a clear word is said.

Every program runs in a virtual environment that has the package with the extras named, and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import flask_centralauth

from .servers import MemcachedServer, RedisServer

PACKAGE: Final = Path(flask_centralauth.__file__).parent
#: What only extras bring.
OPTIONAL: Final = (
    "redis pymemcache flask_sqlalchemy sqlalchemy flask_babel babel opentelemetry "
    "pytest sphinx furo myst_parser"
).split()

Run = Callable[..., "subprocess.CompletedProcess[str]"]

APPLICATION: Final = """
import sys
from flask import Flask
from flask_centralauth import CentralAuth, ConfigurationError, auth_required, current_user
from flask_centralauth.emulator import Emulator

def application(emulator, **config):
    app = Flask("app", instance_path=sys.argv[1])
    app.config.update(emulator.config, SECRET_KEY="a secret key of the tests, long enough")
    app.config.update(config)

    @app.get("/private")
    @auth_required
    def private():
        return current_user.email

    return app

def log_in(app, emulator):
    client = app.test_client()
    page = {"Accept": "text/html"}
    started = client.get("/api/auth/login?return_to=/private", headers=page)
    callback = emulator.authorize(started.location, ip="127.0.0.1", user_agent=None)
    assert client.get(callback.replace("http://localhost", ""), headers=page).location == "/private"
    print("logged in:", client.get("/private", headers=page).text)
"""


def _with_dependencies(name: str, extras: frozenset[str]) -> Iterator[Distribution]:
    found = distribution(name)
    yield found
    for text in found.requires or ():
        needed = Requirement(text)
        wanted = extras or frozenset({""})
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in wanted | {""}):
            yield from _with_dependencies(needed.name, frozenset(needed.extras))


@pytest.fixture(scope="module")
def make_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`make_environment("redis")`: the Python of an environment with these extras, made of links."""
    made: dict[frozenset[str], Path] = {}

    def make(*extras: str) -> Path:
        key = frozenset(extras)
        if key not in made:
            folder = tmp_path_factory.mktemp("environment")
            subprocess.run(
                [sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60
            )
            (site,) = folder.glob("lib/python*/site-packages")
            site.joinpath(PACKAGE.name).symlink_to(PACKAGE)
            for package in _with_dependencies("flask_centralauth", key):
                for top in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
                    # An editable installation has a file that names the checkout, with all that is in it.
                    if not (site / top).exists() and not top.startswith("__editable__"):
                        (site / top).symlink_to(Path(str(package.locate_file(top))))
            made[key] = folder / "bin" / "python"
        return made[key]

    return make


@pytest.fixture
def run(make_environment: Callable[..., Path], tmp_path: Path) -> Run:
    """`run(source, "redis", more=...)` runs a program where only these extras are installed."""

    def run_program(source: str, *extras: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "program.py"
        file.write_text(APPLICATION + source)
        command = [str(make_environment(*extras)), "-I", "-W", "error", str(file), str(tmp_path / "instance")]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path, env={}
        )

    return run_program


LOGIN: Final = """
with Emulator() as emulator:
    app = application(emulator, SESSION_TYPE=SESSION_TYPE, **SETTINGS)
    CentralAuth(app)
    log_in(app, emulator)
"""


def test_the_package_alone_logs_in_and_has_nothing_optional(run: Run) -> None:
    answer = run(
        f"""
from importlib.util import find_spec
assert [name for name in {OPTIONAL!r} if find_spec(name)] == []
SESSION_TYPE, SETTINGS = None, {{}}
NL = {{"Accept": "text/html", "Accept-Language": "nl"}}
{LOGIN}
    refused = app.test_client().get("/api/auth/callback?code=a&state=b", headers=NL)
    assert refused.status_code == 400, refused.status_code
    assert '<html lang="en"' in refused.text
import flask_centralauth.testing
"""
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "logged in: alice@example.com\n"


@pytest.mark.parametrize("store", ["redis", "memcached", "sqlalchemy"])
def test_a_store_whose_client_is_missing_is_named_with_its_extra(run: Run, store: str) -> None:
    answer = run(
        f"""
import warnings
warnings.filterwarnings("ignore", message="No valid memcache.Client", category=RuntimeWarning)
with Emulator() as emulator:
    try:
        CentralAuth(application(emulator, SESSION_TYPE={store!r}))
    except ConfigurationError as refused:
        print(refused)
"""
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("SESSION_TYPE needs a package that is not installed (No ")
    assert answer.stdout.endswith(f"). pip install 'flask_centralauth[{store}]'\n")


def test_redis_is_enough_for_redis(run: Run, redis_server: RedisServer) -> None:
    settings = f"""
import redis
SESSION_TYPE, SETTINGS = "redis", {{"SESSION_REDIS": redis.Redis.from_url({redis_server.url!r})}}
"""
    answer = run(settings + LOGIN, "redis")
    assert answer.stdout == "logged in: alice@example.com\n", answer.stderr


def test_memcached_is_enough_for_memcached(run: Run, memcached_server: MemcachedServer) -> None:
    settings = f"""
import pymemcache
client = pymemcache.PooledClient("127.0.0.1:{memcached_server.port}")
SESSION_TYPE, SETTINGS = "memcached", {{"SESSION_MEMCACHED": client}}
"""
    answer = run(settings + LOGIN, "memcached")
    assert answer.stdout == "logged in: alice@example.com\n", answer.stderr


def test_sqlalchemy_is_enough_for_sqlalchemy(run: Run, tmp_path: Path) -> None:
    # Flask-Session makes Flask-SQLAlchemy's object itself, of the application's settings.
    settings = f"""
SESSION_TYPE = "sqlalchemy"
SETTINGS = {{"SQLALCHEMY_DATABASE_URI": "sqlite:///{tmp_path}/sessions.sqlite"}}
from flask_sqlalchemy import SQLAlchemy
SETTINGS["SESSION_SQLALCHEMY"] = database = SQLAlchemy()
"""
    with_database = LOGIN.replace("    CentralAuth(app)", "    database.init_app(app)\n    CentralAuth(app)")
    answer = run(settings + with_database, "sqlalchemy")
    assert answer.stdout == "logged in: alice@example.com\n", answer.stderr


def test_babel_is_enough_for_other_languages(run: Run) -> None:
    answer = run(
        """
from flask_babel import Babel
with Emulator() as emulator:
    app = application(emulator)
    Babel(app, locale_selector=lambda: "nl")
    CentralAuth(app)
    refused = app.test_client().get("/api/auth/callback?code=a&state=b", headers={"Accept": "text/html"})
    assert '<html lang="nl"' in refused.text, refused.text
""",
        "babel",
    )
    assert answer.returncode == 0, answer.stderr


def test_testing_brings_the_fixtures_by_itself(make_environment: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(
        f"""
from flask import Flask
from flask_centralauth import CentralAuth, auth_required, current_user

def test_orders(login_as, centralauth_emulator):
    app = Flask("shop", instance_path={str(tmp_path / "instance")!r})
    app.config.update(centralauth_emulator.config, TESTING=True, SECRET_KEY="long enough for the tests")
    CentralAuth(app)

    @app.get("/orders")
    @auth_required
    def orders():
        return current_user.email

    client = app.test_client()
    login_as(client, "bob@example.com")
    assert client.get("/orders").text == "bob@example.com"
"""
    )
    command = [str(make_environment("testing")), "-I", "-W", "error", "-m", "pytest", "-q", str(tmp_path)]
    answer = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path, env={}
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_opentelemetry_is_enough_for_the_metrics(run: Run) -> None:
    answer = run("import flask_centralauth.telemetry", "opentelemetry")
    assert answer.returncode == 0, answer.stderr
    answer = run("import flask_centralauth.telemetry")
    assert answer.stderr.rstrip().endswith("pip install 'flask_centralauth[opentelemetry]'")


def test_docs_has_what_sphinx_is_configured_with(run: Run) -> None:
    """docs/build uses nothing else; that the site builds is a test of its own."""
    needed = ["sphinx", "furo", "myst_parser"]
    answer = run("import " + ", ".join(needed), "docs")
    assert answer.returncode == 0, answer.stderr


def test_every_extra_is_tried_here() -> None:
    declared = distribution("flask_centralauth").metadata.get_all("Provides-Extra", [])
    tried = {"redis", "memcached", "sqlalchemy", "babel", "opentelemetry", "testing", "docs"}
    assert {canonicalize_name(extra) for extra in declared} == tried
