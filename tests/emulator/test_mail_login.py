"""Logins through a mailbox: asked for by the application, or on the login page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from flask_centralauth.emulator import Emulator

from .application import BROWSER, LEFT_OUT, ORIGIN, Application, error_of, query_of


def ask(application: Application, **changes: Any) -> requests.Response:
    right = {"email": "alice@example.com", "redirect_uri": application.redirect_uri, "state": "the-state"}
    body = {name: value for name, value in {**right, **changes}.items() if value != LEFT_OUT}
    return requests.post(
        f"{application.emulator.url}/api/v1/authenticate_direct",
        json=body,
        auth=(application.emulator.client_id, application.emulator.client_secret),
        timeout=20,
    )


def test_a_link_from_the_mailbox_logs_in_once(application: Application, emulator: Emulator) -> None:
    reply = ask(application)
    assert reply.status_code == 200
    answer = reply.json()
    assert set(answer) == {"loginAttemptId", "token", "sentence", "allowedDate"}
    mail = emulator.mailbox.latest("Alice@example.com")
    assert (mail.attempt_id, mail.sentence) == (answer["loginAttemptId"], answer["sentence"])
    assert answer["token"] not in mail.link
    callback = application.visit(mail.link)
    assert callback.status_code == 302
    query = query_of(callback.headers["Location"])
    assert query["state"] == "the-state"
    again = application.visit(mail.link)
    assert (again.status_code, emulator.requests.last.error_code) == (400, "loginAttemptInvalid")
    assert error_of(application.verify(query["code"])) == "codeChallengeInvalid"
    token = application.verify(query["code"], code_verifier=LEFT_OUT).json()["access_token"]
    assert application.userinfo(token, auth_ip="127.0.0.1").json()["email"] == "alice@example.com"


def test_compat_ignores_a_verifier_without_challenge(application: Application, emulator: Emulator) -> None:
    emulator.configure(mode="compat")
    ask(application)
    code = query_of(application.visit(emulator.mailbox.latest().link).headers["Location"])["code"]
    assert application.verify(code).status_code == 200


def test_each_mail_doubles_the_wait(application: Application, emulator: Emulator) -> None:
    assert ask(application).status_code == 200
    early = ask(application)
    assert (early.status_code, error_of(early)) == (429, "tooManyRequests")
    assert early.json()["allowedDate"].endswith("Z")
    assert 0 < int(early.headers["Retry-After"]) <= 30
    emulator.clock.advance(31)
    assert ask(application).status_code == 200
    emulator.clock.advance(31)
    assert ask(application).status_code == 429
    emulator.clock.advance(31)
    assert ask(application).status_code == 200
    assert ask(application, email="bob@example.com").status_code == 200


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"email": LEFT_OUT}, "missingFields"),
        ({"redirect_uri": LEFT_OUT}, "missingFields"),
        ({"state": ""}, "missingFields"),
        ({"email": "nobody"}, "entityInvalid"),
        ({"email": ["a@example.com"]}, "entityInvalid"),
        ({"redirect_uri": "https://evil.example/"}, "callbackUrlInvalid"),
        ({"redirect_uri": 1}, "entityInvalid"),
        ({"state": {"a": 1}}, "entityInvalid"),
    ],
)
def test_a_wrong_request_is_refused(
    application: Application, emulator: Emulator, changes: dict[str, Any], code: str
) -> None:
    assert error_of(ask(application, **changes)) == code
    assert len(emulator.mailbox) == 0


def test_who_asks_is_checked(application: Application, emulator: Emulator) -> None:
    assert error_of(application.call("/api/v1/authenticate_direct", "{}", auth=None)) == "noPermission"
    assert error_of(application.call("/api/v1/authenticate_direct", "[]")) == "entityInvalid"
    assert error_of(application.call("/api/v1/authenticate_direct", "{")) == "entityInvalid"
    with pytest.raises(LookupError, match="the mailbox is empty"):
        emulator.mailbox.latest()


def test_links_are_checked(application: Application, emulator: Emulator) -> None:
    ask(application)
    link = emulator.mailbox.latest().link
    for url, code in [
        (link.partition("?")[0], "loginAttemptInvalid"),
        (link + "x", "loginAttemptInvalid"),
        (f"{emulator.url}/login_attempt/unknown?token=x", "loginAttemptMissing"),
        (f"{emulator.url}/login_attempt/unknown/undo?token=x", "loginAttemptMissing"),
        (emulator.mailbox.latest().undo_link + "x", "loginAttemptInvalid"),
    ]:
        assert application.visit(url).status_code == 400
        assert emulator.requests.last.error_code == code
        assert emulator.requests.last.kind == "browser"
    emulator.clock.advance(901)
    assert application.visit(link).status_code == 400
    assert emulator.requests.last.error_code == "loginAttemptExpired"


def test_undo_ends_the_session_too(application: Application, emulator: Emulator) -> None:
    ask(application)
    mail = emulator.mailbox.latest()
    code = query_of(application.visit(mail.link).headers["Location"])["code"]
    token = application.verify(code, code_verifier=LEFT_OUT).json()["access_token"]
    assert application.visit(mail.undo_link).status_code == 200
    assert error_of(application.userinfo(token)) == "sessionInvalid"
    emulator.clock.advance(31)
    ask(application)
    mail = emulator.mailbox.latest()
    application.visit(mail.undo_link)
    assert application.visit(mail.link).status_code == 400


def mail_on_page(application: Application, **settings: str) -> tuple[requests.Response, str]:
    """Ask for a mail on the login page; return that page and the waiting one's login."""
    application.emulator.configure(**settings)
    page = application.visit(application.login_url(state="page-state"))
    waiting = application.choose(page, email="alice@example.com", mail="1")
    assert waiting.status_code == 200
    assert "Check your mail" in waiting.text
    return page, application.emulator.mailbox.latest().attempt_id


