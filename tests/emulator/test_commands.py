"""Commands that ask a running emulator, files it starts from, https from the command line."""

from __future__ import annotations

import ipaddress
import json
import os
import shlex
import signal
import socket
import ssl
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from flask_centralauth.emulator import Emulator
from flask_centralauth.emulator.cli import emulator_from, main, parser
from tests.services.programs import Program

from .application import ORIGIN, Application
from .process import EmulatorProcess

ORIGINS = ("--domain", ORIGIN)


def said(emulator: Emulator, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what a command prints."""
    assert main([arguments[0], "--emulator", emulator.url, *arguments[1:]]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


def test_a_token_of_somebody(
    application: Application, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    token = said(
        emulator, capsys, "token", *ORIGINS, "--user", "zoe@example.com", "--ip", "192.0.2.7"
    ).strip()
    assert application.userinfo(token, auth_ip="192.0.2.7", user_agent="curl").json()["email"] == (
        "zoe@example.com"
    )


def test_an_emulator_with_a_control_token_wants_it(capsys: pytest.CaptureFixture[str]) -> None:
    with Emulator(control_token="let me in") as guarded:
        assert main(["token", "--emulator", guarded.url]) == 2
        assert "present the control token" in capsys.readouterr().err
        assert said(guarded, capsys, "token", "--control-token", "let me in").count(".") == 4


def test_the_documented_calls_can_be_pasted(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    Program("curl", "curl", ("curl",)).require()
    lines = said(emulator, capsys, "curl", *ORIGINS).splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        "# a code for tokens",
        "# the user behind a token",
        "# the end of the session",
    ]
    answers = [
        subprocess.run(
            [*shlex.split(line), "--noproxy", "*", "-s"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
        for line in lines
        if line.startswith("curl ")
    ]
    assert json.loads(answers[0])["errorCode"] == "sessionMissing"
    assert json.loads(answers[1])["email"] == "alice@example.com"
    assert answers[2] == ""
    assert not emulator.sessions.active


def test_what_it_remembers_moves_to_another(
    application: Application, emulator: Emulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    token = application.token(user="zoe@example.com")
    file = tmp_path / "state.json"
    assert said(emulator, capsys, "export", str(file)) == ""
    assert file.stat().st_mode & 0o077 == 0
    with Emulator() as other:
        assert said(other, capsys, "import", str(file)) == ""
        elsewhere = Application(other)
        assert elsewhere.userinfo(token).json()["email"] == "zoe@example.com"
        elsewhere.http.close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["token", "--emulator", "x"], "'x' is not an http(s) URL"),
        (["token", "--domain", "localhost"], "'localhost' is not an http(s) URL"),
        (["token", "--emulator", "http://127.0.0.1:1"], "there is no emulator at http://127.0.0.1:1"),
        (["import", "/nonexistent/state.json"], "cannot read /nonexistent/state.json"),
    ],
)
def test_commands_that_cannot_work_are_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert told in printed.err


def test_what_the_emulator_refuses_is_told(
    emulator: Emulator, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "state.json"
    for content, told in (
        ("{", "is not JSON"),
        ("[]", "holds no exported state"),
        ("{}", "no exported state"),
    ):
        file.write_text(content)
        assert main(["import", "--emulator", emulator.url, str(file)]) == 2
        assert told in capsys.readouterr().err
    assert main(["token", "--emulator", emulator.url, "--user", "nobody"]) == 2
    assert "the emulator says: 'nobody' is not an e-mail address" in capsys.readouterr().err
    assert main(["export", "--emulator", emulator.url, "/nonexistent/state.json"]) == 2
    assert "cannot write /nonexistent/state.json" in capsys.readouterr().err


# Files


CONFIG = {
    "client": {"id": "org1"},
    "whitelist": ["https://app.example"],
    "settings": {"max_session_time": 60, "hijack_ip": False},
    "users": ["dave@example.com"],
}
TOML = """
whitelist = ["https://app.example"]
users = ["dave@example.com", {email = "erin@example.com", blocked = true}]
client.id = "org1"
settings = {max_session_time = 60, hijack_ip = false}
"""


def started(*arguments: str) -> Emulator:
    return emulator_from(parser().parse_args(arguments))


def test_a_configuration_and_a_file_of_users_go_together(tmp_path: Path) -> None:
    config, users = tmp_path / "emulator.json", tmp_path / "users.json"
    config.write_text(json.dumps(CONFIG))
    users.write_text(json.dumps({"settings": {"max_session_time": 90}, "users": ["erin@example.com"]}))
    emulator = started("--config", str(config), "--users", str(users), "--user", "fred@example.com")
    assert (emulator.client_id, emulator.settings.whitelist) == ("org1", ("https://app.example",))
    assert (emulator.settings.max_session_time, emulator.settings.hijack_ip) == (90, False)
    assert [user.email.partition("@")[0] for user in emulator.users] == ["dave", "erin", "fred"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="this Python reads no TOML")
def test_a_configuration_may_be_toml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text(TOML)
    emulator = started("--config", str(config))
    assert (emulator.client_id, emulator.settings.max_session_time) == ("org1", 60)
    assert [user.blocked for user in emulator.users] == [False, True]
    config.write_text("= 1")
    assert main(["--config", str(config)]) == 2
    assert "is not TOML" in capsys.readouterr().err


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="this Python reads TOML")
def test_where_toml_is_unknown_that_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "emulator.toml"
    config.write_text(TOML)
    assert main(["--config", str(config)]) == 2
    assert "TOML needs Python 3.11" in capsys.readouterr().err


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_goes_on_from_where_it_was_stopped(tmp_path: Path, stop: signal.Signals) -> None:
    file = tmp_path / "state.json"
    emulator = EmulatorProcess("--quiet", "--state", str(file))
    url, headers = f"{emulator.url}/_emulator/users", {"X-Emulator-Control": "1"}
    requests.post(url, json={"email": "new@example.com"}, headers=headers, timeout=20)
    assert emulator.stop(stop) == (0, "")
    again = started("--state", str(file))
    assert "new@example.com" in [user.email for user in again.users]
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_a_state_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    emulator = EmulatorProcess("--quiet", "--state", str(folder / "state.json"))
    folder.rmdir()
    exit_status, complaints = emulator.stop()
    assert (exit_status, complaints.count("\n")) == (2, 1)
    assert "cannot write" in complaints


@pytest.mark.parametrize(("content", "told"), [("{", "is not JSON"), ("{}", "no exported state")])
def test_a_state_that_makes_no_sense_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, told: str
) -> None:
    file = tmp_path / "state.json"
    file.write_text(content)
    assert main(["--state", str(file)]) == 2
    assert told in capsys.readouterr().err


# https


def test_https_with_a_certificate_of_this_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    emulator = EmulatorProcess("--tls", "--public-url", "https://auth.test")
    authority = tmp_path / "flask_centralauth" / "emulator-authority.pem"
    assert f"Authority to trust: {authority}\n" in emulator.said
    trusting = ssl.create_default_context(cafile=str(authority))
    for host in ("127.0.0.1", "localhost", "auth.test"):
        with (
            socket.create_connection(("127.0.0.1", emulator.port)) as plain,
            trusting.wrap_socket(plain, server_hostname=host) as secured,
        ):
            assert secured.version() in ("TLSv1.2", "TLSv1.3")
    emulator.stop()


def test_an_authority_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.touch()
    done = subprocess.run(
        [sys.executable, "-m", "flask_centralauth.emulator", "--port", "0", "--tls"],
        env={**os.environ, "XDG_CACHE_HOME": str(file)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cannot write" in done.stderr


def test_https_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    own, key = tmp_path / "own.pem", tmp_path / "key.pem"
    _write_certificate(own, key)
    with started("--port", "0", "--cert", str(own), "--key", str(key)) as emulator:
        assert emulator.ca_certificate is None
        with requests.Session() as http:
            http.trust_env = False
            reply = http.get(f"{emulator.url}/healthz", verify=str(own), timeout=20)
        assert reply.json() == {"status": "ok"}


def _write_certificate(path: Path, key_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(timezone.utc)
    own = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(own.public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--cert", "a.pem"], "--cert and --key belong together"),
        (["--key", "a.pem"], "--cert and --key belong together"),
        (["--cert", os.devnull, "--key", os.devnull], "are no certificate and its key"),
        (["--cert", "/nonexistent/a", "--key", "/nonexistent/b"], "are no certificate and its key"),
    ],
)
def test_certificates_that_are_none_are_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert told in capsys.readouterr().err
