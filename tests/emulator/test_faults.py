"""Every way an answer can go wrong, on demand, and only when asked for."""

from __future__ import annotations

import threading

import pytest
import requests

from flask_centralauth.emulator import Emulator
from flask_centralauth.emulator.faults import fault_from

from .application import Application, error_of, query_of


def test_an_error_strikes_as_often_as_said(application: Application, emulator: Emulator) -> None:
    token = application.token()
    fault = emulator.fail("userinfo", error_code="sessionInactive", times=2, after=1)
    outcomes = [application.userinfo(token).status_code for _ in range(4)]
    assert outcomes == [200, 401, 401, 200]
    assert fault.hits == 2
    assert emulator.sessions.last.active


def test_errors_carry_what_is_asked_for(application: Application, emulator: Emulator) -> None:
    emulator.fail("userinfo", error_code="tooManyRequests", message="Slowly.", header={"Retry-After": "7"})
    reply = application.userinfo("x")
    assert (reply.status_code, error_of(reply), reply.json()["message"]) == (
        429,
        "tooManyRequests",
        "Slowly.",
    )
    assert reply.headers["Retry-After"] == "7"
    emulator.fail("userinfo", error_code="noSuchCode", status=418)
    reply = application.userinfo("x")
    assert (reply.status_code, error_of(reply)) == (418, "noSuchCode")
    assert emulator.requests.last.verdict == "fault"


def test_a_fault_can_be_for_one_user_client_or_header(application: Application, emulator: Emulator) -> None:
    alice, bob = application.token(), application.token(user="bob@example.com")
    emulator.fail("userinfo", status=503, times=None, match={"email": "bob@example.com"})
    assert application.userinfo(alice).status_code == 200
    assert application.userinfo(bob).status_code == 503
    emulator.service.faults.clear()
    emulator.fail("*", status=503, match={"header": {"user-agent": "curl*"}, "client_id": emulator.client_id})
    assert application.userinfo(alice).status_code == 200
    assert application.userinfo(alice, user_agent="curl/8").status_code == 503


def test_a_fault_of_one_client_leaves_the_others_alone(application: Application, emulator: Emulator) -> None:
    token = application.token()
    fault = emulator.fail("userinfo", status=503, match={"client_id": "somebody-else"})
    assert application.userinfo(token).status_code == 200
    with pytest.raises(TimeoutError, match="no userinfo request was caught"):
        fault.wait(timeout=0.01)


@pytest.mark.parametrize("action", [{"type": "status", "status": 418}, {"type": "error", "code": "brandNew"}])
def test_a_fault_as_the_control_api_shows_it_can_be_sent_back(
    application: Application, emulator: Emulator, action: dict[str, object]
) -> None:
    made = emulator.faults.add(fault_from({"endpoint": "userinfo", "action": action}))
    again = fault_from({"endpoint": "userinfo", "action": made.to_dict()["action"]})
    assert again.to_dict()["action"] == action
    assert application.userinfo("x").status_code == (action.get("status") or 400)


def test_chance_is_the_same_with_the_same_seed() -> None:
    def drawn() -> list[int]:
        with Emulator(seed=7) as emulator:
            application = Application(emulator)
            emulator.fail("userinfo", status=503, times=None, probability=0.5)
            statuses = [application.userinfo("x").status_code for _ in range(12)]
            application.http.close()
            return statuses

    assert drawn() == drawn()
    assert set(drawn()) == {401, 503}


@pytest.mark.parametrize(
    ("how", "body"),
    [
        ({"body": b"\xff\xfe"}, b"\xff\xfe"),
        ({"json": ["list"]}, b'["list"]'),
        ({"status": 204}, b""),
        ({"action": "empty"}, b""),
        ({"action": "invalid_json"}, b'{"id": "1", "email"'),
        ({"action": "nan"}, b'{"id": "1", "expires_in": NaN}'),
        ({"action": "bom"}, b'\xef\xbb\xbf{"id": "1"}'),
        ({"action": "duplicate_keys"}, b'{"id": "1", "blocked": true, "blocked": false}'),
        ({"action": "surrogate"}, b'{"id": "\\ud800", "email": "a@example.com"}'),
    ],
)
def test_bodies_nobody_expects(
    application: Application, emulator: Emulator, how: dict[str, object], body: bytes
) -> None:
    emulator.fail("userinfo", **how)
    reply = application.userinfo("x")
    assert reply.content == body
    assert reply.status_code == how.get("status", 200)


