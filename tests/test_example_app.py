"""The example application over HTTP, with a scripted browser and the emulator."""

from __future__ import annotations

import html
import os
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from cachelib import FileSystemCache
from flask import Flask

from example_app import create_app
from example_app.gallery import SECTIONS, Section
from flask_centralauth import ways_back
from flask_centralauth.emulator import Emulator
from flask_centralauth.emulator.settings import SERVICE_CODES
from flask_centralauth.errors import error_row

from .browser_client import Browser
from .browser_page import Page
from .conftest import LiveServer, RunServer
from .test_templates import Page as Document

ROOT = Path(__file__).parents[1]
#: `run` installs the package it stands beside; beside the tests of a wheel there is none.
CHECKOUT = ROOT.parents[1] if ROOT.parts[-2:] == ("build", "wheel") else ROOT
RUN = CHECKOUT / "example_app" / "run"
ERRORS = [
    pytest.param(section, error, id=f"{section.at}-{error}")
    for section in SECTIONS
    for error in section.errors
]


def make_example(emulator: Emulator, sessions: Path, **config: Any) -> Flask:
    return create_app(
        {
            "SECRET_KEY": "a secret key of the tests, long enough",
            "SESSION_TYPE": "cachelib",
            "SESSION_CACHELIB": FileSystemCache(str(sessions)),
            "CENTRALAUTH_USER_TTL": 0,
            "DEBUG": True,
            **emulator.config,
            **config,
        }
    )


@pytest.fixture
def example(emulator: Emulator, tmp_path: Path, live_server: RunServer) -> LiveServer:
    """The running example, in debug mode, asking CentralAuth on every request."""
    return live_server(make_example(emulator, tmp_path / "sessions"))


def text_of(page: Page) -> str:
    return " ".join(Document(page.text).words.split())


def cause(browser: Browser, example: LiveServer, section: Section, error: str) -> Page:
    """Press a button of the gallery."""
    gallery = browser.get(f"{example.url}/errors")
    form = next(form for form in gallery.forms if form.fields.get("at") == section.at)
    return browser.submit(form, {"error": error})


def test_home_explains_and_offers_to_sign_in(browser: Browser, example: LiveServer) -> None:
    page = browser.get(f"{example.url}/")

    assert page.status == 200
    assert 'href="/api/auth/login"' in page.text
    assert "Sign in with CentralAuth" in page.text


@pytest.mark.parametrize("path", ["/", "/errors", "/mail-sent"])
def test_page_is_accessible_and_needs_nothing_from_outside(
    emulator: Emulator, browser: Browser, example: LiveServer, path: str
) -> None:
    document = Document(browser.get(example.url + path).text)

    assert document.all("html") == [{"lang": "en"}]
    assert len(document.all("main")) == len(document.all("h1")) == 1
    assert all("alt" in image for image in document.all("img"))
    for _, attributes in document.elements:
        assert "style" not in attributes
        for name in ("href", "src", "action"):
            assert attributes.get(name, "/").startswith(("/", "#", emulator.url))


def test_profile_asks_to_sign_in_and_comes_back(
    emulator: Emulator, browser: Browser, example: LiveServer
) -> None:
    page = browser.get(f"{example.url}/profile")

    assert page.path == "/profile"
    user = next(user for user in emulator.users if user.email == "alice@example.com")
    for value in (
        user.email,
        user.id,
        user.created.strftime("%Y-%m-%d"),
        f"{emulator.url}/avatar/{user.id}.svg",
    ):
        assert str(value) in html.unescape(page.text)
    for field in ("organization_id", "verified", "blocked", "updated", "last_login", "affirmation_date"):
        assert field in page.text


def test_script_gets_401_with_the_address_to_sign_in_at(browser: Browser, example: LiveServer) -> None:
    refused = browser.fetch(f"{example.url}/greeting")

    assert refused.status == 401
    assert refused.json()["loginUrl"].startswith("/api/auth/login")

    browser.get(f"{example.url}/profile")
    assert browser.fetch(f"{example.url}/greeting").json() == {"greeting": "Hello alice@example.com!"}


def test_sign_out_ends_the_login(browser: Browser, example: LiveServer) -> None:
    profile = browser.get(f"{example.url}/profile")
    home = browser.submit(next(form for form in profile.forms if form.action.endswith("/logout")))

    assert home.path == "/"
    assert "Sign in with CentralAuth" in home.text
    assert browser.fetch(f"{example.url}/greeting").status == 401


