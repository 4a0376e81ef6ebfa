"""A login at one domain of the organization, carried to the callbacks of the others.

What arrives is a code for a login that began elsewhere. The state proves that one of our
domains began it, and no cookie proves that it was this browser: taking the code would log
people in as whoever made the link (attack: login CSRF), and let whoever sees the link in as
its owner. So the code is left to expire. The callback is only the sign to begin this
browser's own login, which CentralAuth answers without a question for a browser it knows.

Source: "CentralAuth: autologin"; RFC 9700 §4.7 (CSRF), §4.5 (code injection).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Request, Response, current_app, request, session

from .attempts import CARRIED
from .embedding import is_framed
from .errors import LoginError
from .identity import identity
from .negotiation import is_background
from .redirects import origin_of
from .shared_states import USED_FOR
from .sign_in import begin_login
from .state import State
from .unavailable_session import require_store

if TYPE_CHECKING:
    from .callback import Callback


def is_of_carried_login(state: State, request: Request) -> bool:
    """Say whether a framed callback belongs to a carried login, which nobody sees.

    Only in frames where our cookies are at home: CentralAuth's page has to be of our site.
    """
    if not state.settings.autologin_domains or request.headers.get("Sec-Fetch-Site") not in {
        "same-site",
        "same-origin",
    }:
        return False
    try:
        callback = state.flow.read(request.args)
    except LoginError:
        return False
    attempt = state.flow.attempt_of(callback)
    return _is_carried(state, callback) if attempt is None else attempt.purpose == CARRIED


def begin_own_login(state: State, callback: Callback) -> Response | None:
    """Return the start of this browser's own login for a login that was carried here.

    None when it was not: then it is a callback like any other. Whoever is signed in stays
    who they are.

    :raises LoginError: it has begun here before.
    """
    framed = is_framed(request)
    if (is_background(request) and not framed) or not _is_carried(state, callback):
        return None
    if identity().login is not None:
        return without_page(current_app.response_class()) if framed else None
    require_store(session)
    # Two frames, or a link that is opened again: each state begins one login here. One
    # application may be several of the domains, the one where the state counts itself among them.
    if not state.logins.claim(f"{origin_of(state.callback_url())} {callback.state}", USED_FOR):
        raise state.flow.unvouched(callback, used_before=True)
    return begin_login(state, purpose=CARRIED)


def without_page(response: Response) -> Response:
    """Return a response as it suits a frame that nobody sees: its cookies and nothing else."""
    response.status_code = 204
    response.headers.pop("Location", None)
    response.set_data(b"")
    return response


def _is_carried(state: State, callback: Callback) -> bool:
    return callback.code is not None and state.shared_states.is_carried(callback.state, state.callback_url())
