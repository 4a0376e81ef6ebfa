"""The redirect that brings a browser back to the application."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flask import Response, g, render_template, request
from werkzeug.datastructures import Headers

from .callback_faults import Callback, tampered
from .faults import RequestFacts
from .login_outcome import callback_url
from .origins import origin_of
from .service import Service
from .web import the_entry

#: Keys of the WSGI environ by which a login without a browser says who it is.
LOGIN_IP: Final = "flask_centralauth.emulator.login_ip"
LOGIN_USER_AGENT: Final = "flask_centralauth.emulator.login_user_agent"


def login_device() -> tuple[str | None, str | None]:
    """Return the address and the browser that hijack protection will compare with.

    A login without a browser may leave both open: the first userinfo call decides then.
    """
    environ = request.environ
    ip: str | None = environ.get(LOGIN_IP, request.remote_addr)
    user_agent: str | None = environ.get(LOGIN_USER_AGENT, request.headers.get("User-Agent", ""))
    return ip, user_agent


def sent_back(
    service: Service, callback: Callback, *, email: str | None, besides: Sequence[Callback] = ()
) -> Response:
    """Return the redirect to the application, tampered with when a fault says so.

    :param besides: callbacks that the browser opens in hidden frames on the way.
    """
    fault = service.faults.take(RequestFacts("callback", None, email, Headers(request.headers)))
    if fault is not None:
        fault.hold()
        callback = tampered(service, fault, callback)
        if fault.action == "twice":
            besides = [*besides, callback]
        the_entry().fault = f"callback: {fault}"
    onward = callback_url(callback.redirect_uri, callback.params)
    if besides:
        response = _page_with_frames(onward, [callback_url(one.redirect_uri, one.params) for one in besides])
    else:
        # Not flask.redirect(): the redirect URI goes back byte for byte.
        response = Response(b"", 302, content_type="text/plain; charset=utf-8")
    # On the page it is for logins without a browser; browsers ignore it there.
    response.headers["Location"] = onward
    return response


def _page_with_frames(onward: str, frames: list[str]) -> Response:
    # 'self': what a callback answers may lead back here, to a login without a question.
    g.frame_sources = " ".join(["'self'", *sorted({origin_of(frame) or "" for frame in frames})])
    return Response(render_template("carrying.html", onward=onward, frames=frames))
