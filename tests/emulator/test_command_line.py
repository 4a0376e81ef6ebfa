"""``python -m flask_centralauth.emulator``: what it prints, what it refuses in one sentence."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
import requests

from flask_centralauth.emulator.cli import emulator_from, greeting, main, parser

from .process import EmulatorProcess


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one sentence a command line is refused with."""
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return said.err


def test_it_runs_and_says_what_an_application_needs() -> None:
    emulator = EmulatorProcess("--user", "carol@example.com")
    assert requests.get(f"{emulator.url}/healthz", timeout=20).json() == {"status": "ok"}
    assert emulator.stop() == (0, "")
    said = "".join(emulator.said)
    assert f"CENTRALAUTH_BASE_URL={emulator.url}" in said
    assert "CENTRALAUTH_CLIENT_ID=" in said
    assert "CENTRALAUTH_CLIENT_SECRET=" in said
    assert "/_emulator/ui" in said


def test_from_its_start_to_the_first_login_it_works_for_less_than_a_second() -> None:
    before = os.times()
    emulator = EmulatorProcess("--quiet", "--autologin", "a@example.com")
    query = {
        "client_id": "emulator",
        "response_type": "code",
        "redirect_uri": "http://localhost:5000/api/auth/callback",
        "state": "s" * 43,
        "code_challenge": "c" * 43,
        "code_challenge_method": "S256",
    }
    reply = requests.get(f"{emulator.url}/login", params=query, allow_redirects=False, timeout=20)
    assert "code=" in reply.headers["Location"]
    emulator.stop()
    after = os.times()
    spent = sum(after[2:4]) - sum(before[2:4])
    print(f"processor time from start to the first answered login, and the end: {spent:.2f} s")
    assert 0 < spent < 1


def test_options_become_an_emulator(tmp_path: Path) -> None:
    seed_file = tmp_path / "seed.json"
    seed_file.write_text(
        json.dumps(
            {
                "whitelist": ["https://*.example.test"],
                "settings": {"max_session_time": 60, "organization_name": "Acme"},
                "users": ["dave@example.com", {"email": "erin@example.com", "blocked": True}],
            }
        )
    )
    emulator = emulator_from(
        parser().parse_args(
            [
                *(
                    "--users",
                    str(seed_file),
                    "--user",
                    "carol@example.com",
                    "--autologin",
                    "carol@example.com",
                ),
                *("--client", "org1:" + "s" * 32, "--whitelist", "http://localhost:5000", "--mode", "compat"),
                *("--seed", "1", "--login-ip", "192.0.2.1", "--no-hijack-protection"),
            ]
        )
    )
    assert (emulator.client_id, emulator.client_secret) == ("org1", "s" * 32)
    assert emulator.settings.whitelist == ("https://*.example.test", "http://localhost:5000")
    assert (emulator.settings.max_session_time, emulator.settings.mode) == (60, "compat")
    assert (emulator.settings.login_ip, emulator.settings.hijack_ip) == ("192.0.2.1", False)
    assert [user.email for user in emulator.users] == [
        "dave@example.com",
        "erin@example.com",
        "carol@example.com",
    ]
    assert emulator.users[0].id == "user_0001"
    emulator.reset()
    assert emulator.service.autologin == "carol@example.com"
    assert "Every origin" not in greeting(emulator)


def test_it_can_begin_badly() -> None:
    options = ["--fault", '{"endpoint": "userinfo", "status": 500}', "--scenario", "outage"]
    emulator = emulator_from(parser().parse_args([*options, "--freeze-time", "2030-01-01"]))
    assert len(emulator.service.faults) == 6
    assert emulator.clock.now().year == 2030


def test_the_control_api_can_be_left_out() -> None:
    emulator = emulator_from(parser().parse_args(["--no-control"]))
    assert "Dashboard" not in greeting(emulator)
    assert emulator.app.test_client().get("/_emulator/config").status_code == 404


