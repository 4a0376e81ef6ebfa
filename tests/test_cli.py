"""`flask centralauth` as a terminal sees it: words, colours, exit status, secrets."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest
from flask import Flask

from flask_centralauth.emulator import Emulator
from tests.conftest import MakeApp

ROOT: Final = Path(__file__).parent.parent
ENTRY_POINT: Final = "centralauth = flask_centralauth.cli:centralauth_commands"
SECRET: Final = "sentinel-of-the-client-secret-32"
SECRET_KEY: Final = "sentinel-of-the-secret-key"

APPLICATION: Final = """
from flask import Flask
from flask_centralauth import CentralAuth

app = Flask(__name__)
app.config.from_prefixed_env()
CentralAuth(app)
"""

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a fresh shell in which the package is installed."""
    installed = tmp_path / "installed" / "flask_centralauth-0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: flask_centralauth\nVersion: 0\n")
    (installed / "entry_points.txt").write_text(f"[flask.commands]\n{ENTRY_POINT}\n")
    return {**os.environ, "PYTHONPATH": f"{installed.parent}{os.pathsep}{ROOT}", "COLUMNS": "100"}


@pytest.fixture
def flask(environment: dict[str, str], tmp_path: Path) -> Command:
    """`flask("centralauth", "check", app=..., **settings)` in a folder of its own."""

    def run(*args: str, app: str = APPLICATION, **settings: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "app.py").write_text(app)
        variables = {f"FLASK_{name}": value for name, value in settings.items()}
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "flask", *args],
            cwd=tmp_path,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def settings_for(emulator: Emulator) -> dict[str, str]:
    # from_prefixed_env() reads JSON: an all-digit secret would arrive as a number.
    return {name: json.dumps(value) for name, value in emulator.config.items()} | {"SECRET_KEY": SECRET_KEY}


# Without the entry point Flask loads the application before it knows the command: refused settings would end
# in a traceback, and the emulator would need an application to start.
def test_the_commands_are_there_before_an_application_is() -> None:
    metadata = (ROOT / "pyproject.toml").read_text()
    declared = re.search(
        r'\[project\.entry-points\."flask\.commands"\]\n(?:#.*\n)*centralauth = "(.*)"', metadata
    )
    assert declared
    assert f"centralauth = {declared[1]}" == ENTRY_POINT


