"""A site and its plain twin for gunicorn: ``gunicorn benchmarks.site_server:application``."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from flask import Flask

from .sites import plain_site, settings_here

_settings = settings_here()
_site: Flask = importlib.import_module(f"benchmarks.sites.{_settings.module}").make_app(_settings)
_plain = plain_site(_settings)


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    app = _plain if environ["PATH_INFO"] == "/plain" else _site
    return app.wsgi_app(environ, start_response)
