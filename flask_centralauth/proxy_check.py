"""Is there a proxy that nobody told Flask about?

Then every visitor has the proxy's address and every address starts with http. The
forwarded headers are never believed for it: anybody can send them (attack: IP spoofing
against hijack protection).
"""

from __future__ import annotations

import logging
from typing import Final

from flask import current_app, request
from werkzeug.exceptions import SecurityError

from .redirects import is_own_root
from .setting_checks import is_loopback
from .state import State
from .visitor import Visitor, is_private

log = logging.getLogger("flask_centralauth")

#: What ProxyFix leaves in the environment.
_PROXY_FIX: Final = "werkzeug.proxy_fix.orig"
_LINE_TO_ADD: Final = "app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)"


class ProxyWatch:
    """Looks at requests until one has forwarded headers, and warns when ProxyFix is missing."""

    def __init__(self) -> None:
        self.watching = True

    def look(self) -> None:
        """Look at the current request. Ask `watching` first: then it costs nothing."""
        environ = request.environ
        if "HTTP_X_FORWARDED_PROTO" not in environ and "HTTP_X_FORWARDED_FOR" not in environ:
            return
        self.watching = False
        if _PROXY_FIX not in environ:
            log.warning(
                "A request has X-Forwarded headers, but nothing in front of this application reads them, so "
                "addresses and URLs are the proxy's. If there is a proxy that sets them, add: %s",
                _LINE_TO_ADD,
            )


def refuse_foreign_prefix() -> None:
    """Refuse a request whose prefix would lead our addresses, and the application's, to another origin.

    Attack: a visitor's own ``X-Forwarded-Prefix``, which the proxy lets through. It would be in
    what others follow: after a login by mail, in the browser of whoever got the mail.

    :raises SecurityError: Flask answers it with 400.
    """
    if not is_own_root(request.root_path):
        raise SecurityError("The application's prefix is not a path.")


def warn_of_private_address(state: State, who: Visitor) -> None:
    """Warn once when CentralAuth is told an address that cannot be a visitor's."""
    if state.warned_of_private_address or current_app.debug or not is_private(who.ip):
        return
    # A browser, an application and a CentralAuth of one developer, on one machine.
    if state.settings.base_is_loopback and is_loopback(who.ip):
        return
    state.warned_of_private_address = True
    log.warning(
        "The visitor's address that CentralAuth is told is private or missing. It is probably a proxy's, so "
        "hijack protection protects nobody. If there is a proxy, add: %s",
        _LINE_TO_ADD,
    )
