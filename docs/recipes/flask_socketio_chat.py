"""Flask-SocketIO: a socket is of somebody who is signed in, for as long as they are.

The handshake brings the session's cookie, so ``@auth_required`` and `current_user` work at
``connect`` and at every event. What runs before requests does not run before events: `protect`
guards none of them, and every namespace needs a ``connect`` of its own. Pages of other origins
cannot connect, unless ``cors_allowed_origins`` lets them in.

A login that is renewed (`affirmed_within`, another user) has a new session, so its old sockets
are closed as well. Socket.IO does not connect again by itself after that: call
``socket.connect()`` in the page's ``disconnect`` handler. Whoever is signed out is refused then.
"""

from __future__ import annotations

from threading import Event, Lock

from flask import Flask, request
from flask_socketio import ConnectionRefusedError, SocketIO, disconnect, emit

from flask_centralauth import (
    CentralAuth,
    CentralAuthError,
    PermissionDenied,
    SessionError,
    auth_required,
    current_user,
)
from flask_centralauth.signals import session_ended, user_logged_out

centralauth = CentralAuth()
# With a managed session every event would see the one of the handshake, after signing out too.
socketio = SocketIO(manage_session=False, async_mode="threading")

#: Who is connected to this process, by the id of the socket.
present: dict[str, str] = {}
somebody_left = Event()
_watching = Lock()


@socketio.on("connect")
@auth_required
def enter(_auth: object = None) -> None:
    """Let somebody who is signed in connect; anybody else is refused below."""
    present[request.sid] = current_user.email or ""  # type: ignore[attr-defined]
    if _watching.acquire(blocking=False):
        socketio.start_background_task(watch, request.environ["flask.app"])


@socketio.on("say")
@auth_required
def say(text: str) -> None:
    """Pass on what somebody says: checked again, as a page view is."""
    emit("said", {"by": current_user.email, "text": text}, broadcast=True)


@socketio.on("who")
@auth_required
def who() -> list[str]:
    """Answer who is connected."""
    return sorted(set(present.values()))


@socketio.on("disconnect")
def leave(_reason: str) -> None:
    """Forget a socket that is gone."""
    present.pop(request.sid, None)  # type: ignore[attr-defined]


@socketio.on_error_default
def refuse(error: Exception) -> None:
    """Say why somebody may not, and close the socket of a login that is over."""
    if not isinstance(error, CentralAuthError):
        raise error
    if request.event["message"] == "connect":  # type: ignore[attr-defined]
        raise ConnectionRefusedError(error.public_message, {"errorCode": error.error_code})
    if isinstance(error, SessionError | PermissionDenied):
        disconnect()  # connecting again tells why
    else:
        emit("refused", {"errorCode": error.error_code, "message": error.public_message})


@auth_required
def check() -> None:
    """Raise what an outsider gets."""


def watch(app: Flask) -> None:
    """Close the sockets of logins that ended: here at once, elsewhere after the interval.

    Else somebody who signed out goes on hearing what the others say.
    """
    while True:
        somebody_left.wait(app.config["SOCKETS_CHECKED_EVERY"])
        somebody_left.clear()
        for sid in list(present):
            environ = socketio.server.get_environ(sid)
            if environ is None:
                continue
            with app.request_context(environ):
                try:
                    check()
                except (SessionError, PermissionDenied):
                    disconnect(sid, namespace="/")
                except CentralAuthError:
                    app.logger.warning("It cannot be told whether the user of a socket is still signed in.")


def look_now(_app: Flask, **_of_the_login: object) -> None:
    """Let `watch` look at once: a login has ended in this process."""
    somebody_left.set()


def create_app() -> Flask:
    """Return the application; its settings come from ``FLASK_...`` variables.

    Put ``ProxyFix`` around ``app.wsgi_app`` after this, so that sockets know their address too.
    """
    app = Flask(__name__)
    app.config["SOCKETS_CHECKED_EVERY"] = 10  # seconds; costs a read of the session per socket
    app.config.from_prefixed_env()
    centralauth.init_app(app)
    socketio.init_app(app)
    user_logged_out.connect(look_now, app)
    session_ended.connect(look_now, app)

    @app.get("/")
    @auth_required
    def page() -> str:
        return """<!doctype html><title>Chat</title><script src="/static/socket.io.min.js"></script>
            <script>const socket = io();</script>"""

    return app