@pytest.mark.parametrize(("auth_ip", "status"), [("192.0.2.1", 0), ("0.0.0.0", 1)])
def test_bad_clients_can_fail_a_pipeline(auth_ip: str, status: int) -> None:
    emulator = EmulatorProcess("--quiet", "--exit-on-lint")
    headers = {"auth-ip": auth_ip, "user-agent": "a browser"}
    url = f"{emulator.url}/api/v1/userinfo?domain=https://app.example"
    requests.post(url, headers=headers, timeout=20)
    exit_status, complaints = emulator.stop()
    assert exit_status == status
    assert ("error: L08 auth-ip is the placeholder 0.0.0.0 (request 1)" in complaints) is bool(status)


def test_a_list_of_users_is_a_seed_file_too(tmp_path: Path) -> None:
    seed_file = tmp_path / "users.json"
    seed_file.write_text('["dave@example.com"]')
    emulator = emulator_from(parser().parse_args(["--users", str(seed_file)]))
    assert [user.email for user in emulator.users] == ["dave@example.com"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "is not JSON"),
        ("1", "must hold a list of users"),
        ('{"colour": 1}', "there is no 'colour'"),
        ('{"users": {}}', "users must be a list"),
        ('{"settings": []}', "settings must be an object"),
        ('{"users": [1]}', "a user is an e-mail address"),
        ('{"users": ["nobody"]}', "is not an e-mail address"),
        ('{"users": [{"email": "a@example.com", "blocked": "yes"}]}', "blocked must be true or false"),
        ('{"settings": {"max_session_time": "long"}}', "max_session_time cannot be 'long'"),
        ('{"settings": {"moon": 1}}', "there is no setting 'moon'"),
        ('{"settings": {"mode": "lax"}}', "mode is 'lax'"),
        ('{"client": {"id": "x", "secret": "short"}}', "a client secret has"),
        ('{"client": {"id": 1}}', "client id must be text"),
        ('{"whitelist": [1]}', "1 is not an origin"),
        ("\xff", "is not JSON"),
    ],
)
def test_a_seed_file_that_makes_no_sense_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, told: str
) -> None:
    seed_file = tmp_path / "seed.json"
    seed_file.write_bytes(content.encode("latin-1"))
    assert told in refused(["--users", str(seed_file)], capsys)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--users", "/nonexistent/users.json"], "cannot read /nonexistent/users.json"),
        (["--client", "only-an-id"], "--client is ID:SECRET"),
        (["--client", "id:short"], "a client secret has"),
        (["--whitelist", "localhost:5000"], "is not an origin"),
        (["--whitelist", "https://a.example/path"], "is not an origin"),
        (["--autologin", "nobody"], "is not an e-mail address"),
        (["--host", "0.0.0.0"], "add --allow-remote"),
        (["--host", "emulator.example"], "add --allow-remote"),
        (["--public-url", "not a url"], "--public-url"),
        (["--port", "70000"], "--port"),
        (["--fault", "{"], "is not JSON"),
        (["--fault", "[]"], "is not an object with an endpoint"),
        (["--fault", '{"endpoint": "moon"}'], "there is no endpoint 'moon'"),
        (["--freeze-time", "soon"], "is not a time"),
    ],
)
def test_what_cannot_work_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert told in refused(arguments, capsys)


def test_a_port_in_use_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused(["--port", str(taken.getsockname()[1])], capsys)
    assert "cannot answer on 127.0.0.1" in said
    assert "--port 0" in said


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--moon"])
    assert left.value.code == 2
    assert "--moon" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["FLASK_ENV", "CENTRALAUTH_ENV"])
def test_it_does_not_start_in_production(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv(name, "Production")
    assert "does not start there" in refused(["--port", "0"], capsys)
    assert os.environ[name] == "Production"


def test_other_machines_are_let_in_only_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    emulator_from(parser().parse_args(["--host", "0.0.0.0", "--allow-remote"]))
    assert "Warning" in capsys.readouterr().err
