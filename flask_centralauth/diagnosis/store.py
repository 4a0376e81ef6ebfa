"""Checks of the engine behind Flask-Session, with keys of their own that are removed again."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, Final

from flask import session

from ..engine_choice import engine_of
from ..engines import EmbeddedEngine, Engine
from ..errors import ServiceUnavailable
from ..session_guard import SessionGuard
from .application import captured_log
from .findings import Finding, Setup, ok, problem, warning

PROBE_SECONDS: Final = 60

_SHARED_ENGINES: Final = "redis, memcached or sqlalchemy, or leave SESSION_TYPE out"


def check_store(setup: Setup) -> Iterator[Finding]:
    """Look at the session engine: set up in the right order, reachable, shared, atomic, rotating."""
    interface = setup.app.session_interface
    if not isinstance(interface, SessionGuard):
        yield problem(
            "session-setup",
            "Flask-Session was set up after CentralAuth, so a store that is down takes every page with it "
            "and a logout can be undone by a slow request.",
            "Call Session(app) before CentralAuth(app) or init_app(app).",
        )
        return
    with setup.app.app_context():
        yield _choice(interface)
        failure = _round_trip(interface.engine)
        if failure:
            yield problem(
                "session-store",
                f"The session store {failure}.",
                "Start the server behind SESSION_TYPE, check its address and who may write there.",
            )
            return
        yield ok("session-store", "It answers and keeps what is written.")
        yield _sharing(interface)
        yield _atomicity(interface.engine)
    yield _rotation(setup, interface)


def _choice(interface: SessionGuard) -> Finding:
    with captured_log() as doubts:
        engine_of(interface.inner)
    if doubts:
        said = " ".join(record.getMessage() for record in doubts)
        return warning("session-setup", said, "Give Flask-Session another SESSION_TYPE, or another client.")
    return ok("session-setup", f"Sessions and logins are kept in {_described(interface)}.")


def _described(interface: SessionGuard) -> str:
    if isinstance(interface.engine, EmbeddedEngine):
        return "one SQLite file in the instance folder"
    return type(interface.inner).__name__.removesuffix("SessionInterface")


def _round_trip(engine: Engine) -> str:
    """Return what goes wrong with a key that is written, read and removed."""
    key, value = _probe_key(), secrets.token_bytes(16)
    try:
        engine.put(key, value, PROBE_SECONDS)
        kept = engine.get_many(key) == [value]
        engine.delete(key)
        gone = engine.get_many(key) == [None]
    except ServiceUnavailable as failure:
        return f"cannot be used: {failure.message}"
    if not kept:
        return "does not keep what is written"
    return "" if gone else "does not remove what is deleted"


def _sharing(interface: SessionGuard) -> Finding:
    if isinstance(interface.engine, EmbeddedEngine):
        return ok("store-shared", "All workers of this machine share it; for several machines take a server.")
    if _is_process_memory(interface):
        return problem(
            "store-shared",
            "The session store is this process's memory: every worker has its own, and a restart empties it.",
            f"Set SESSION_TYPE to {_SHARED_ENGINES}.",
        )
    return ok("store-shared", "All workers that use this store share it.")


def _is_process_memory(interface: SessionGuard) -> bool:
    # By name: importing the classes would import a package that may not be installed.
    cache = getattr(interface.inner, "cache", None)
    return any(base.__name__ == "SimpleCache" for base in type(cache).__mro__)


def _atomicity(engine: Engine) -> Finding:
    key = _probe_key()
    first, second = engine.add(key, b"1", PROBE_SECONDS), engine.add(key, b"2", PROBE_SECONDS)
    engine.delete(key)
    if not first or second:
        return problem(
            "store-atomic",
            "The session store cannot write a key only if it is missing, so a callback could be used twice.",
            f"Set SESSION_TYPE to {_SHARED_ENGINES}.",
        )
    if not engine.atomic:
        return warning(
            "store-atomic",
            "The store looks first and writes then: what may happen once can happen in two workers at once.",
            f"Set SESSION_TYPE to {_SHARED_ENGINES}.",
        )
    return ok("store-atomic", "What may happen once happens once, in whichever worker.")


def _rotation(setup: Setup, interface: SessionGuard) -> Finding:
    """Rotate the id of a session of our own as a login does."""
    app = setup.app
    with app.test_request_context():
        probe: Any = session._get_current_object()  # type: ignore[attr-defined]
        session["centralauth_check"] = True
        interface.save_session(app, probe, app.response_class())
        before = probe.sid
        try:
            interface.regenerate(probe)
            changed = probe.sid != before
            dead = interface.engine.get_many(interface.key_prefix + before) == [None]
        except ServiceUnavailable:
            changed = dead = False
        session.clear()
        interface.save_session(app, probe, app.response_class())
    if changed and dead:
        return ok("session-rotation", "A login gets a new session id, and the old one is dead.")
    return problem(
        "session-rotation",
        "The old session id stays alive at login, so whoever planted it is logged in too.",
        f"Set SESSION_TYPE to {_SHARED_ENGINES}.",
    )


def _probe_key() -> str:
    return f"centralauth:check:{secrets.token_hex(8)}"