def test_large_and_deep_bodies(application: Application, emulator: Emulator) -> None:
    emulator.fail("userinfo", action="oversize", bytes=1_000_000)
    assert len(application.userinfo("x").content) > 1_000_000
    emulator.fail("userinfo", action="deep")
    assert application.userinfo("x").content.startswith(b"[[[[")
    emulator.fail("userinfo", action="huge_int")
    assert len(application.userinfo("x").content) > 5000
    emulator.fail("userinfo", action="utf16")
    assert application.userinfo("x").content.decode("utf-16") == '{"id": "1"}'
    emulator.fail("userinfo", action="gzip_bomb", bytes=3_000_000)
    reply = application.userinfo("x")
    assert int(reply.headers["Content-Length"]) < 10_000
    assert len(reply.content) > 3_000_000


def test_true_answers_bent(application: Application, emulator: Emulator) -> None:
    token = application.token()
    emulator.fail("userinfo", patch={"blocked": "false"}, remove=["affirmationDate"])
    user = application.userinfo(token).json()
    assert (user["blocked"], user["email"]) == ("false", "alice@example.com")
    assert "affirmationDate" not in user
    emulator.fail("userinfo", content_type="text/html")
    assert application.userinfo(token).headers["Content-Type"] == "text/html"
    emulator.fail("userinfo", header={"X-Odd": "1"})
    assert application.userinfo(token).headers["X-Odd"] == "1"
    emulator.fail("userinfo", action="html", status=502)
    assert application.userinfo(token).status_code == 502


def test_redirects(application: Application, emulator: Emulator) -> None:
    emulator.fail("userinfo", redirect="https://evil.example/x")
    reply = application.userinfo("x")
    assert (reply.status_code, reply.headers["Location"]) == (307, "https://evil.example/x")
    emulator.fail("userinfo", action="redirect_loop", times=None)
    assert application.userinfo("x").headers["Location"].startswith("/api/v1/userinfo")


@pytest.mark.parametrize("action", ["reset", "close", "truncate", "chunk_garbage"])
def test_connections_that_break(application: Application, emulator: Emulator, action: str) -> None:
    token = application.token()
    emulator.fail("userinfo", action=action)
    with pytest.raises(requests.RequestException) as failed:
        application.userinfo(token)
    if action == "reset":
        assert "reset" in str(failed.value).lower()
    assert application.userinfo(token).status_code == 200


def test_a_drip_ends_when_it_is_released(application: Application, emulator: Emulator) -> None:
    token = application.token()
    fault = emulator.fail("userinfo", action="drip", bytes_per_second=0.001)
    got: list[requests.Response] = []
    thread = threading.Thread(target=lambda: got.append(application.userinfo(token)))
    thread.start()
    fault.wait()
    fault.release()
    thread.join()
    assert got[0].json()["email"] == "alice@example.com"


@pytest.mark.parametrize("action", ["drip", "slow_headers"])
def test_a_slow_answer_runs_into_the_clients_patience(
    application: Application, emulator: Emulator, action: str
) -> None:
    emulator.fail("userinfo", action=action, bytes_per_second=0.001)
    with pytest.raises(requests.RequestException):
        requests.post(f"{emulator.url}/api/v1/userinfo", timeout=0.1)


