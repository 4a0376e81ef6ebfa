"""Carrying a login to the other domains of an organization.

Documented: with autologin a login at one domain reaches the callbacks of the others, at the
same path, and each checks the state. How the codes travel is not; assumed are hidden frames
(``autologin_carry``). Source: ``CentralAuth: autologin``.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from .callback_faults import Callback
from .entities import Attempt
from .login_outcome import Params, code_params
from .origins import origin_of
from .service import Service


def carried(service: Service, attempt: Attempt, params: Params) -> list[Callback]:
    """Return the callbacks of the other domains for a login that worked.

    Their codes open the session of the login's own code.
    """
    settings = service.settings
    with service.lock:
        main = service.store.codes.get(dict(params).get("code", ""))
        if main is None or not (settings.autologin and settings.autologin_carry):
            return []
        main.login = main.value
        path = urlsplit(attempt.redirect_uri).path
        origins = {origin_of(entry) for entry in settings.whitelist if "*" not in entry}
        callbacks = []
        for origin in sorted(origins - {origin_of(main.redirect_uri), None}, key=str):
            code = replace(
                main, value=service.new_id("code"), redirect_uri=f"{origin}{path}", session_id=None
            )
            service.keep(service.store.codes, code.value, code)
            callbacks.append(Callback(code.redirect_uri, code_params(code, attempt.state)))
        return callbacks
