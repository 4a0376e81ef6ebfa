"""The pages people see, and the headers that keep them from being abused."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from flask import Response, current_app, render_template
from jinja2 import Environment, FileSystemLoader, pass_context
from jinja2.runtime import Context

from .state import in_force
from .translations import current_language, gettext, is_ours

log = logging.getLogger("flask_centralauth")

TEMPLATES: Final = Path(__file__).parent / "templates"

#: On every answer of our routes. strict-origin, because CentralAuth may check referrers.
ROUTE_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "strict-origin",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Cross-Origin-Resource-Policy": "same-origin",
}

#: The policy of the pages of ours that work in a frame of the application.
OWN_FRAME: Final = "frame-ancestors 'self'"


def page(
    templates: Sequence[str], *, status: int = 200, in_own_frame: bool = False, **context: Any
) -> Response:
    """Return the first of the templates there is, as a page that loads only what is its own.

    When a template of the application raises, the built-in page is shown instead and the
    failure is logged.

    :param in_own_frame: may be framed by a page of the application, and have a script.
    """
    nonce = secrets.token_urlsafe(16)
    shared = {"csp_nonce": nonce, "centralauth_lang": current_language(), "_": _words, **context}
    response = current_app.response_class(_render(templates, shared), status=status, mimetype="text/html")
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; "
        # Browsers hold what a form redirects to against it, and that may be a login.
        f"form-action 'self' {in_force().settings.base_url}; base-uri 'none'; "
        + (f"script-src 'nonce-{nonce}'; {OWN_FRAME}" if in_own_frame else "frame-ancestors 'none'")
    )
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers.update(ROUTE_HEADERS)
    if in_own_frame:
        response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


def _render(templates: Sequence[str], context: dict[str, Any]) -> str:
    try:
        return render_template(list(templates), **context)
    # Whatever an overriding template raises: the person still gets a page.
    except Exception:
        log.exception("A template for %s failed; the built-in page is shown.", templates[0])
    return built_in_templates().select_template(templates).render(context)


@pass_context
def _words(context: Context, sentence: str, **variables: object) -> str:
    """Translate for our templates, and for those of an application that ours extend."""
    own: Any = context.environment.globals.get("_")
    if own is None or is_ours(sentence):
        return gettext(sentence)
    return str(context.call(own, sentence, **variables))


@lru_cache(maxsize=1)
def built_in_templates() -> Environment:
    """Return the templates of this package alone, out of reach of any override."""
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)