def test_confirming_that_it_is_you_comes_back_to_the_profile(browser: Browser, example: LiveServer) -> None:
    profile = browser.get(f"{example.url}/profile")
    link = next(a["href"] for a in Document(profile.text).all("a") if "/affirm" in a["href"])
    page = browser.click(link)

    assert (page.status, page.path) == (200, "/profile")


class TestMail:
    """The form of its own, which mails a link instead of showing CentralAuth's login page."""

    def ask(self, browser: Browser, example: LiveServer, address: str) -> Page:
        home = browser.get(f"{example.url}/")
        form = next(form for form in home.forms if "email" in form.fields)
        return browser.submit(form, {"email": address})

    def test_link_signs_in_and_leads_to_the_profile(
        self, emulator: Emulator, browser: Browser, example: LiveServer
    ) -> None:
        sent = self.ask(browser, example, "bob@example.com")
        assert "Look into your mailbox" in sent.text
        mailbox = next(a["href"] for a in Document(sent.text).all("a") if a["href"].endswith("/mailbox"))
        assert emulator.mailbox.latest("bob@example.com").link in html.unescape(browser.click(mailbox).text)

        page = browser.click(emulator.mailbox.latest("bob@example.com").link)
        assert (page.status, page.path) == (200, "/profile")
        assert "bob@example.com" in page.text

    def test_answer_does_not_tell_who_has_an_account(
        self, emulator: Emulator, browser: Browser, example: LiveServer
    ) -> None:
        emulator.configure(enable_user_creation=False)
        known, unknown = (
            self.ask(browser, example, f"{name}@example.com") for name in ("alice", "nobody.at.all")
        )
        assert (known.status, known.text) == (unknown.status, unknown.text)

    def test_what_is_no_address_is_said_at_the_form(
        self, emulator: Emulator, browser: Browser, example: LiveServer
    ) -> None:
        page = self.ask(browser, example, "not an address")
        assert page.path == "/"
        assert "Please enter a valid e-mail address." in page.text
        assert list(emulator.mailbox) == []

    def test_another_site_cannot_have_mails_sent(
        self, emulator: Emulator, browser: Browser, example: LiveServer
    ) -> None:
        browser.get(f"{example.url}/")
        elsewhere = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        page = browser.submit("/mail-me-a-link", {"email": "alice@example.com"}, headers=elsewhere)
        assert page.status == 403
        assert list(emulator.mailbox) == []

    def test_only_who_is_signed_out_sees_the_form(self, browser: Browser, example: LiveServer) -> None:
        browser.get(f"{example.url}/profile")
        assert not [form for form in browser.get(f"{example.url}/").forms if "email" in form.fields]

    def test_without_debug_mode_no_mailbox_is_shown(
        self, emulator: Emulator, browser: Browser, tmp_path: Path, live_server: RunServer
    ) -> None:
        server = live_server(make_example(emulator, tmp_path / "sessions", DEBUG=False))
        assert "_emulator" not in self.ask(browser, server, "bob@example.com").text


def test_user_fields_are_escaped(emulator: Emulator, example: LiveServer) -> None:
    emulator.add_user(email="<b>@example.com", gravatar="https://x.example/'\"><script>alert(1)</script>")
    page = Browser(emulator, user="<b>@example.com").get(f"{example.url}/profile")

    assert page.status == 200
    assert not Document(page.text).all("b")
    assert len(Document(page.text).all("script")) == 0


def test_error_page_has_the_look_of_the_application(emulator: Emulator, example: LiveServer) -> None:
    page = Browser(emulator, user="blocked@example.com").get(f"{example.url}/profile")

    assert page.status == 403
    assert 'href="/static/example.css"' in page.text
    assert "This account is blocked here." in page.text
    assert 'aria-label="Pages"' in page.text


def test_gallery_has_every_code_of_the_service() -> None:
    shown = {error for section in SECTIONS for error in section.errors}

    assert set(SERVICE_CODES) <= shown


def test_gallery_is_for_debug_mode_only(
    emulator: Emulator, browser: Browser, tmp_path: Path, live_server: RunServer
) -> None:
    server = live_server(make_example(emulator, tmp_path / "sessions", DEBUG=False))

    assert browser.get(f"{server.url}/errors").status == 404
    assert "/errors" not in browser.get(f"{server.url}/").text


def test_gallery_refuses_what_it_does_not_offer(browser: Browser, example: LiveServer) -> None:
    browser.get(f"{example.url}/errors")

    assert browser.submit("/errors", {"at": "login", "error": "nothing"}).status == 400


