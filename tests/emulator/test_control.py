"""The control API: the same operations over HTTP, and who may use them."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from flask_centralauth.emulator import Emulator
from flask_centralauth.emulator.scenarios import SCENARIOS

from .application import BROWSER, IP, ORIGIN, Application, error_of, query_of

HEADERS = {"X-Emulator-Control": "1"}


class Control:
    """A test in another language."""

    def __init__(self, emulator: Emulator) -> None:
        self.url = f"{emulator.url}/_emulator"

    def ask(self, method: str, path: str, body: object = None, **how: Any) -> requests.Response:
        how.setdefault("headers", HEADERS)
        return requests.request(method, self.url + path, json=body, timeout=20, **how)

    def get(self, path: str) -> Any:
        reply = self.ask("GET", path)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def post(self, path: str, body: object = None) -> Any:
        reply = self.ask("POST", path, body)
        assert reply.status_code in (200, 201), reply.text
        return reply.json()


@pytest.fixture
def control(emulator: Emulator) -> Control:
    return Control(emulator)


CHANGES = [
    ("PATCH", "/config"),
    ("POST", "/reset"),
    ("POST", "/users"),
    ("POST", "/clock"),
    ("POST", "/faults"),
    ("DELETE", "/faults"),
    ("DELETE", "/requests"),
    ("POST", "/authorize"),
    ("POST", "/token"),
    ("POST", "/scenario/outage"),
]


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_another_site_cannot_change_anything(control: Control, method: str, path: str) -> None:
    reply = control.ask(method, path, {}, headers={})
    assert (reply.status_code, error_of(reply)) == (403, "noPermission")
    form = requests.post(control.url + path, data={"form_token": "guess"}, timeout=20)
    assert form.status_code in (403, 405)


def test_what_curl_sends_without_a_content_type_is_read(control: Control, emulator: Emulator) -> None:
    """`curl --data '{...}'` calls it a form."""
    headers = {**HEADERS, "Content-Type": "application/x-www-form-urlencoded"}
    sent = json.dumps({"email": "carol@example.com"})
    reply = requests.post(f"{control.url}/users", data=sent, headers=headers, timeout=20)
    assert reply.status_code == 201, reply.text
    assert "carol@example.com" in [user.email for user in emulator.users]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9797", "127.0.0.1.evil.example", "[::2]", "[", "@"]
)
def test_another_name_for_this_machine_is_refused(control: Control, emulator: Emulator, host: str) -> None:
    parts = urlsplit(emulator.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    connection.request("GET", "/_emulator/config", headers={"Host": host})
    assert connection.getresponse().status in (400, 403)
    connection.close()
    reply = control.ask("GET", "/config", headers={"Host": f"localhost:{parts.port}"})
    assert reply.status_code == 200


def test_no_other_origin_may_read(control: Control) -> None:
    reply = control.ask("GET", "/config", headers={"Origin": "https://evil.example"})
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]


def test_a_control_token_guards_everything() -> None:
    with Emulator(control_token="open sesame") as emulator:
        control = Control(emulator)
        assert control.ask("GET", "/config").status_code == 401
        assert control.ask("GET", "/config", headers={"Authorization": "Bearer wrong"}).status_code == 401
        good = {"Authorization": "Bearer open sesame", **HEADERS}
        assert control.ask("POST", "/reset", headers=good).status_code == 200
        assert control.ask("GET", "/config", headers={}, auth=("anybody", "open sesame")).status_code == 200


def test_it_can_be_left_out() -> None:
    with Emulator(control=False) as emulator:
        assert Control(emulator).ask("GET", "/health").status_code == 404


def test_a_login_and_what_was_sent(control: Control, application: Application) -> None:
    body = {"url": application.login_url(), "user": "bob@example.com", "ip": IP, "user_agent": BROWSER}
    code = query_of(control.post("/authorize", body)["callback"])["code"]
    token = application.verify(code).json()["access_token"]
    assert application.userinfo(token).json()["email"] == "bob@example.com"
    seen = control.get("/requests?kind=api")["requests"]
    assert [entry["endpoint"] for entry in seen] == ["verify", "userinfo"]
    assert all(entry["verdict"] == "ok" and entry["checks"] for entry in seen)
    everything = json.dumps(control.get("/requests"))
    for secret in (code, token, application.verifier, application.emulator.client_secret):
        assert secret not in everything
    assert control.get(f"/requests/{seen[0]['number']}") == seen[0]
    assert control.get(f"/requests?since={seen[0]['number']}&endpoint=userinfo")["requests"] == [seen[1]]
    assert control.ask("DELETE", "/requests").status_code == 200
    assert control.get("/requests") == {"requests": []}
    assert control.ask("GET", "/requests/99").status_code == 404


def test_secrets_are_shown_when_that_is_asked_for() -> None:
    with Emulator(show_secrets=True) as emulator:
        application = Application(emulator)
        code = application.code()
        assert code in json.dumps(Control(emulator).get("/requests"))
        application.http.close()


def test_a_login_that_is_refused(control: Control, application: Application) -> None:
    reply = control.ask("POST", "/authorize", {"url": application.login_url(redirect_uri="x")})
    assert (reply.status_code, error_of(reply)) == (400, "callbackUrlInvalid")


def test_tokens_without_an_application(control: Control, application: Application) -> None:
    tokens = control.post("/token", {"user": "carol@example.com", "domain": ORIGIN})
    assert application.userinfo(tokens["access_token"]).json()["email"] == "carol@example.com"


def test_users(control: Control) -> None:
    made = control.post("/users", {"email": "carol@example.com", "blocked": True})
    assert control.get("/users/carol@example.com") == control.get(f"/users/{made['id']}") == made
    changed = control.ask(
        "PATCH", "/users/carol@example.com", {"email": "caro@example.com", "verified": False}
    )
    assert changed.json()["email"] == "caro@example.com"
    assert control.ask("GET", "/users/carol@example.com").status_code == 404
    taken = control.ask("PATCH", "/users/caro@example.com", {"email": "alice@example.com"})
    assert (taken.status_code, error_of(taken)) == (400, "entityInvalid")
    assert control.ask("DELETE", "/users/caro@example.com").status_code == 200
    assert "caro@example.com" not in str(control.get("/users"))


def test_sessions(control: Control, application: Application) -> None:
    token = application.token()
    session = control.get("/sessions")["sessions"][-1]
    assert (session["email"], session["active"], session["ip"]) == ("alice@example.com", True, IP)
    control.post(f"/sessions/{session['id']}/rebind", {"ip": "192.0.2.99"})
    assert application.userinfo(token, auth_ip="192.0.2.99").status_code == 200
    control.post(f"/sessions/{session['id']}/unverify")
    assert error_of(application.userinfo(token, auth_ip="192.0.2.99")) == "sessionNotVerified"
    control.post(f"/sessions/{session['id']}/expire")
    assert error_of(application.userinfo(token, auth_ip="192.0.2.99")) == "sessionExpired"
    assert control.ask("POST", f"/sessions/{session['id']}/bury").status_code == 404


def test_clock(control: Control, emulator: Emulator) -> None:
    assert control.post("/clock", {"advance": 3600})["offset"] == pytest.approx(3600, abs=5)
    frozen = control.post("/clock", {"set": "2030-01-01T00:00:00Z", "freeze": True})
    assert frozen["frozen"] is True
    assert control.get("/clock")["now"].startswith("2030-01-01T00:00:0")
    control.post("/clock", {"advance": 60})
    assert emulator.clock.now().minute == 1
    assert control.post("/clock", {"freeze": False})["frozen"] is False


def test_clients_and_secrets(control: Control, application: Application, emulator: Emulator) -> None:
    assert control.post("/clients", {"id": "other", "secret": "o" * 48})["id"] == "other"
    old = emulator.client_secret
    waiting = control.ask("PATCH", f"/clients/{emulator.client_id}", {"rotate": True}).json()
    assert (waiting["secret"], len(waiting["nextSecret"])) == (old, 32)
    active = control.ask("PATCH", f"/clients/{emulator.client_id}", {"activate": True}).json()
    assert active["secret"] == waiting["nextSecret"] == emulator.client_secret
    assert len(control.get("/clients")["clients"]) == 2
    assert control.ask("PATCH", "/clients/nobody", {}).status_code == 404
    nothing_waits = control.ask("PATCH", "/clients/other", {"activate": True})
    assert error_of(nothing_waits) == "entityInvalid"


def test_faults(control: Control, application: Application) -> None:
    added = control.post("/faults", {"endpoint": "userinfo", "status": 503, "times": None})
    assert application.userinfo("x").status_code == 503
    assert control.get("/faults")["faults"][0]["hits"] == 1
    assert control.ask("DELETE", f"/faults/{added['number']}").status_code == 200
    assert control.ask("DELETE", f"/faults/{added['number']}").status_code == 404
    control.post(
        "/faults",
        {"endpoint": "userinfo", "action": {"type": "error", "code": "sessionInactive", "status": 401}},
    )
    assert error_of(application.userinfo("x")) == "sessionInactive"
    held = control.post("/faults", {"endpoint": "userinfo", "hang": True})
    control.post(f"/faults/{held['number']}/release")
    assert application.userinfo("x").status_code == 401
    control.ask("DELETE", "/faults")
    assert control.get("/faults") == {"faults": []}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_begins(control: Control, name: str) -> None:
    assert "faults" in control.post(f"/scenario/{name}")


def test_scenarios_do_what_they_say(control: Control, application: Application, emulator: Emulator) -> None:
    emulator.scenario("rate_limited")
    reply = application.userinfo("x")
    assert (error_of(reply), reply.headers["Retry-After"]) == ("tooManyRequests", "30")
    emulator.reset()
    emulator.scenario("type_confusion")
    assert [application.userinfo("x").json() for _ in range(3)] == [[], "text", 0]
    with pytest.raises(ValueError, match="there is no scenario"):
        emulator.scenario("sunshine")
    control.post("/scenario/clock_skew", {"seconds": -60})
    assert emulator.service.skew.total_seconds() == -60


def test_logins_decided_beforehand(control: Control, application: Application) -> None:
    control.post("/next", {"deny": True})
    control.post("/next", {"error": "somethingNobodyKnows"})
    control.post("/autologin", {"user": "bob@example.com"})
    outcomes = [query_of(application.visit(application.login_url()).headers["Location"]) for _ in range(3)]
    assert [outcome.get("error") for outcome in outcomes] == ["access_denied", "somethingNobodyKnows", None]
    control.post("/autologin", {"user": None})
    assert application.visit(application.login_url()).status_code == 200


def test_settings_and_reset(control: Control, emulator: Emulator) -> None:
    changed = control.ask("PATCH", "/config", {"max_session_time": 60, "hijack_protection": False}).json()
    assert (changed["max_session_time"], changed["hijack_ip"]) == (60, False)
    control.post("/users", {"email": "carol@example.com"})
    control.post("/reset", {"keep": ["users"]})
    assert emulator.settings.max_session_time == 86400
    assert emulator.service.find_user("carol@example.com")
    control.post("/reset")
    assert emulator.service.find_user("carol@example.com") is None


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/config", {"moon": 1}),
        ("PATCH", "/config", {"max_session_time": "long"}),
        ("PATCH", "/config", {"statuses": {"genericError": 42}}),
        ("PATCH", "/config", {"statuses": 500}),
        ("PATCH", "/config", {"whitelist": "https://app.example"}),
        ("PATCH", "/config", []),
        ("POST", "/reset", {"keep": ["moon"]}),
        ("POST", "/users", {}),
        ("POST", "/users", {"email": 1}),
        ("POST", "/users", {"email": "a@example.com", "blocked": "no"}),
        ("POST", "/users", {"email": "a\ud800@example.com"}),
        ("POST", "/clock", {"advance": "soon"}),
        ("POST", "/clock", {"advance": True}),
        ("POST", "/clock", {"set": "soon"}),
        ("POST", "/clock", {"advance": 1e300}),
        ("POST", "/faults", {}),
        ("POST", "/faults", {"endpoint": "moon"}),
        ("POST", "/faults", {"endpoint": "userinfo", "status": "many"}),
        ("POST", "/faults", {"endpoint": "userinfo", "times": "many"}),
        ("POST", "/faults", {"endpoint": "userinfo", "match": 1}),
        ("POST", "/faults", {"endpoint": "userinfo", "header": {"X": "a\r\nb"}}),
        ("POST", "/faults", {"endpoint": "userinfo", "action": 1}),
        ("POST", "/faults", {"endpoint": "userinfo", "delay": "x"}),
        ("POST", "/faults", {"endpoint": "userinfo", "probability": 2}),
        ("POST", "/authorize", {}),
        ("POST", "/authorize", {"url": 1}),
        ("POST", "/authorize", {"url": "https://["}),
        ("POST", "/token", {"user": "a@example.com"}),
        ("POST", "/token", {"user": "a@example.com", "domain": "x"}),
        ("POST", "/next", {}),
        ("POST", "/next", {"moon": 1}),
        ("POST", "/scenario/sunshine", None),
        ("POST", "/clients", {"id": "x", "secret": "short"}),
    ],
)
def test_nonsense_is_refused_with_a_sentence(control: Control, method: str, path: str, body: object) -> None:
    reply = control.ask(method, path, body)
    assert reply.status_code == 400
    assert error_of(reply) in ("entityInvalid", "missingFields", "genericError", "organizationIdMissing")


def test_changes_are_told_as_they_happen(control: Control, application: Application) -> None:
    with requests.get(f"{control.url}/events", stream=True, timeout=20) as stream:
        lines = stream.iter_lines(chunk_size=1)
        first = next(line for line in lines if line)
        application.userinfo("x")
        second = next(line for line in lines if line)
    assert first.startswith(b"data: ")
    assert second.startswith(b"data: ")
    assert first != second
