"""What an application can listen to. The sender is the Flask application.

Every signal carries ``user`` (a `User`, or None where nobody is known yet).
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

#: A login succeeded. ``user``; ``previous`` is the other user who was logged in before
#: in the same browser, or None.
user_logged_in = _signals.signal("user-logged-in")

#: A login ended because somebody wanted it to. ``user``, ``login_id``.
user_logged_out = _signals.signal("user-logged-out")

#: The user confirmed that it is them. ``user``.
user_affirmed = _signals.signal("user-affirmed")

#: A login failed. ``error``, a `CentralAuthError` with its ``incident_id``.
login_failed = _signals.signal("login-failed")

#: A login ended without its person: CentralAuth says it is over, its user may not be here any
#: more, or `CentralAuth.logout_user` was called. ``user``, ``login_id``, ``error``.
session_ended = _signals.signal("session-ended")
