"""The check command: the extension withstands every attack, a careless application none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flask_centralauth.emulator import Emulator
from flask_centralauth.emulator.attacks import ATTACKS, ATTACKS_IN_ITS_NAME
from flask_centralauth.emulator.cli import main

from .weak_application import weak_app

if TYPE_CHECKING:
    from tests.conftest import MakeApp, RunServer


def test_the_extension_withstands_every_attack(
    emulator: Emulator, make_app: MakeApp, live_server: RunServer, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.configure(whitelist=["http://*.example"], allow_localhost=True)
    server = live_server(make_app(TRUSTED_HOSTS=["127.0.0.1"]))
    status = main(["check", server.url, "--emulator", emulator.url])
    said = capsys.readouterr().out
    assert "FAILED" not in said
    assert said.count("ok ") == len(ATTACKS + ATTACKS_IN_ITS_NAME)
    assert "error " not in said
    assert status == 0


def test_a_careless_application_withstands_none(
    emulator: Emulator, live_server: RunServer, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.configure(mode="compat", whitelist=[])
    server = live_server(weak_app(emulator))
    assert main(["check", server.url, "--emulator", emulator.url]) == 1
    said = capsys.readouterr().out
    withstood = [line for line in said.splitlines() if line.startswith("ok ")]
    assert withstood == []
    assert said.count("FAILED") == len(ATTACKS + ATTACKS_IN_ITS_NAME)
    for finding in ("error   L01", "warning L04", "warning L10"):
        assert finding in said


def test_what_an_application_does_not_offer_is_not_tried(
    emulator: Emulator, make_app: MakeApp, live_server: RunServer, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator.configure(whitelist=["http://*.example"], allow_localhost=True)
    app = make_app(TRUSTED_HOSTS=["127.0.0.1"])
    app.view_functions["centralauth.affirm"] = lambda: ("", 404)
    server = live_server(app)
    assert main(["check", server.url, "--emulator", emulator.url]) == 0
    said = capsys.readouterr().out
    assert "skipped ATK-93" in said
    assert "there is no" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nonsense"], "is not an http(s) URL"),
        (["http://127.0.0.1:1", "--emulator", "x"], "is not an http(s) URL"),
        (["http://127.0.0.1:1", "--emulator", "http://127.0.0.1:1"], "does not answer"),
    ],
)
def test_what_cannot_be_tried_is_told(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *arguments]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert said.out == ""


def test_an_application_without_logins_is_told(
    emulator: Emulator, live_server: RunServer, capsys: pytest.CaptureFixture[str]
) -> None:
    other = live_server(emulator.app)
    assert main(["check", other.url, "--emulator", emulator.url]) == 2
    assert "leads to nowhere" in capsys.readouterr().err
