"""Attacks 76 and 77: every flow and every failure, and no secret in a log, repr, exception or page."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.debug import DebuggedApplication
from werkzeug.test import Client, TestResponse

from flask_centralauth import CentralAuth, CentralAuthError, User, auth_required
from flask_centralauth.emulator import Emulator
from flask_centralauth.signals import login_failed, session_ended

from ..browser_client import Browser
from ..conftest import MakeApp
from ..raw_http import PAGE_VISIT
from .mail import add_mail_form
from .marks import attack
from .target import ALICE, query_of

SECRET_KEY: Final = "sentinel-of-the-secret-key-long-enough"


@dataclass
class Watch:
    """What must not be seen, and everything that was."""

    emulator: Emulator
    client: FlaskClient
    seen: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def visit(self, path: str, **options: Any) -> TestResponse:
        answer = self.client.get(path, headers={**PAGE_VISIT, **options.pop("headers", {})}, **options)
        self.seen.append(answer.get_data(as_text=True))
        return answer

    def log_in(self, path: str = "/api/auth/login?return_to=/private") -> TestResponse:
        return self.visit(self.callback(path))

    def callback(self, path: str = "/api/auth/login?return_to=/private") -> str:
        started = self.visit(path)
        url = urlsplit(self.emulator.authorize(started.headers["Location"], user=ALICE))
        return f"{url.path}?{url.query}"

    def secrets(self) -> set[str]:
        """Everything secret that was around so far."""
        found = {SECRET_KEY, self.emulator.client_secret}
        for entry in self.emulator.requests:
            found |= {
                entry.query.get("state", ""),
                entry.form.get("code", ""),
                entry.form.get("code_verifier", ""),
            }
            found |= set(query_of(entry.location).get("code", ()))
            if entry.endpoint in ("userinfo", "logout"):
                found.add(entry.text)
            if entry.endpoint == "verify" and entry.verdict == "ok":
                reply = json.loads(entry.reply)
                found |= {reply["access_token"], reply["id_token"]}
            found.add(entry.headers.get("Authorization", "").removeprefix("Basic "))
        found |= {cookie.value for cookie in self.client._cookies.values()}  # type: ignore[union-attr]
        return {secret for secret in found if len(secret) > 12}


class _Kept(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._lines = lines
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._lines += [self.format(record), repr(vars(record))]


@pytest.fixture
def root_log() -> Iterator[list[str]]:
    """Everything any library says, at DEBUG."""
    lines: list[str] = []
    handler, root = _Kept(lines), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app(
        SECRET_KEY=SECRET_KEY,
        CENTRALAUTH_USER_TTL=0,
        CENTRALAUTH_STALE_GRACE=0,
        CENTRALAUTH_LOGOUT_EVERYWHERE=True,
        PROPAGATE_EXCEPTIONS=False,
    )


@pytest.fixture
def watch(app: Flask, emulator: Emulator, root_log: list[str]) -> Iterator[Watch]:
    found = Watch(emulator, app.test_client())

    def keep(_app: Flask, **told: Any) -> None:
        found.errors.append(told["error"])

    with login_failed.connected_to(keep), session_ended.connected_to(keep):
        yield found
    secrets = found.secrets()
    assert len(secrets) >= 4
    texts = {
        "log": root_log,
        "page": found.seen,
        "exception": list(_texts_of(found.errors)),
        "repr": list(_reprs(app)),
    }
    for where, lines in texts.items():
        for line in lines:
            for secret in secrets:
                assert secret not in line, f"a secret in a {where}: {line[:300]}"
    if found.errors:
        assert texts["exception"]


def _texts_of(errors: list[BaseException]) -> Iterator[str]:
    for error in errors:
        link: BaseException | None = error
        while link is not None:
            assert not type(link).__module__.startswith(("requests", "urllib3", "authlib", "redis")), link
            yield f"{link!s} {link!r} {link.args!r} {vars(link)!r}"
            link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _reprs(app: Flask) -> Iterator[str]:
    """The repr of every object, ours or a library's, that the application's state leads to."""
    waiting: list[Any] = [app.extensions["centralauth"], app.session_interface]
    known: set[int] = set()
    while waiting:
        thing = waiting.pop()
        if id(thing) in known or isinstance(thing, str | bytes | int | float | type | None | Flask):
            continue
        known.add(id(thing))
        if isinstance(thing, dict):
            waiting += [*thing.values()]
        elif isinstance(thing, list | tuple | set | frozenset):
            waiting += [*thing]
        elif type(thing).__module__.split(".")[0] not in (
            "builtins",
            "types",
            "_thread",
            "threading",
            "sqlite3",
        ):
            yield repr(thing)
            slots = getattr(type(thing), "__slots__", ())
            waiting += [getattr(thing, name, None) for name in ([slots] if isinstance(slots, str) else slots)]
            waiting += [*getattr(thing, "__dict__", {}).values()]


@attack(
    76,
    "No log line of ours has one, and Authlib's line with the verifier is filtered; seen with the "
    "root logger at DEBUG.",
)
def test_a_login_and_all_that_follows(watch: Watch, root_log: list[str]) -> None:
    assert watch.log_in().status_code == 303
    assert watch.visit("/private").status_code == 200
    watch.visit("/api/data", headers={"Accept": "application/json"})
    watch.visit("/api/auth/user")
    assert watch.log_in("/api/auth/affirm").status_code == 303
    token = json.loads(watch.emulator.requests.of("verify")[0].reply)["access_token"]
    watch.visit("/api/data", headers={"Authorization": f"Bearer {token}"})
    watch.visit("/api/auth/logout")
    assert watch.client.post("/api/auth/logout").status_code == 303
    assert any("authlib" in line or "urllib3" in line for line in root_log), "the root logger is at DEBUG"


@attack(76)
def test_logins_by_mail(app: Flask, watch: Watch, emulator: Emulator) -> None:
    add_mail_form(app)
    emulator.configure(mail_wait=0)
    other = app.test_client()
    for client in (watch.client, other):
        watch.seen.append(watch.client.post("/sign-in", data={"email": ALICE}).text)
        mailbox = Browser(emulator, user=ALICE)
        visit = {**PAGE_VISIT, "User-Agent": mailbox.user_agent}
        location = mailbox.get(emulator.mailbox.latest(ALICE).link, follow=False).last.location
        assert location is not None
        answer = client.get(location[location.index("/api/") :], headers=visit)
        assert answer.status_code == (303 if client is watch.client else 200)
    # The page with the button holds what the button sends: it is for this browser only.
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', answer.text))
    assert set(fields) == {"code", "state", "form_token"}
    forged = {**fields, "form_token": "sentinel-of-a-form-token"}
    for data, status in ((forged, 400), (fields, 303)):
        answer = other.post("/api/auth/confirm", data=data, headers=visit)
        assert answer.status_code == status
        watch.seen.append(answer.text)


@attack(76)
@pytest.mark.parametrize("activated", [False, True])
def test_a_client_secret_that_is_replaced(
    make_app: MakeApp, emulator: Emulator, root_log: list[str], activated: bool
) -> None:
    old, new = emulator.client_secret, "sentinel-of-the-new-secret-32-ch"
    app = make_app(SECRET_KEY=SECRET_KEY, CENTRALAUTH_CLIENT_SECRETS=[new, old], CENTRALAUTH_USER_TTL=0)
    client = Watch(emulator, app.test_client())
    assert client.log_in().status_code == 303
    client.visit("/private")
    if activated:
        emulator.service.rotate_secret()
        emulator.service.activate_secret()
        client.visit("/private")
        client.visit(client.callback())
    shown = [*root_log, *client.seen, *_reprs(app)]
    for text in shown:
        for secret in (old, new, *client.secrets()):
            assert secret not in text, text[:300]


@attack(76)
@pytest.mark.parametrize("command", ["check", "check --json", "settings", "routes"])
def test_commands(app: Flask, watch: Watch, command: str) -> None:
    watch.log_in()
    result = app.test_cli_runner().invoke(args=["centralauth", *command.split()])
    assert len(result.output) > 100
    watch.seen.append(result.output)


@attack(76)
def test_the_emulators_journal_and_dashboard(app: Flask, emulator: Emulator) -> None:
    """What is shown of a conversation is for screens and tickets. A used state is worth nothing."""
    client = Watch(emulator, app.test_client())
    client.log_in()
    emulator.fail("userinfo", error_code="sessionInvalid")
    client.visit("/private")
    states = {entry.query.get("state", "") for entry in emulator.requests}
    for path in ("/", "/_emulator/requests", "/_emulator/sessions", "/_emulator/lint"):
        shown = Browser(emulator).get(emulator.url + path)
        assert shown.status == 200
        for secret in client.secrets() - states:
            assert secret not in shown.text, path


FAILURES: Final[tuple[dict[str, Any], ...]] = (
    {"error_code": "sessionInvalid"},
    {"error_code": "noPermission"},
    {"error_code": "genericError"},
    {"error_code": "tooManyRequests"},
    {"error_code": "codeChallengeInvalid"},
    {"error_code": "entityMissing"},
    {"action": "reset"},
    {"action": "redirect"},
    {"action": "oversize"},
    {"action": "many_headers"},
    {"action": "chunk_garbage"},
    {"action": "invalid_json"},
    {"action": "gzip_bomb", "bytes": 1_000_000},
    {"action": "truncate", "bytes": 40},
    {"patch": {"id": None, "access_token": None}},
)


@attack(76)
@pytest.mark.parametrize("failure", FAILURES, ids=str)
@pytest.mark.parametrize("endpoint", ["verify", "userinfo", "logout"])
def test_every_failure(watch: Watch, endpoint: str, failure: dict[str, Any]) -> None:
    if endpoint == "logout":
        watch.log_in()
        watch.emulator.fail(endpoint, **failure)
        watch.client.post("/api/auth/logout")
        return
    url = watch.callback()
    watch.emulator.fail(endpoint, **failure)
    assert watch.visit(url).status_code >= 302
    watch.visit(url)
    watch.emulator.fail("userinfo", **failure)
    watch.log_in()
    watch.visit("/private")
    assert watch.errors


@attack(76)
@pytest.mark.parametrize(
    "query",
    [
        "code=sentinel-of-a-foreign-code&state=sentinel-of-a-state",
        "error=x&error_description=y&state={state}",
        "code={code}&state=other",
    ],
)
def test_every_callback_that_is_not_right(watch: Watch, query: str) -> None:
    url = query_of(watch.callback())
    watch.visit(f"/api/auth/callback?{query.format(state=url['state'][0], code=url['code'][0])}")
    for line in [*watch.seen, *_texts_of(watch.errors)]:
        assert "sentinel-of" not in line


@attack(
    77, "Reprs are masked, exceptions of libraries end where they are caught, and a debugger's page has none."
)
@pytest.mark.parametrize("broken", ["on_login", "store", "clock"])
def test_tracebacks(app: Flask, watch: Watch, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    state = app.extensions["centralauth"]

    def fails(*_args: Any, **_options: Any) -> Any:
        raise KeyError("a fault of the application")

    url = watch.callback()
    if broken == "on_login":
        state.login_hooks.append(fails)
    elif broken == "store":
        monkeypatch.setattr(state.logins, "start", fails)
    else:
        monkeypatch.setattr("flask_centralauth.sign_in.visitor_digest", fails)
    assert watch.visit(url).status_code == 500


@attack(77)
def test_the_debuggers_page(make_app: MakeApp, emulator: Emulator, root_log: list[str]) -> None:
    app = make_app(SECRET_KEY=SECRET_KEY, DEBUG=True, PROPAGATE_EXCEPTIONS=True)

    def fails(user: User) -> None:
        raise KeyError("a fault of the application")

    app.extensions["centralauth"].login_hooks.append(fails)
    watch = Watch(emulator, app.test_client())
    url = watch.callback()
    cookie = "; ".join(f"{c.key}={c.value}" for c in watch.client._cookies.values())  # type: ignore[union-attr]
    answer = Client(DebuggedApplication(app), use_cookies=False).get(
        url, headers={"Cookie": cookie}, environ_base={"REMOTE_ADDR": "127.0.0.1"}
    )
    page = answer.get_data(as_text=True)
    assert "a fault of the application" in page
    code = query_of(url)["code"][0]
    for secret in watch.secrets() - {code, query_of(url)["state"][0]}:
        assert secret not in page
    assert emulator.client_secret not in page


@attack(77)
@pytest.mark.parametrize("guard", ["auth_required", "affirmed_within", "logout", "affirm"])
def test_the_debuggers_page_of_somebody_who_is_in(
    make_app: MakeApp, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, guard: str
) -> None:
    app = make_app(SECRET_KEY=SECRET_KEY, DEBUG=True, PROPAGATE_EXCEPTIONS=True, CENTRALAUTH_USER_TTL=0)

    def fails(*_args: Any, **_options: Any) -> Any:
        raise KeyError("a fault of the application")

    app.add_url_rule("/auth_required", view_func=auth_required(fails), endpoint="plain")
    affirmed = auth_required(affirmed_within=300)(fails)
    app.add_url_rule("/affirmed_within", view_func=affirmed, endpoint="affirmed")
    watch = Watch(emulator, app.test_client())
    watch.log_in()
    cookie = "; ".join(f"{c.key}={c.value}" for c in watch.client._cookies.values())  # type: ignore[union-attr]
    if guard == "affirm":
        monkeypatch.setattr(app.extensions["centralauth"].flow, "begin", fails)
    elif guard == "logout":
        monkeypatch.setattr(app.extensions["centralauth"].users, "forget", fails)
    path = f"/api/auth/{guard}" if guard in ("logout", "affirm") else f"/{guard}"
    headers = {"Cookie": cookie, "User-Agent": str(watch.client.environ_base.get("HTTP_USER_AGENT", ""))}
    answer = Client(DebuggedApplication(app), use_cookies=False).open(
        path,
        method="POST" if guard == "logout" else "GET",
        headers={**headers, **PAGE_VISIT},
        environ_base={"REMOTE_ADDR": "127.0.0.1"},
    )
    page = answer.get_data(as_text=True)
    assert "a fault of the application" in page
    for secret in watch.secrets():
        assert secret not in page


@attack(77)
def test_reprs(app: Flask, emulator: Emulator) -> None:
    client = Watch(emulator, app.test_client())
    client.log_in()
    shown = [*_reprs(app), repr(CentralAuth()), str(app.extensions["centralauth"].settings)]
    assert any("Settings(" in text for text in shown)
    for text in shown:
        for secret in client.secrets():
            assert secret not in text


@attack(77)
def test_errors_carry_no_request(app: Flask, emulator: Emulator) -> None:
    caught: list[CentralAuthError] = []

    @app.errorhandler(CentralAuthError)
    def keep(error: CentralAuthError) -> str:
        caught.append(error)
        return "kept"

    watch = Watch(emulator, app.test_client())
    for failure in FAILURES:
        url = watch.callback()
        emulator.fail("verify", **failure)
        watch.visit(url)
        app.extensions["centralauth"].client.breaker.succeeded()
    assert len(caught) >= len(FAILURES) - 2
    secrets = watch.secrets()
    for text in _texts_of(list(caught)):
        assert not [secret for secret in secrets if secret in text]


def test_the_watch_can_see(app: Flask, emulator: Emulator, root_log: list[str]) -> None:
    """A check that cannot fail would be none."""
    watch = Watch(emulator, app.test_client())
    watch.log_in()
    logging.getLogger("somebody").debug("the secret is %s", emulator.client_secret)
    assert any(emulator.client_secret in line for line in root_log)