class TestCheck:
    def test_refused_settings_are_listed_without_a_traceback(self, flask: Command) -> None:
        answer = flask("centralauth", "check", CENTRALAUTH_TIMEOUT="-1")
        assert answer.returncode == 1
        assert "Traceback" not in answer.stdout + answer.stderr
        for key in (
            "CENTRALAUTH_CLIENT_ID",
            "CENTRALAUTH_CLIENT_SECRET",
            "CENTRALAUTH_TIMEOUT",
            "SECRET_KEY",
        ):
            assert re.search(rf"problem +{key}: is ", answer.stdout)
        assert "Fix: Set it, or the environment variable AUTH_ORGANIZATION_ID." in answer.stdout
        assert "docs/check.md#settings" in answer.stdout
        assert answer.stdout.rstrip().endswith("4 problems")

    def test_refused_settings_as_json(self, flask: Command) -> None:
        answer = flask("centralauth", "check", "--json")
        report = json.loads(answer.stdout)
        assert (answer.returncode, report["ok"], report["callbackUrl"]) == (1, False, None)
        assert {finding["check"] for finding in report["findings"]} == {"settings"}
        assert all(finding["level"] == "problem" and finding["fix"] for finding in report["findings"])

    def test_an_engine_that_cannot_keep_logins_is_named(self, flask: Command, emulator: Emulator) -> None:
        application = APPLICATION.replace(
            "CentralAuth(app)",
            "from flask.sessions import SecureCookieSessionInterface\n"
            "class Own(SecureCookieSessionInterface): pass\n"
            "app.session_interface = Own()\nCentralAuth(app)",
        )
        answer = flask("centralauth", "check", app=application, **settings_for(emulator))
        assert answer.returncode == 1
        assert "Traceback" not in answer.stderr
        assert "Own cannot keep logins" in answer.stdout

    def test_a_factory_that_refuses_is_told_too(self, flask: Command) -> None:
        factory = APPLICATION.replace("app = ", "def create_app():\n  app = ").replace("\napp.", "\n  app.")
        factory = factory.replace("\nCentralAuth(app)", "\n  CentralAuth(app)\n  return app")
        answer = flask("centralauth", "check", app=factory)
        assert answer.returncode == 1
        assert "CENTRALAUTH_CLIENT_ID: is missing" in answer.stdout

    def test_an_application_without_centralauth(self, flask: Command) -> None:
        answer = flask("centralauth", "check", app="from flask import Flask\napp = Flask(__name__)")
        assert answer.returncode == 1
        assert "call CentralAuth(app)" in answer.stderr

    def test_no_application_at_all(self, flask: Command) -> None:
        answer = flask("--app", "nowhere", "centralauth", "check")
        assert answer.returncode == 2
        assert "Traceback" not in answer.stderr

    def test_a_good_set_up_exits_with_0(self, flask: Command, emulator: Emulator) -> None:
        answer = flask(
            "--debug", "centralauth", "check", SESSION_COOKIE_NAME="shop", **settings_for(emulator)
        )
        assert (answer.returncode, answer.stderr) == (0, "")
        assert answer.stdout.rstrip().endswith("Nothing is wrong.")

    def test_warnings_are_no_failure(self, flask: Command, emulator: Emulator) -> None:
        answer = flask("--debug", "centralauth", "check", **settings_for(emulator))
        assert answer.returncode == 0
        assert answer.stdout.rstrip().endswith("1 warning")

    def test_an_unreachable_centralauth_is_a_failure(self, flask: Command, emulator: Emulator) -> None:
        unreachable = {**settings_for(emulator), "CENTRALAUTH_BASE_URL": "http://127.0.0.1:1"}
        answer = flask("--debug", "centralauth", "check", **unreachable)
        assert answer.returncode == 1
        assert re.search(r"problem +http://127\.0\.0\.1:1 gives no answer", answer.stdout)

    def test_no_secret_is_printed(self, flask: Command, emulator: Emulator) -> None:
        settings = {**settings_for(emulator), "CENTRALAUTH_CLIENT_SECRET": SECRET}
        for more in ({}, {"CENTRALAUTH_TIMEOUT": "-1"}, {"CENTRALAUTH_BASE_URL": "http://127.0.0.1:1"}):
            for command in ("check", "settings"):
                answer = flask("centralauth", command, **{**settings, **more})
                assert "sentinel" not in answer.stdout + answer.stderr

    def test_lines_fit_the_terminal_and_align(self, flask: Command, emulator: Emulator) -> None:
        answer = flask("centralauth", "check", COLUMNS="", **settings_for(emulator))
        lines = answer.stdout.splitlines()
        assert max(map(len, lines)) <= 100
        details = [line for line in lines if line.startswith(" ")]
        assert details
        assert all(re.match(r"  (ok|unknown|warning|problem| {7}) +\S", line) for line in details)
        assert all(line.index(line[11:].lstrip()) == 11 for line in details)

    def test_colours_are_for_terminals(
        self, flask: Command, environment: dict[str, str], tmp_path: Path
    ) -> None:
        assert "\x1b[" not in flask("centralauth", "check").stdout
        shown = in_terminal([sys.executable, "-m", "flask", "centralauth", "check"], tmp_path, environment)
        assert "\x1b[31mproblem" in shown


