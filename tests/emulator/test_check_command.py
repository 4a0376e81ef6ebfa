"""The check command: the extension withstands every attack, a careless application none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import requests
from flask import redirect, request, session

from flask_centralauth.emulator import Emulator
from flask_centralauth.emulator.attacks import ATTACKS, ATTACKS_IN_ITS_NAME
from flask_centralauth.emulator.cli import main

from .weak_application import weak_app

if TYPE_CHECKING:
    from tests.conftest import MakeApp, RunServer

View = Callable[[], Any]


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


def broken_for_strangers(emulator: Emulator, callback: View) -> View:
    return lambda: callback() if is_awaited() else ("broken", 500)


def redeems_for_strangers(emulator: Emulator, callback: View) -> View:
    def redeem() -> Any:
        if is_awaited():
            return callback()
        form = {"code": request.args.get("code", ""), "redirect_uri": request.base_url}
        requests.post(f"{emulator.url}/api/v1/verify", data=form, timeout=20)
        return "nobody is logged in by it", 400

    return redeem


def logs_out_when_opened_twice(emulator: Emulator, callback: View) -> View:
    def once() -> Any:
        if is_awaited():
            return callback()
        session.clear()
        return "", 400

    return once


def passes_words_on(emulator: Emulator, callback: View) -> View:
    def twice() -> Any:
        if "error" in request.args and "again" not in request.args:
            return redirect(f"{request.path}?error=x&again=1")
        return "Call 555-0100" if "again" in request.args else callback()

    return twice


def leads_on(emulator: Emulator, callback: View) -> View:
    """Errors lead elsewhere, and from there in a circle: no words of a stranger are on the way."""
    return lambda: redirect(request.path + "?error=x") if "error" in request.args else callback()


def is_awaited() -> bool:
    return any("centralauth_" in name for name in request.cookies)


@pytest.mark.parametrize(
    ("weakness", "told"),
    [
        (broken_for_strangers, "GET /api/auth/callback answered 500"),
        (redeems_for_strangers, "the code was sent to verify"),
        (logs_out_when_opened_twice, "opened again, the callback logs out"),
        (passes_words_on, "words from the query of /callback are shown or passed on"),
        (leads_on, ""),
    ],
)
def test_each_way_to_be_weak_is_told(
    emulator: Emulator,
    make_app: MakeApp,
    live_server: RunServer,
    capsys: pytest.CaptureFixture[str],
    weakness: Callable[[Emulator, View], View],
    told: str,
) -> None:
    emulator.configure(whitelist=["http://*.example"], allow_localhost=True)
    app = make_app(TRUSTED_HOSTS=["127.0.0.1"])
    app.view_functions["centralauth.callback"] = weakness(
        emulator, app.view_functions["centralauth.callback"]
    )
    server = live_server(app)
    assert main(["check", server.url, "--emulator", emulator.url]) == (1 if told else 0)
    said = capsys.readouterr().out
    assert told in said
    assert ("FAILED" in said) is bool(told)


@pytest.mark.parametrize(
    ("user", "told"),
    [
        (lambda: "null", "a plain login does not work: after it"),
        (lambda: "<html>", "does not answer JSON"),
        (lambda: ("", 500), "answered 500"),
    ],
)
def test_a_plain_login_has_to_work_first(
    emulator: Emulator,
    make_app: MakeApp,
    live_server: RunServer,
    capsys: pytest.CaptureFixture[str],
    user: View,
    told: str,
) -> None:
    emulator.configure(whitelist=["http://*.example"], allow_localhost=True)
    app = make_app()
    app.view_functions["centralauth.user"] = user
    assert main(["check", live_server(app).url, "--emulator", emulator.url]) == 2
    assert told in capsys.readouterr().err


def test_an_emulator_that_is_gone_is_told(
    make_app: MakeApp, emulator: Emulator, live_server: RunServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with Emulator(control=False) as silent:
        settings: dict[str, Any] = dict(silent.config)
        app = make_app(**settings)
        assert main(["check", live_server(app).url, "--emulator", silent.url]) == 2
    assert "the emulator says" in capsys.readouterr().err


def test_an_application_without_logins_is_told(
    emulator: Emulator, live_server: RunServer, capsys: pytest.CaptureFixture[str]
) -> None:
    other = live_server(emulator.app)
    assert main(["check", other.url, "--emulator", emulator.url]) == 2
    assert "leads to nowhere" in capsys.readouterr().err
