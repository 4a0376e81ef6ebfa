"""CentralAuth's login page inside a page of the application.

The frame shows our own login route, which leads to CentralAuth. What comes back ends in the
frame too, but the login does not: browsers keep a frame that another site has just left from
setting the session's cookie, so the callback first breaks out to the top.

Source: "CentralAuth: embedded login"; HTML Standard (cross-document messaging: check origin
and source); RFC 9700 §4.16 (clickjacking).
"""

from __future__ import annotations

import json
import secrets
from typing import Any, Final

from flask import Request, Response, request
from markupsafe import Markup

from .mail_address import is_address
from .negotiation import is_in_own_frame
from .pages import page
from .redirects import request_target
from .state import State
from .translations import gettext

FIRST_HEIGHT: Final = 480
TALLEST: Final = 2000

_FRAME: Final = Markup(
    '<iframe id="{name}" src="{address}" title="{title}" width="100%" height="{height}" frameborder="0" '
    'referrerpolicy="origin" '
    # Not "*": only CentralAuth may use the person's passkeys (attack: a frame that went elsewhere).
    'allow="publickey-credentials-get {origin}; publickey-credentials-create {origin}"></iframe>'
    "<script{nonce}>{script}</script>"
)
# Attack: any window may send messages. Only the frame's own page at CentralAuth may say how
# tall it is, and only as a number of pixels within bounds.
_SCRIPT: Final = r"""(({name, origin, tallest}) => {
  const frame = document.getElementById(name);
  addEventListener("message", ({data, origin: sender, source}) => {
    if (sender !== origin || source !== frame.contentWindow) return;
    const text = ["string", "number"].includes(typeof data) ? String(data) : "";
    const pixels = /^\d{1,9}(\.\d{1,9})?(?=(px)?$)/.exec(text);
    if (pixels) frame.height = String(Math.min(Math.ceil(pixels[0]), tallest));
  });
})(%s)"""
#: What JSON leaves as it is and HTML or older JavaScript would read as something else.
_ESCAPES: Final = {ord(character): f"\\u{ord(character):04x}" for character in "<>&'\u2028\u2029"}


def embed(
    state: State, *, return_to: str | None = None, email: str | None = None, nonce: str | None = None
) -> Markup:
    """Return the frame with the login page, and the script that makes it as tall as its content.

    :param return_to: already checked.
    :param nonce: of the page's Content-Security-Policy; without one the script has none.
    """
    name = f"centralauth-{secrets.token_hex(4)}"
    origin = state.settings.base_url
    options: dict[str, Any] = {
        "embed": "1",
        "return_to": return_to,
        "email": email if email and is_address(email) else None,
    }
    values = {"name": name, "origin": origin, "tallest": TALLEST}
    return _FRAME.format(
        name=name,
        address=state.url_for("login", **options),
        title=gettext("Sign in"),
        height=FIRST_HEIGHT,
        origin=origin,
        nonce=Markup(' nonce="{}"').format(nonce) if nonce else "",
        script=Markup(_SCRIPT % json.dumps(values).translate(_ESCAPES)),  # noqa: S704 - escaped above
    )


def wants_embedding(request: Request) -> bool:
    """Say whether a frame on a page of our own origin asks for the login page."""
    return request.args.get("embed") == "1" and is_in_own_frame(request)


def is_framed(request: Request) -> bool:
    """Say whether the answer will be shown in a frame."""
    return request.headers.get("Sec-Fetch-Dest") in {"iframe", "frame", "embed", "object", "fencedframe"}


def break_out() -> Response:
    """Return the page that opens the callback's own address in the whole window. Changes nothing."""
    target = request_target(request.root_path, request.path, request.query_string)
    return page(["centralauth/break_out.html"], in_own_frame=True, retry_url=target)