def in_terminal(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    """What a command writes when its output is a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    # Linux reports the closed terminal as an error.
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:
        pass
    os.close(ours)
    process.wait(timeout=30)
    return shown.decode()


class TestRoutes:
    def test_each_route_with_its_methods_and_purpose(self, make_app: MakeApp) -> None:
        app = make_app(CENTRALAUTH_URL_PREFIX="/sign-in")
        answer = app.test_cli_runner().invoke(args=["centralauth", "routes"])
        assert answer.exit_code == 0
        rows = {line.split()[0]: line for line in answer.output.splitlines()}
        for name in ("login", "callback", "user", "logout", "affirm"):
            assert f"centralauth.{name}" in rows[f"/sign-in/{name}"]
        assert "GET, POST" in rows["/sign-in/logout"]
        assert rows["/sign-in/login"].endswith(".")

    def test_refused_settings_are_listed(self, flask: Command) -> None:
        answer = flask("centralauth", "routes")
        assert answer.returncode == 1
        assert "CENTRALAUTH_CLIENT_ID: is missing" in answer.stderr
        assert "Traceback" not in answer.stderr


class TestSettings:
    def test_every_setting_in_force(self, make_app: MakeApp) -> None:
        from flask_centralauth.setting_table import SETTINGS

        rows = settings_shown(make_app(CENTRALAUTH_USER_TTL=30))
        assert {setting.key for setting in SETTINGS} <= rows.keys()
        assert rows["CENTRALAUTH_USER_TTL"].split() == ["30.0", "set"]
        assert rows["CENTRALAUTH_TIMEOUT"].split() == ["5.0", "default"]
        assert rows["SESSION_COOKIE_NAME"].split() == ["'session'"]

    def test_secrets_are_masked(self, make_app: MakeApp) -> None:
        rows = settings_shown(
            make_app(CENTRALAUTH_CLIENT_SECRET=SECRET, SECRET_KEY=SECRET_KEY, SECRET_KEY_FALLBACKS=["old"])
        )
        assert rows["CENTRALAUTH_CLIENT_SECRET"].split() == ["********", "set"]
        assert rows["SECRET_KEY"].split(maxsplit=1) == ["********", "set, and 1 older"]
        assert not any("sentinel" in row for row in rows.values())

    def test_a_secret_that_is_not_set_is_no_mask(self, make_app: MakeApp) -> None:
        assert settings_shown(make_app())["CENTRALAUTH_AUTOLOGIN_KEY"].split() == ["None", "default"]

        rows = settings_shown(
            make_app(
                CENTRALAUTH_CALLBACK_URL="https://a.example/api/auth/callback",
                CENTRALAUTH_AUTOLOGIN_DOMAINS=["a.example", "b.example"],
                CENTRALAUTH_AUTOLOGIN_KEY="sentinel-of-the-key-that-domains-share",
            )
        )
        assert rows["CENTRALAUTH_AUTOLOGIN_KEY"].split() == ["********", "set"]
        assert not any("sentinel" in row for row in rows.values())

    def test_a_secret_that_is_being_replaced_is_seen_to_be(self, make_app: MakeApp) -> None:
        assert "CENTRALAUTH_CLIENT_SECRETS" not in settings_shown(make_app())

        rows = settings_shown(make_app(CENTRALAUTH_CLIENT_SECRETS=[SECRET, f"older-{SECRET}"]))
        assert rows["CENTRALAUTH_CLIENT_SECRETS"].split(maxsplit=1) == ["********", "set, 3 in force"]
        assert not any("sentinel" in row for row in rows.values())

    def test_a_function_is_called_one(self, make_app: MakeApp) -> None:
        rows = settings_shown(make_app(CENTRALAUTH_THEME=lambda: None))
        assert rows["CENTRALAUTH_THEME"].startswith("a function of the application")


def settings_shown(app: Flask) -> dict[str, str]:
    answer = app.test_cli_runner().invoke(args=["centralauth", "settings"])
    assert answer.exit_code == 0
    return {
        name: row.strip() for name, _, row in (line.partition(" ") for line in answer.output.splitlines())
    }


class TestEmulator:
    def test_it_needs_no_application(self, flask: Command) -> None:
        answer = flask("centralauth", "emulator", "--port", "70000", app="raise RuntimeError")
        assert answer.returncode == 2
        assert "--port 70000 is no port" in answer.stderr

    def test_its_options_are_its_own(self, flask: Command) -> None:
        answer = flask("centralauth", "emulator", "--help")
        assert answer.returncode == 0
        assert "--autologin" in answer.stdout
