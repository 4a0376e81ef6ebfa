"""Nobody protects anything: how far apart two measurements of the same are."""

from __future__ import annotations

from flask import Flask, session

from . import TOKEN, USER, Settings, add_pages, add_written_login, page, site_with_sessions


def make_app(settings: Settings) -> Flask:
    app = site_with_sessions(settings)
    add_pages(app, page)
    add_written_login(app, lambda: session.update(user=USER, token=TOKEN))
    return app
