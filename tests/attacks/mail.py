"""Logins by mail: the form an application has for them, and what is in the mailbox then."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask, request

from flask_centralauth import CentralAuth

from ..browser_client import Browser
from ..browser_page import Page
from .target import ALICE, Target


def add_mail_form(app: Flask) -> None:
    """Give an application `/sign-in`, where people ask for a link."""

    @app.get("/sign-in")
    def form() -> str:
        return '<form method="post"><input name="email"><button>Mail me a link</button></form>'

    @app.post("/sign-in")
    def send() -> str:
        CentralAuth().authenticate_direct(request.form["email"], return_to=request.args.get("return_to"))
        return "Look into your mailbox."


def ask_for_mail(
    target: Target, browser: Browser, address: str = ALICE, *, headers: Mapping[str, str] | None = None
) -> Page:
    """Send the form; return the application's answer."""
    browser.get(f"{target.url}/sign-in")
    return browser.submit("/sign-in", {"email": address}, headers=headers, follow=False)


def mail_of(
    target: Target, browser: Browser, address: str = ALICE, *, headers: Mapping[str, str] | None = None
) -> str:
    """Ask for a mail and open its link far enough to have the callback it leads to."""
    answer = ask_for_mail(target, browser, address, headers=headers)
    assert answer.status == 200, answer.text
    opened = target.person(address).get(target.emulator.mailbox.latest(address).link, follow=False)
    assert opened.last.location is not None
    return opened.last.location
