"""The programs of the documentation that need a server of their own, each with that server."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from flask_centralauth.emulator import Emulator
from tests.browser_client import Browser
from tests.conftest import RunServer
from tests.documented_code import ROOT, Program, pages, programs
from tests.test_docs import application

from . import programs as installed
from .redis_topologies import RedisClusterNode, RedisSentinel
from .servers import HOST, RedisServer

WITH_SERVER: Final = [program for page in pages() for program in programs(page) if program.servers]


@pytest.fixture
def sentinels() -> Iterator[str]:
    installed.REDIS.require()
    primary = RedisServer()
    watching = RedisSentinel(primary)
    try:
        primary.start()
        watching.start()
        yield f"{HOST}:{watching.port}"
    finally:
        watching.close()
        primary.close()


@pytest.fixture
def cluster_node() -> Iterator[str]:
    installed.REDIS.require()
    node = RedisClusterNode()
    try:
        node.start()
        yield node.url
    finally:
        node.close()


@pytest.fixture
def address(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """What a reader has in an environment variable."""

    def of(name: str) -> str:
        match name:
            case "REDIS_URL":
                return str(request.getfixturevalue("redis_server").url)
            case "MEMCACHED_SERVER":
                return str(request.getfixturevalue("memcached_server").url)
            case "DATABASE_URL":
                return str(request.getfixturevalue("postgres_server").sqlalchemy_url)
            case "REDIS_SENTINELS":
                return str(request.getfixturevalue("sentinels"))
            case "REDIS_CLUSTER_URL":
                return str(request.getfixturevalue("cluster_node"))
            case _:
                raise ValueError(f"{name}: which server is meant?")

    return of


@pytest.mark.parametrize("program", WITH_SERVER, ids=lambda program: program.name)
def test_a_program_of_the_documentation_keeps_logins_in_its_engine(
    program: Program,
    address: Callable[[str], str],
    emulator: Emulator,
    live_server: RunServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in program.servers:
        monkeypatch.setenv(name, address(name))
    for name, value in {**emulator.config, "SECRET_KEY": "a secret key of the tests, long enough"}.items():
        monkeypatch.setenv(f"FLASK_{name}", json.dumps(value))
    app = application(program, tmp_path)
    interface: Any = app.session_interface
    try:
        url = live_server(app).url
        browser = Browser(emulator)
        browser.get(f"{url}/api/auth/login")
        assert browser.fetch(f"{url}/api/auth/user").json()["email"] == "alice@example.com"
        cookie = browser.cookies.get("session")
        assert cookie is not None
        with app.app_context():
            assert interface.engine.get_many(interface.key_prefix + cookie.value) != [None]
        browser.submit(f"{url}/api/auth/logout")
        assert browser.fetch(f"{url}/api/auth/user").json() is None
    finally:
        close(app)


def close(app: Any) -> None:
    client = app.session_interface.client
    with app.app_context():
        if hasattr(client, "engines"):
            client.engine.dispose()
        else:
            client.close()


def test_the_documented_command_starts_gunicorn(emulator: Emulator, tmp_path: Path) -> None:
    """Its options are gunicorn's, and the application it names is found and passes its checks."""
    page = ROOT / "docs" / "deployment.md"
    (command,) = re.findall(r"^gunicorn .*$", page.read_text(encoding="utf-8"), re.MULTILINE)
    (program,) = [program for program in programs(page) if "ProxyFix" in program.source]
    (tmp_path / "app.py").write_text(program.source)
    settings = {**emulator.config, "SECRET_KEY": "a secret key of the tests, long enough"}
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command), "--check-config"],
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(ROOT),
            **{f"FLASK_{name}": json.dumps(value) for name, value in settings.items()},
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
