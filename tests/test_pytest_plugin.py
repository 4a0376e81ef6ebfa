"""The pytest plugin and the unittest mixin, as an application's own test run sees them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.documented_code import ROOT, programs

PLUGIN: Final = [
    "-p",
    "no:flask_centralauth",
    "-p",
    "flask_centralauth.pytest_plugin",
    "-p",
    "no:cacheprovider",
]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`run(source, *options)` runs a test module with the plugin, away from this project's settings."""

    def pytest_run(source: str, *options: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "test_application.py").write_text(source)
        return python(tmp_path, "pytest", "-q", "-W", "error", "--strict-markers", *PLUGIN, *options)

    return pytest_run


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_every_worker_of_xdist_has_its_own_emulator(run: Run, tmp_path: Path) -> None:
    source = """
import os, pathlib, requests

def test_a_user_of_this_worker(centralauth_emulator):
    worker = os.environ["PYTEST_XDIST_WORKER"]
    centralauth_emulator.add_user(email=f"{worker}@example.com")
    users = requests.get(f"{centralauth_emulator.url}/_emulator/users").json()["users"]
    workers = [user["email"] for user in users if user["email"].startswith("gw")]
    assert workers == [f"{worker}@example.com"]
    pathlib.Path(f"{worker}.url").write_text(centralauth_emulator.url)
"""
    answer = run(source, "-n", "2", "--dist", "each")
    assert answer.returncode == 0, answer.stdout
    urls = {path.read_text() for path in tmp_path.glob("gw*.url")}
    assert len(urls) == 2


CARELESS: Final = """
import requests

def test_a_careless_application(centralauth_emulator):
    headers = {"User-Agent": "python-requests/2", "auth-ip": "%s"}
    url = f"{centralauth_emulator.url}/api/v1/userinfo?domain=https://app.example"
    requests.post(url, data="x", headers=headers)

def test_one_that_says_nothing(centralauth_emulator):
    centralauth_emulator.configure(whitelist=["https://app.example"])
"""


@pytest.mark.parametrize(
    ("address", "option", "told"),
    [
        ("0.0.0.0", "off", None),
        ("0.0.0.0", "error", "L08 auth-ip is the placeholder"),
        ("192.0.2.1", "error", None),
        ("192.0.2.1", "warning", "L09 user-agent at userinfo"),
    ],
)
def test_mistakes_in_talking_to_centralauth_fail_tests_on_demand(
    run: Run, address: str, option: str, told: str | None
) -> None:
    answer = run(CARELESS % address, f"--centralauth-lint={option}")
    assert answer.returncode == (1 if told else 0), answer.stdout
    assert "2 passed" in answer.stdout
    assert (told or "") in answer.stdout
    assert ("1 error" in answer.stdout) is bool(told)


def test_markers_say_who_and_what_the_emulator_of_a_test_knows(run: Run) -> None:
    source = """
import pytest

pytestmark = pytest.mark.centralauth(users=["zoe@example.com"], settings={"max_session_time": 60})

@pytest.mark.centralauth(users=[{"email": "eve@example.com", "blocked": True}], settings={"mode": "compat"})
def test_marked(centralauth_emulator):
    blocked = {user.email: user.blocked for user in centralauth_emulator.users}
    assert (blocked["zoe@example.com"], blocked["eve@example.com"]) == (False, True)
    settings = centralauth_emulator.settings
    assert (settings.max_session_time, settings.mode) == (60, "compat")

def test_next(centralauth_inprocess):
    assert "zoe@example.com" in [user.email for user in centralauth_inprocess.users]
    assert "eve@example.com" not in [user.email for user in centralauth_inprocess.users]
    assert centralauth_inprocess.settings.mode == "strict"
"""
    answer = run(source)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ("settings={'moon': 1}", "there is no setting 'moon'"),
        ("users=['nobody']", "is not an e-mail address"),
        ("moon=1", "moon"),
    ],
)
def test_a_marker_that_makes_no_sense_is_told(run: Run, marker: str, told: str) -> None:
    source = f"""
import pytest

@pytest.mark.centralauth({marker})
def test_something(centralauth_emulator):
    pass
"""
    answer = run(source)
    assert answer.returncode == 1
    assert "@pytest.mark.centralauth: " in answer.stdout
    assert told in answer.stdout


def test_a_test_takes_one_of_the_two_emulators(run: Run) -> None:
    source = "def test_both(centralauth_emulator, centralauth_inprocess, centralauth_config): pass"
    assert "test_both: take either" in run(source).stdout


def test_a_plain_test_run_loads_nothing_of_the_extension(run: Run) -> None:
    source = """
import sys

def test_nothing():
    loaded = {name for name in sys.modules if name.startswith("flask_centralauth.")}
    assert loaded == {"flask_centralauth.pytest_plugin"}
    assert not {"flask", "authlib"} & set(sys.modules)
"""
    answer = run(source)
    assert answer.returncode == 0, answer.stdout


def test_the_documented_unittest_passes(tmp_path: Path) -> None:
    page = ROOT / "docs" / "testing.md"
    (program,) = programs(page)
    application, _, test = program.source.partition("import unittest\n")
    (tmp_path / "app.py").write_text(application)
    (tmp_path / "test_orders.py").write_text(f"import unittest\n{test}")
    answer = python(tmp_path, "unittest", "test_orders")
    assert answer.returncode == 0, answer.stderr
    assert re.search(r"Ran 2 tests", answer.stderr)


def test_the_mixin_starts_anew_in_every_test(tmp_path: Path) -> None:
    (tmp_path / "test_anew.py").write_text(
        """
import unittest
from flask_centralauth.testing import EmulatorMixin

class AnewTest(EmulatorMixin, unittest.TestCase):
    emulator_options = {"users": ["zoe@example.com"]}

    def test_one(self):
        self.check()

    def test_two(self):
        self.check()

    def check(self):
        self.assertEqual([user.email for user in self.emulator.users], ["zoe@example.com"])
        self.emulator.add_user(email="new@example.com")
"""
    )
    answer = python(tmp_path, "unittest", "test_anew")
    assert answer.returncode == 0, answer.stderr
    assert "Ran 2 tests" in answer.stderr