def test_a_hanging_call_goes_on_when_released(application: Application, emulator: Emulator) -> None:
    token = application.token()
    fault = emulator.fail("userinfo", hang=True)
    got: list[requests.Response] = []
    thread = threading.Thread(target=lambda: got.append(application.userinfo(token)))
    thread.start()
    assert emulator.requests.wait_for("userinfo").verdict == "open"
    fault.wait()
    emulator.end_session()
    fault.release()
    thread.join()
    assert error_of(got[0]) == "sessionInactive"


def test_a_delay_is_longer_than_impatience_and_ends_with_a_reset(
    application: Application, emulator: Emulator
) -> None:
    fault = emulator.fail("userinfo", delay=3600)
    with pytest.raises(requests.Timeout):
        requests.post(f"{emulator.url}/api/v1/userinfo", timeout=0.1)
    assert fault.hits == 1
    emulator.reset()
    assert application.userinfo("x").status_code == 401


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("drop_state", {"code"}),
        ("drop_code", {"state"}),
        ("add_affirm", {"code", "state", "affirm"}),
        ("wrong_iss", {"code", "state", "iss"}),
        ("error", {"error", "error_description", "state"}),
        ("error_without_state", {"error", "error_description"}),
        ("crlf", {"error", "error_description", "state"}),
        ("html_in_description", {"error", "error_description", "state"}),
        ("return_to", {"return_to", "code", "state"}),
    ],
)
def test_callbacks_tampered_with(
    application: Application, emulator: Emulator, action: str, expected: set[str]
) -> None:
    emulator.fail("callback", action=action)
    assert set(query_of(emulator.authorize(application.login_url()))) == expected
    assert set(query_of(emulator.authorize(application.login_url()))) == {"code", "state"}


def test_callbacks_with_wrong_values(application: Application, emulator: Emulator) -> None:
    emulator.fail("callback", action="wrong_state")
    assert query_of(emulator.authorize(application.login_url()))["state"] == "forged"
    emulator.fail("callback", action="repeat_state")
    assert emulator.authorize(application.login_url(state="abc")).endswith("&state=abc&state=abcx")
    emulator.fail("callback", action="repeat_param", name="code")
    assert emulator.authorize(application.login_url()).count("code=") == 2
    emulator.fail("callback", action="oversize_param", bytes=20_000)
    assert len(query_of(emulator.authorize(application.login_url()))["state"]) == 20_000
    emulator.fail("callback", action="strip_affirm")
    assert "affirm" not in query_of(emulator.authorize(application.login_url(affirm="1")))
    emulator.fail("callback", action="add_iss", iss=emulator.url)
    assert query_of(emulator.authorize(application.login_url()))["iss"] == emulator.url
    emulator.fail("callback", action="old_names")
    emulator.next_login(error="noPermission")
    assert query_of(emulator.authorize(application.login_url()))["error_code"] == "noPermission"


def test_foreign_and_used_codes_do_not_log_in(application: Application, emulator: Emulator) -> None:
    emulator.fail("callback", action="foreign_code")
    assert error_of(application.verify(application.code())) == "codeChallengeInvalid"
    application.token()
    emulator.fail("callback", action="reuse_code")
    assert error_of(application.verify(application.code())) == "sessionInvalid"


@pytest.mark.parametrize(
    ("endpoint", "how", "told"),
    [
        ("nowhere", {"status": 500}, "there is no endpoint"),
        ("userinfo", {"action": "drop_state"}, "has no fault"),
        ("callback", {"action": "drip"}, "has no fault"),
        ("userinfo", {"times": 0, "status": 500}, "times is at least 1"),
        ("userinfo", {"colour": "red"}, "can do nothing with colour"),
        ("userinfo", {"status": 500, "match": {"moon": "full"}}, "match knows"),
        ("userinfo", {"delay": -1}, "delay is between"),
        ("userinfo", {"status": 500, "probability": 1.5}, "probability is between"),
        ("userinfo", {"json": {"a": object()}}, "cannot have json"),
        ("callback", {"action": "add_iss"}, "needs iss"),
    ],
)
def test_impossible_faults_are_refused(
    emulator: Emulator, endpoint: str, how: dict[str, object], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        emulator.fail(endpoint, **how)
