"""Everything remembered, kept and moved; and the description of what can be called."""

from __future__ import annotations

import json

import pytest
import requests

from flask_centralauth.emulator import Emulator

from .application import ORIGIN, Application

CLIENT = {"id": "a", "secret": "s" * 32}


def test_another_emulator_goes_on_with_it(application: Application, emulator: Emulator) -> None:
    emulator.add_user(email="carol@example.com", blocked=True, nickname="Caro")
    emulator.configure(max_inactivity_time=600)
    token = application.token(user="carol@example.com")
    before = application.userinfo(token).json()
    state = json.loads(json.dumps(emulator.export()))
    with Emulator() as other:
        other.load(state)
        assert other.settings == emulator.settings
        moved = Application(other)
        after = moved.userinfo(token).json()
        moved.http.close()
    assert {**after, "gravatar": ""} == {**before, "gravatar": ""}


def test_over_http(application: Application, emulator: Emulator) -> None:
    token = application.token()
    url = f"{emulator.url}/_emulator"
    state = requests.get(f"{url}/export", timeout=20).json()
    emulator.reset()
    assert application.userinfo(token).status_code == 401
    reply = requests.post(f"{url}/import", json=state, headers={"X-Emulator-Control": "1"}, timeout=20)
    assert reply.status_code == 200
    assert application.userinfo(token).status_code == 200


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"version": 2},
        {"version": 1},
        {"version": 1, "settings": {"moon": 1}, "clients": [], "users": [], "sessions": []},
        {"version": 1, "settings": {}, "clients": [], "users": [], "sessions": []},
        {"version": 1, "settings": {}, "clients": [1], "users": [], "sessions": []},
        {
            "version": 1,
            "settings": {},
            "clients": [{"id": "a", "secret": "s" * 32}],
            "users": [{}],
            "sessions": [],
        },
        {
            "version": 1,
            "settings": {},
            "clients": [{"id": "a", "secret": "s" * 32}],
            "users": [],
            "sessions": [{}],
        },
    ],
)
def test_anything_else_is_refused_and_changes_nothing(emulator: Emulator, state: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"state|setting"):
        emulator.load(state)
    assert len(emulator.users) == 4
    assert emulator.settings.whitelist == (ORIGIN,)


def test_the_description_knows_every_call(emulator: Emulator) -> None:
    described = requests.get(f"{emulator.url}/_emulator/openapi.json", timeout=20).json()
    paths = described["paths"]
    assert "post" in paths["/api/v1/verify"]
    assert set(paths["/_emulator/users/{who}"]) == {"get", "patch", "delete"}
    assert described["servers"] == [{"url": emulator.url}]
    without = [
        rule.rule
        for rule in emulator.app.url_map.iter_rules()
        if "/ui" not in rule.rule
        and rule.endpoint != "static"
        and not emulator.app.view_functions[rule.endpoint].__doc__
    ]
    assert without == []