def test_a_link_for_the_page_keeps_the_challenge(application: Application, emulator: Emulator) -> None:
    mail_on_page(application)
    query = query_of(application.visit(emulator.mailbox.latest().link).headers["Location"])
    assert query["state"] == "page-state"
    assert application.verify(query["code"]).status_code == 200


def test_a_code_from_the_mail_is_typed_in(application: Application, emulator: Emulator) -> None:
    page, login = mail_on_page(application, login_attempt_type="code")
    code = emulator.mailbox.latest().code
    assert code is not None
    callback = application.choose(page, mail_login=login, mail_code=f" {code} ")
    assert "code" in query_of(callback.headers["Location"])
    assert application.choose(page, mail_login=login, mail_code=code).status_code == 400


def test_a_wrong_code_ends_the_attempt(application: Application, emulator: Emulator) -> None:
    page, login = mail_on_page(application, login_attempt_type="code")
    assert application.choose(page, mail_login=login, mail_code="wrong").status_code == 400
    code = emulator.mailbox.latest().code or ""
    assert application.choose(page, mail_login=login, mail_code=code).status_code == 400
    assert emulator.requests.last.error_code == "loginAttemptInvalid"


@pytest.mark.parametrize("right", [True, False])
def test_one_of_three_numbers(application: Application, emulator: Emulator, right: bool) -> None:
    _, login_id = mail_on_page(application, login_attempt_type="challenge")
    login = emulator.service.store.mail_logins[login_id]
    link = emulator.mailbox.latest().link
    question = application.visit(link)
    assert question.status_code == 200
    assert all(f'value="{number}"' in question.text for number in login.numbers)
    number = login.answer if right else next(n for n in login.numbers if n != login.answer)
    reply = requests.post(link, data={"number": number}, allow_redirects=False, timeout=20)
    assert reply.status_code == (302 if right else 400)


@pytest.mark.parametrize("method", ["remote", "userPick"])
def test_the_other_device_gets_the_login(application: Application, emulator: Emulator, method: str) -> None:
    page, login = mail_on_page(application, login_method=method)
    assert "Check your mail" in application.choose(page, mail_login=login).text
    link = emulator.mailbox.latest().link
    if method == "remote":
        confirmed = application.visit(link)
    else:
        assert "Is this you?" in application.visit(link).text
        confirmed = requests.post(link, data={"where": "there"}, timeout=20)
    assert "Go on in the browser where you started" in confirmed.text
    assert "code" in query_of(application.choose(page, mail_login=login).headers["Location"])


def test_a_person_may_pick_this_device(application: Application, emulator: Emulator) -> None:
    mail_on_page(application, login_method="userPick")
    link = emulator.mailbox.latest().link
    here = requests.post(
        link, data={"where": "here"}, headers={"User-Agent": BROWSER}, allow_redirects=False, timeout=20
    )
    assert urlsplit(here.headers["Location"]).netloc == urlsplit(ORIGIN).netloc


def test_a_mail_belongs_to_its_page_and_its_time(application: Application, emulator: Emulator) -> None:
    page, login = mail_on_page(application, login_method="remote")
    other = application.visit(application.login_url())
    assert application.choose(other, mail_login=login).status_code == 400
    assert emulator.requests.last.error_code == "loginAttemptInvalid"
    emulator.clock.advance(901)
    assert application.choose(page, mail_login=login).status_code == 400
    assert emulator.requests.last.error_code == "loginAttemptExpired"


@pytest.mark.parametrize("host", ["-.example", "a..example", "ex%61mple.org"])
def test_a_host_that_is_none_gets_no_mail_sent_to(
    application: Application, emulator: Emulator, host: str
) -> None:
    emulator.configure(whitelist=[])
    assert error_of(ask(application, redirect_uri=f"https://{host}/callback")) == "callbackUrlInvalid"


def test_the_mailbox_over_http(application: Application, emulator: Emulator) -> None:
    ask(application)
    found = requests.get(f"{emulator.url}/_emulator/mailbox/latest?to=alice@example.com", timeout=20).json()
    assert found["link"] == emulator.mailbox[-1].link
    assert requests.get(f"{emulator.url}/_emulator/mailbox", timeout=20).json() == {"mails": [found]}
    assert requests.get(f"{emulator.url}/_emulator/mailbox/latest?to=x@y.z", timeout=20).status_code == 404