def test_gallery_without_emulator_says_so(emulator: Emulator, tmp_path: Path, live_server: RunServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    server = live_server(make_example(emulator, tmp_path / "sessions", CENTRALAUTH_BASE_URL=nobody))
    page = cause(Browser(), server, SECTIONS[0], "genericError")

    assert page.path == "/errors"
    assert "The gallery needs the emulator" in page.text


@pytest.mark.parametrize(("section", "error"), ERRORS)
def test_gallery_button_has_the_outcome_it_promises(
    emulator: Emulator, example: LiveServer, section: Section, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person who looks at the login page instead of being signed in at once."""
    monkeypatch.setattr(ways_back, "YOUNG_LOGIN_SECONDS", 0)  # as if signed in for a while
    browser = Browser(emulator, user=None)
    if section.at == "userinfo":
        browser.user = "alice@example.com"
        browser.get(f"{example.url}/profile")
        browser.user = None
    page = cause(browser, example, section, error)

    outcome = section.title
    sentence = error_row(error).sentence
    if outcome in ("A login that fails", "A session that ends"):
        assert page.url.startswith(f"{emulator.url}/login")
        assert sentence in html.unescape(page.text)
        browser.user = "alice@example.com"
        back = browser.get(page.url)
        assert back.path == "/profile"
        assert sentence not in text_of(back), "a login that works removes the message"
    elif outcome == "CentralAuth in trouble, while signed in":
        assert (page.status, page.path) == (200, "/profile")
        assert "last known" in page.text
    else:
        statuses = {
            "A person who may not": {403},
            "A mistake in the set-up": {500},
            "CentralAuth in trouble, during a login": {429, 500, 503},
            "Things that do not exist": {400, 404},
        }
        assert page.url.startswith(example.url)
        assert page.status in statuses[outcome]
        assert "centralauth-incident" in page.text
        assert len(re.findall("<h1>", page.text)) == 1


def test_signing_in_again_works_at_once_after_a_session_ended(
    emulator: Emulator, example: LiveServer
) -> None:
    browser = Browser(emulator)
    browser.get(f"{example.url}/profile")
    ended = cause(browser, example, SECTIONS[1], "sessionInvalid")
    assert ended.status == 401

    assert browser.click("/api/auth/login?return_to=/profile").path == "/profile"


def test_second_failure_in_a_row_is_a_page_of_the_application(
    emulator: Emulator, example: LiveServer
) -> None:
    browser = Browser(emulator, user=None)
    cause(browser, example, SECTIONS[0], "captchaInvalid")
    page = cause(browser, example, SECTIONS[0], "captchaInvalid")

    assert page.status == 400
    assert page.url.startswith(example.url)
    assert text_of(page).count("The captcha was not solved. Please try again.") == 1


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(RUN), *options], capture_output=True, text=True, timeout=60, check=False)


def test_run_explains_itself() -> None:
    answer = run("--help")

    assert answer.returncode == 0
    assert "--emulator-port" in answer.stdout


@pytest.mark.parametrize(
    "options",
    [["--port"], ["--port", "x"], ["--port", "0"], ["--port=70000"], ["--port", "9797"], ["--hots", "1"]],
)
def test_run_refuses_wrong_options_in_one_line(options: list[str]) -> None:
    answer = run(*options)

    assert answer.returncode == 1
    assert answer.stderr.startswith("example_app/run: ")
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--port", "--emulator-port"])
def test_run_says_when_a_port_is_taken(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as free:
        port, other = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        answer = run(option, str(port), "--emulator-port" if option == "--port" else "--port", str(other))

    assert answer.returncode == 1
    assert f"port {port} is in use" in answer.stderr
    assert f"{option} {port + 1}" in answer.stderr


@pytest.mark.timeout(400)  # the first run installs the package
def test_run_starts_both_and_ctrl_c_stops_both() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        port, emulator_port = one.getsockname()[1], two.getsockname()[1]
    command = [str(RUN), "--port", str(port), f"--emulator-port={emulator_port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        assert running.stdout is not None
        said = ""
        for line in running.stdout:
            said += line
            if "Stop with Ctrl-C" in line:
                break
        else:
            pytest.fail(f"it ended before it was ready: {said}")
        profile = requests.get(
            f"http://127.0.0.1:{port}/profile", headers={"Accept": "text/html"}, timeout=10
        )
        os.killpg(running.pid, signal.SIGINT)
        running.communicate(timeout=20)

    assert f"Open  http://127.0.0.1:{port}" in said
    assert "alice@example.com, bob@example.com" in said
    assert profile.url.startswith(f"http://127.0.0.1:{emulator_port}/login?")
    assert profile.status_code == 200
    assert running.returncode == 130
    for stopped in (port, emulator_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", stopped), timeout=5)
