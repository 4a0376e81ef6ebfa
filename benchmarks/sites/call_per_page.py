"""Checked on every request, by hand: a `requests` call per page."""

from __future__ import annotations

from functools import wraps
from typing import Any

import requests
from flask import Flask, g, redirect, session

from . import Settings, add_pages, ask_userinfo, page, site_with_sessions
from .authlib_by_hand import add_login, remember


def make_app(settings: Settings) -> Flask:
    app = site_with_sessions(settings)
    add_login(app, settings, remember)

    @wraps(page)
    def guarded() -> Any:
        try:
            g.user = ask_userinfo(settings, session["token"])
        except (KeyError, requests.RequestException):
            return redirect("/login")
        return page()

    add_pages(app, guarded)
    return app
